"""The reference's training step in its own operations, a baseline for timing.

The graph is the reference's first generation: ref variables, a pad operation before every
convolution, leaky ReLU in four operations, batch normalisation from moments. Random images replace
the reference's queues.
"""

import tensorflow.compat.v1 as tf

EPS = 1e-12


def conv(inputs, channels, stride):
    """An explicit padding, then a VALID convolution."""
    with tf.variable_scope("conv"):
        shape = [4, 4, inputs.shape[-1], channels]
        weights = tf.get_variable(
            "filter", shape, initializer=tf.random_normal_initializer(0, 0.02)
        )
        padded = tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return tf.nn.conv2d(padded, weights, [1, stride, stride, 1], "VALID")


def deconv(inputs, channels):
    """A transposed convolution with static shapes."""
    with tf.variable_scope("deconv"):
        batch, height, width, in_channels = inputs.shape.as_list()
        shape = [4, 4, channels, in_channels]
        weights = tf.get_variable(
            "filter", shape, initializer=tf.random_normal_initializer(0, 0.02)
        )
        size = [batch, 2 * height, 2 * width, channels]
        return tf.nn.conv2d_transpose(inputs, weights, size, [1, 2, 2, 1], "SAME")


def lrelu(inputs, slope=0.2):
    """Leaky ReLU in four operations."""
    inputs = tf.identity(inputs)
    return 0.5 * (1 + slope) * inputs + 0.5 * (1 - slope) * tf.abs(inputs)


def batchnorm(inputs):
    """Batch normalisation from moments."""
    with tf.variable_scope("batchnorm"):
        size = [inputs.shape[-1]]
        offset = tf.get_variable("offset", size, initializer=tf.zeros_initializer())
        scale = tf.get_variable("scale", size, initializer=tf.random_normal_initializer(1, 0.02))
        mean, variance = tf.nn.moments(inputs, [0, 1, 2])
        return tf.nn.batch_normalization(inputs, mean, variance, offset, scale, 1e-5)


def generator(inputs, ngf):
    """The U-Net of 8 levels."""
    with tf.variable_scope("encoder_1"):
        layers = [conv(inputs, ngf, 2)]
    for width in (2, 4, 8, 8, 8, 8, 8):
        with tf.variable_scope(f"encoder_{len(layers) + 1}"):
            layers.append(batchnorm(conv(lrelu(layers[-1]), width * ngf, 2)))
    x = layers[-1]
    for level, width in zip(range(8, 1, -1), (8, 8, 8, 8, 4, 2, 1), strict=True):
        with tf.variable_scope(f"decoder_{level}"):
            x = x if level == 8 else tf.concat([x, layers[level - 1]], 3)
            x = batchnorm(deconv(tf.nn.relu(x), width * ngf))
            x = tf.nn.dropout(x, rate=0.5) if level > 5 else x
    with tf.variable_scope("decoder_1"):
        return tf.tanh(deconv(tf.nn.relu(tf.concat([x, layers[0]], 3)), 3))


def discriminator(inputs, targets, ndf):
    """The 70x70 PatchGAN."""
    x = tf.concat([inputs, targets], 3)
    for number, (width, stride) in enumerate(((1, 2), (2, 2), (4, 2), (8, 1)), start=1):
        with tf.variable_scope(f"layer_{number}"):
            x = conv(x, width * ndf, stride)
            x = lrelu(x if number == 1 else batchnorm(x))
    with tf.variable_scope("layer_5"):
        return tf.sigmoid(conv(x, 1, 1))


def build_step(inputs, targets, options, device):
    """Builds one training step; returns the tensors and ops to fetch."""
    del device  # the reference chooses none
    ngf, ndf = options.model.generator.ngf, options.model.discriminator.ndf
    lr, beta1, losses = options.optimizer.lr, options.optimizer.beta1, options.losses
    with tf.variable_scope("generator", use_resource=False):
        outputs = generator(inputs, ngf)
    with tf.variable_scope("discriminator", use_resource=False):
        real = discriminator(inputs, targets, ndf)
    with tf.variable_scope("discriminator", reuse=True, use_resource=False):
        fake = discriminator(inputs, outputs, ndf)
    d_loss = tf.reduce_mean(-(tf.log(real + EPS) + tf.log(1 - fake + EPS)))
    gan_loss = tf.reduce_mean(-tf.log(fake + EPS))
    l1_loss = tf.reduce_mean(tf.abs(targets - outputs))
    d_adam = tf.train.AdamOptimizer(lr, beta1)
    d_train = d_adam.minimize(d_loss, var_list=tf.trainable_variables("discriminator/"))
    with tf.control_dependencies([d_train]):
        g_adam = tf.train.AdamOptimizer(lr, beta1)
        g_loss = losses.gan_weight * gan_loss + losses.l1_weight * l1_loss
        g_train = g_adam.minimize(g_loss, var_list=tf.trainable_variables("generator/"))
    return [g_train, d_loss, gan_loss, l1_loss]
