"""G and D as a configuration asks for them, on a batch: what an update of them is made from."""

import tensorflow.compat.v1 as tf

from p2p_graph.config.options import Config
from p2p_graph.data.image_pairs import channels
from p2p_graph.data.input_graph import Batch
from p2p_graph.models.discriminators import discriminator, layers_of
from p2p_graph.models.generators import Pooled, UNet, generator, pooled, unet
from p2p_graph.models.losses import GAN_LOSSES, l1_loss
from p2p_graph.models.ops import LayerSettings
from p2p_graph.runtime import devices

# Measured on two cores: see docs/PERFORMANCE.md.
_MATMUL_PLACES = 1024
_MATMUL_PLACES_FORWARD = 128  # without gradients, the convolutions' own are slow at fewer places


class Networks:
    """G and D on one batch: each call is a forward pass, of the weights as they are there."""

    def __init__(self, batch: Batch, config: Config, step: tf.Variable) -> None:
        self._batch = batch
        self._config = config
        self._noise = tf.stack([tf.constant(config.seed, tf.int64), step.read_value()])
        self._loss = GAN_LOSSES[config.gan_loss]

    def generate(self, draw: int = 0) -> tf.Tensor:
        """G's images; another `draw` has other dropout masks."""
        noise = self._noise
        if draw:
            noise = tf.random.experimental.stateless_fold_in(noise, -draw)
        with tf.variable_scope("generator", reuse=tf.AUTO_REUSE):
            return generator(self._batch.inputs, generator_spec(self._config), noise)

    def discriminate(self, targets: tf.Tensor, name: str) -> tf.Tensor:
        """D's scores of the batch's inputs with these targets."""
        config = self._config
        images = [self._batch.inputs, targets] if config.conditional else [targets]
        with (
            tf.name_scope(f"{name}_discriminator"),
            tf.variable_scope("discriminator", reuse=tf.AUTO_REUSE),
        ):
            return discriminator(
                images[::-1] if config.target_first else images,
                layers_of(config.discriminator, config.ndf),
                bias=config.bias,
                sigmoid=self._loss.sigmoid,
                settings=layer_settings(config),
            )

    def shown(self, scores: tf.Tensor | None) -> tf.Tensor | None:
        """Scores as people look at them."""
        is_logit = self._config.gan_loss == "logits" and scores is not None
        return tf.sigmoid(scores) if is_logit else scores

    def d_loss(self, predict_real: tf.Tensor | None, predict_fake: tf.Tensor | None) -> tf.Tensor:
        """D's objective, of both kinds of pairs or one (section 3.1 of the paper)."""
        with tf.name_scope("discriminator_loss"):
            parts = []
            if predict_real is not None:
                parts.append(self._loss.as_real(predict_real))
            if predict_fake is not None:
                parts.append(self._loss.as_fake(predict_fake))
            return tf.add_n(parts) * self._config.d_scale

    def g_loss(
        self, outputs: tf.Tensor, predict_fake: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """G's objective (equation 4), and its two terms without their weights."""
        l1 = l1_loss(self._batch.targets, outputs)
        gan = tf.zeros([])
        total = l1 * self._config.l1_weight
        if predict_fake is not None:
            with tf.name_scope("generator_gan_loss"):
                gan = self._loss.as_real(predict_fake)
            total = gan * self._config.gan_weight + total
        return total, gan, l1


def translate(inputs: tf.Tensor, config: Config, *, fixed: bool = False) -> tf.Tensor:
    """Translates images, each as if it were alone, with the same dropout masks for all.

    Args:
      inputs: float32 [N, H, W, C_in] in [-1, 1]; H and W are multiples of 2^levels.
      config: the generator's size, and the seed of its noise.
      fixed: whether weights will not change (see `ops.Style`).

    Returns:
      float32 [N, H, W, C_out] in [-1, 1].
    """
    settings = layer_settings(config)
    if fixed:
        places = min(settings.matmul_positions, _MATMUL_PLACES_FORWARD)
        settings = settings._replace(fixed=True, matmul_positions=places)
    noise = tf.constant([config.seed, 0], tf.int64)
    with tf.variable_scope("generator", reuse=tf.AUTO_REUSE):
        return generator(inputs, generator_spec(config, settings), noise, each=True)


def generator_spec(config: Config, settings: LayerSettings | None = None) -> UNet | Pooled:
    """The generator that a configuration asks for."""
    assert config.levels is not None
    settings = settings or layer_settings(config)
    out_channels = channels(config).targets
    if config.generator == "pooled":
        return pooled(out_channels, ngf=config.ngf, dropout=config.dropout, settings=settings)
    return unet(
        out_channels,
        ngf=config.ngf,
        levels=config.levels,
        dropout=config.dropout,
        separable=config.separable_conv,
        bias=config.bias,
        bottleneck_norm=config.bottleneck_norm,
        skips=config.generator == "unet",
        leaky_skips=config.skip_activation == "lrelu",
        settings=settings,
    )


def layer_settings(config: Config) -> LayerSettings:
    """What all layers of both networks share, in a configuration."""
    fused = config.norm_form == "fused" or (config.norm_form == "auto" and config.bias != "none")
    return LayerSettings(
        slope=config.lrelu_slope,
        epsilon=config.norm_epsilon,
        norm_stddev=config.norm_stddev,
        fused=fused,
        glorot=config.initializer == "glorot",
        mixed=config.precision == "mixed",
        matmul_positions=_MATMUL_PLACES if devices.is_cpu(config.device) else 0,
    )
