"""Presets: the networks, losses, updates and data handling of published systems.

A preset lists the options in which a system differs from affinelayer's program, the default. It
includes what the system leaves to its libraries: epsilons, slopes and initial values. A flag
overrides a preset.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# Isola et al. 2017 and its Torch program, https://github.com/phillipi/pix2pix.
_PAPER = {
    "bottleneck_norm": False,  # since March 2017: at batch 1 it would make the bottleneck constant
    "norm_form": "fused",  # all of Torch's backward pass reads the updated scale
    "d_scale": 0.5,  # section 3.3: "we divide the objective by 2 while optimizing D"
    "resize": "bilinear",  # default of image.scale
    "crop_from": 1,  # math.ceil(torch.uniform(...)): never the topmost row, nor the first column
    "sampling": "replacement",  # donkey_folder draws every image independently
}

# Defaults of Keras' layers and optimizers.
_KERAS = {
    "norm_epsilon": 1e-3,
    "norm_stddev": 0.0,
    "norm_form": "fused",
    "adam_epsilon": 1e-7,
}

# TensorFlow's tutorial "pix2pix: Image-to-image translation with a conditional GAN", as of TF 2.3:
# https://www.tensorflow.org/tutorials/generative/pix2pix.
_TF2_TUTORIAL = {
    **_KERAS,
    "bias": "last",  # use_bias=False except in the last layer of each network
    "lrelu_slope": 0.3,  # LeakyReLU()
    "skip_activation": "lrelu",  # encoder blocks end in LeakyReLU
    "gan_loss": "logits",  # BinaryCrossentropy(from_logits=True)
    "updates": "simultaneous",  # two tapes over one forward pass
    "resize": "nearest",
    "max_epochs": 150,
}

# PyImageSearch, "Image Translation with Pix2Pix" (July 2022): labels to street scenes.
# https://pyimagesearch.com/2022/07/27/image-translation-with-pix2pix/.
_PYIMAGESEARCH = {
    **_KERAS,
    "generator": "pooled",
    "discriminator": "same62",
    "ngf": 32,
    "bias": "all",
    "lrelu_slope": 0.3,
    "initializer": "glorot",  # Conv2D's default
    "dropout": 0.3,  # in the bottleneck; a third of it in the outermost level
    "dropout_in_use": False,  # inference calls predict
    "gan_loss": "logits",
    "l1_weight": 10.0,
    "updates": "simultaneous",
    "beta1": 0.9,  # Adam's default
    "batch_size": 32,
    "max_epochs": 150,
    "steps_per_epoch": 100,
    "jitter": "shrink",  # random_jitter enlarges without cropping; ReadTrainExample scales back
    "resize": "bilinear",  # tf.image.resize's default
    "flip": False,
}

# "Pix2Pix" in Keras on maps, after Brownlee's tutorial: satellite photo to map.
# https://machinelearningmastery.com/how-to-develop-a-pix2pix-gan-for-image-to-image-translation/.
_KERAS_MAPS = {
    **_KERAS,
    "discriminator": "same142",  # the text says 70x70; the program has four strided layers
    "bias": "all",
    "bottleneck_norm": False,
    "gan_loss": "clip",  # binary cross-entropy on probabilities
    "d_scale": 0.5,  # loss_weights=[0.5]
    # D on the real batch, D on the generated one, then the composite model. The text says that the
    # composite model does not update D; the program would update the scales of D's normalisation.
    "updates": "alternate",
    "max_epochs": 100,
    "sampling": "replacement",  # randint
    "jitter": "none",
    "flip": False,
}

# "Pix2Pix" on blurred flowers (in Spanish): a blurred photo to a sharp one, at any size. The
# article's address is not known.
_DEBLUR = {
    **_KERAS,
    "discriminator": "same94",
    "target_first": True,  # discriminator([output, input])
    "bias": "unnormed",  # use_bias=not apply_batchnorm
    "lrelu_slope": 0.3,
    "skip_activation": "lrelu",
    "gan_loss": "logits",
    "updates": "simultaneous",
    "resize": "bilinear",
    "resize_first": True,  # load_image scales to 256, random_jitter then to 286
    "split": 0.8,  # train_n = round(n * 0.8); of separate folders only, see training.run_plan
    "split_seed": 23,
    "max_epochs": 100,
}

# junyanz's PyTorch program, https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix, with the
# defaults of its model pix2pix.
_JUNYANZ = {
    "bottleneck_norm": False,  # UnetSkipConnectionBlock: the innermost `down` has no downnorm
    "bias": "last",  # use_bias is False with batch normalisation, except in the outermost upconv
    "discriminator_bias": "unnormed",  # NLayerDiscriminator: its first and last Conv2d
    "dropout_levels": "inner",  # UnetGenerator: use_dropout of the "intermediate layers" alone
    "gan_loss": "logits",  # gan_mode vanilla: BCEWithLogitsLoss
    "d_scale": 0.5,  # backward_D: (loss_D_fake + loss_D_real) * 0.5
    "updates": "fresh",  # backward_G: netD(fake_AB) after optimizer_D.step()
    "resize": "bicubic",  # transforms.Resize by InterpolationMode.BICUBIC
    "lr_schedule": "linear",  # n_epochs 100 and n_epochs_decay 100; here the rate falls every step
}

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "affinelayer": {},
        "paper": _PAPER,
        "tf2-tutorial": _TF2_TUTORIAL,
        "pyimagesearch": _PYIMAGESEARCH,
        "keras-maps": _KERAS_MAPS,
        "deblur": _DEBLUR,
        "junyanz": _JUNYANZ,
    }
)
