"""Options of the networks: generator, discriminator, and what their layers share."""

import dataclasses
import re

from p2p_graph.config.image_size import LARGEST_SIDE
from p2p_graph.config.option_fields import MOST_FILTERS, Record, option

# Discriminators by name; `models.discriminators` has their layers.
DISCRIMINATORS = ("pixel", "patch16", "patch70", "image286", "same62", "same94", "same142")
N_LAYERS = re.compile(r"n_layers=(\d)")
INNERMOST, INNER = "innermost", "inner"  # decoder levels with dropout
_LEVELS = re.compile(r"[1-9][0-9]?(,[1-9][0-9]?)*")
_INNER_FROM = 5
_BOTH = ("train", "test")


def _discriminator_rule(name: str) -> str | None:
    if name in DISCRIMINATORS or N_LAYERS.fullmatch(name):
        return None
    return f"must be one of {', '.join(DISCRIMINATORS)}, or n_layers=K with K from 0 to 9"


def _dropout_levels_rule(levels: str) -> str | None:
    if levels in (INNERMOST, INNER) or _LEVELS.fullmatch(levels):
        return None
    return f"must be {INNERMOST}, {INNER}, or numbers of levels as in 5,6,7"


def dropout_in_translation(dropout: float, *, in_use: bool) -> float:
    """The dropout rate of translation, from that of training and `dropout_in_use`."""
    return dropout if in_use else 0.0


@dataclasses.dataclass(frozen=True)
class GeneratorOptions(Record):
    """The generator's architecture."""

    ngf: int = option(
        64,
        "model",
        "generator filters in the first layer",
        programs=_BOTH,
        least=1,
        most=MOST_FILTERS,
    )
    separable_conv: bool = option(
        False, "model", "depthwise separable convolutions in the generator", programs=_BOTH
    )
    levels: int | None = option(
        None,
        "model",
        "generator depth (default: how often crop_size halves evenly: 8 for 256, 7 for 128; 4 with "
        "--generator pooled)",
        least=2,
        most=LARGEST_SIDE.bit_length() - 1,
    )
    dropout: float = option(
        0.5,
        "model",
        {
            "train": "dropout rate in the three innermost decoder levels; with --generator "
            "pooled, the rate in the bottleneck, and a third of the rate in the outermost encoder "
            "and decoder levels",
            "test": "dropout rate in translation",
            "export": "dropout rate in translation",
        },
        programs=("train", "test", "export"),
        least=0,
        below=1,
    )
    generator: str = option(
        "unet",
        "model",
        "generator: a U-Net, the same without skip connections, or a small U-Net with max pooling",
        choices=("unet", "encoder_decoder", "pooled"),
    )
    bottleneck_norm: bool = option(True, "model", "batch-normalise the innermost encoder level")
    skip_activation: str = option(
        "relu", "model", "activation of the U-Net's skip connections", choices=("relu", "lrelu")
    )
    dropout_levels: str = option(
        INNERMOST,
        "model",
        "decoder levels with dropout: innermost (the three innermost), inner (the fifth and deeper "
        "ones but the innermost, as in the preset junyanz), or their numbers, the outermost being "
        "1, as in 5,6,7",
        rule=_dropout_levels_rule,
        metavar="LEVELS",
    )
    dropout_in_use: bool = option(
        True,
        "model",
        "apply dropout in translation as well as in training",
    )

    def levels_with_dropout(self) -> set[int]:
        """The numbers of a U-Net's decoder levels with dropout; the outermost is 1."""
        assert self.levels is not None
        if self.dropout_levels == INNERMOST:
            return set(range(max(self.levels - 2, 2), self.levels + 1))
        if self.dropout_levels == INNER:
            return set(range(_INNER_FROM, self.levels))
        return set(map(int, self.dropout_levels.split(",")))

    def in_translation(self) -> "GeneratorOptions":
        """The same with the dropout that translation uses by default."""
        rate = dropout_in_translation(self.dropout, in_use=self.dropout_in_use)
        return dataclasses.replace(self, dropout=rate)


@dataclasses.dataclass(frozen=True)
class DiscriminatorOptions(Record):
    """The discriminator's architecture."""

    ndf: int = option(
        64,
        "model",
        "discriminator filters in the first layer",
        programs=_BOTH,
        least=1,
        most=MOST_FILTERS,
    )
    discriminator: str = option(
        "patch70",
        "model",
        "discriminator: pixel, patch16, patch70 or image286 (receptive fields of 1, 16, 70, 286 "
        "pixels); n_layers=K (K = 3 is patch70); same62, same94 or same142 (receptive fields of "
        "62, 94, 142 pixels and padding 'same', as in the presets pyimagesearch, deblur, "
        "keras-maps)",
        rule=_discriminator_rule,
    )
    conditional: bool = option(
        True, "model", "condition the discriminator on the input image", off="unconditional"
    )
    discriminator_bias: str = option(
        "same",
        "model",
        "the discriminator's convolutions with a bias, if they are other ones than --bias says",
        choices=("same", "none", "all", "last", "unnormed"),
    )
    target_first: bool = option(
        False,
        "model",
        "put the target's channels before the input image's in the discriminator's input",
        off="no_target_first",
    )


@dataclasses.dataclass(frozen=True)
class LayerOptions(Record):
    """What the layers of both networks share."""

    bias: str = option(
        "none",
        "model",
        "convolutions with a bias: none, all (pix2pix.py since December 2017), last (of each "
        "network), unnormed (those without batch normalisation)",
        choices=("none", "all", "last", "unnormed"),
    )
    norm_epsilon: float = option(1e-5, "model", "epsilon of batch normalisation", least=1e-12)
    norm_stddev: float = option(
        0.02,
        "model",
        "standard deviation of batch normalisation's initial scales, whose mean is 1",
        least=0,
    )
    norm_form: str = option(
        "auto",
        "model",
        "with --updates stored, which terms of the gradient through the discriminator's batch "
        "normalisation use the updated scale. fused: all; factored: only the term through the "
        "standard deviation; auto: factored for models without biases, otherwise fused",
        choices=("auto", "fused", "factored"),
    )
    moments: str = option(
        "batch",
        "model",
        "batch normalisation in training: mean and variance of all images that a device has of a "
        "batch, or of each image alone",
        choices=("batch", "image"),
    )
    lrelu_slope: float = option(0.2, "model", "slope of leaky ReLU below 0", least=0)
    initializer: str = option(
        "normal",
        "model",
        "initial filters: N(0, 0.02) or Glorot's uniform distribution",
        choices=("normal", "glorot"),
    )
    precision: str = option(
        "fp32",
        "training",
        {
            "train": "float32, or mixed: bfloat16 convolutions with float32 weights and losses",
            "test": "float32, or mixed: bfloat16 convolutions with float32 weights",
        },
        programs=_BOTH,
        choices=("fp32", "mixed"),
    )


@dataclasses.dataclass(frozen=True)
class ModelOptions(Record):
    """All options of the networks."""

    generator: GeneratorOptions = dataclasses.field(default_factory=GeneratorOptions)
    discriminator: DiscriminatorOptions = dataclasses.field(default_factory=DiscriminatorOptions)
    layers: LayerOptions = dataclasses.field(default_factory=LayerOptions)

    def in_translation(self) -> "ModelOptions":
        """The same as validation translates with it: in float32, with translation's dropout."""
        return dataclasses.replace(
            self,
            generator=self.generator.in_translation(),
            layers=dataclasses.replace(self.layers, precision="fp32"),
        )
