"""G and D with their losses, built from the options."""

import tensorflow.compat.v1 as tf

from p2p_graph.config.model_options import GeneratorOptions, LayerOptions, ModelOptions
from p2p_graph.config.training_options import LossOptions
from p2p_graph.models.discriminators import discriminator, layers_of
from p2p_graph.models.generators import Pooled, UNet, generator, pooled, unet
from p2p_graph.models.layer_settings import LayerSettings
from p2p_graph.models.losses import (
    GAN_LOSSES,
    LOGITS,
    PROBABILITIES,
    discriminator_loss,
    generator_loss,
)
from p2p_graph.models.tensor_shapes import size_of

# Measured on two cores: see docs/PERFORMANCE.md.
_MATMUL_POSITIONS = 1024
# Without gradients, matmul convolutions are faster at fewer positions only.
_MATMUL_POSITIONS_FORWARD = 128


class Networks:
    """G and D; a call builds a forward pass that reads the weights at that point of the graph."""

    def __init__(
        self, model: ModelOptions, losses: LossOptions, seed: int, *, on_cpu: bool
    ) -> None:
        """Chooses architectures and losses; variables are made by the first forward pass.

        Args:
          model: generator, discriminator and their layers.
          losses: the adversarial loss and the weights of all terms.
          seed: of the dropout masks.
          on_cpu: whether the graph runs on the CPU.
        """
        self.has_discriminator = losses.gan_weight > 0
        self._model, self._losses, self._seed = model, losses, seed
        self._scores = GAN_LOSSES[losses.gan_loss].scores
        self._settings = layer_settings(model.layers, on_cpu=on_cpu)

    def generate(
        self, inputs: tf.Tensor, target_channels: int, step: tf.Tensor, draw: int = 0
    ) -> tf.Tensor:
        """G's outputs.

        Args:
          inputs: float32 [N, H, W, C_in] in [-1, 1].
          target_channels: C_out.
          step: int64 scalar; dropout masks are a function of the seed, the step and the layer.
          draw: a number other than 0 gives other masks in the same step.

        Returns:
          float32 [N, H, W, C_out] in [-1, 1].
        """
        noise = tf.stack([tf.constant(self._seed, tf.int64), step])
        if draw:
            noise = tf.random.experimental.stateless_fold_in(noise, -draw)
        spec = generator_spec(
            self._model.generator, self._model.layers, target_channels, self._settings
        )
        with tf.variable_scope("generator", reuse=tf.AUTO_REUSE):
            return generator(inputs, spec, noise)

    def discriminate(self, inputs: tf.Tensor, targets: tf.Tensor, name: str) -> tf.Tensor:
        """D's scores of pairs.

        Args:
          inputs: float32 [N, H, W, C_in] in [-1, 1].
          targets: float32 [N, H, W, C_out] in [-1, 1], real or generated.
          name: of the name scope.

        Returns:
          float32 [N, h, w, 1], as `models.discriminators.discriminator`.
        """
        options = self._model.discriminator
        images = [inputs, targets] if options.conditional else [targets]
        with (
            tf.name_scope(f"{name}_discriminator"),
            tf.variable_scope("discriminator", reuse=tf.AUTO_REUSE),
        ):
            return discriminator(
                images[::-1] if options.target_first else images,
                layers_of(options.discriminator, options.ndf),
                bias=self._model.layers.bias
                if options.discriminator_bias == "same"
                else options.discriminator_bias,
                sigmoid=self._scores == PROBABILITIES,
                settings=self._settings,
            )

    def probabilities(self, scores: tf.Tensor | None) -> tf.Tensor | None:
        """Scores for summaries: logits are converted to probabilities."""
        is_logit = self._scores == LOGITS and scores is not None
        return tf.sigmoid(scores) if is_logit else scores

    def d_loss(self, predict_real: tf.Tensor | None, predict_fake: tf.Tensor | None) -> tf.Tensor:
        """D's loss on these scores; see `losses.discriminator_loss`."""
        return discriminator_loss(predict_real, predict_fake, self._losses)

    def g_loss(
        self, targets: tf.Tensor, outputs: tf.Tensor, predict_fake: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """G's loss, then its two terms; see `losses.generator_loss`."""
        return generator_loss(targets, outputs, predict_fake, self._losses)


def translate(
    inputs: tf.Tensor,
    model: ModelOptions,
    target_channels: int,
    seed: int | tf.Tensor,
    *,
    on_cpu: bool,
    frozen: bool = False,
    any_size: bool = False,
    expected: tuple[int, int] | None = None,
) -> tf.Tensor:
    """Translates images with per-image statistics and one dropout mask for all images.

    An image's translation does not depend on its batch.

    Args:
      inputs: float32 [N, H, W, C_in] in [-1, 1]; H and W are multiples of 2^levels, or with
        `any_size` at least 2^levels.
      model: the generator and its layers.
      target_channels: C_out.
      seed: of the dropout masks; a tensor, int64 scalar, may change from call to call.
      on_cpu: whether the graph runs on the CPU.
      frozen: whether the weights do not change (see `LayerSettings`).
      any_size: whether inputs get a border, the reflection of their last rows and columns, up to
        the next multiple of 2^levels, which is cut off the outputs.
      expected: height and width of most inputs (see `LayerSettings`).

    Returns:
      float32 [N, H, W, C_out] in [-1, 1].
    """
    if any_size:
        assert model.generator.levels is not None
        multiple = 2**model.generator.levels
        _, height, width = size_of(inputs)
        border = [[0, 0], [0, -height % multiple], [0, -width % multiple], [0, 0]]
        padded = tf.pad(inputs, border, "REFLECT")
        outputs = translate(padded, model, target_channels, seed, on_cpu=on_cpu, frozen=frozen)
        return outputs[:, :height, :width]
    settings = layer_settings(model.layers, on_cpu=on_cpu)._replace(expected=expected)
    if frozen:
        positions = min(settings.matmul_positions, _MATMUL_POSITIONS_FORWARD)
        settings = settings._replace(
            frozen=True, fixed_seed=isinstance(seed, int), matmul_positions=positions
        )
    spec = generator_spec(model.generator, model.layers, target_channels, settings)
    noise = tf.cast(tf.stack([seed, 0]), tf.int64)
    with tf.variable_scope("generator", reuse=tf.AUTO_REUSE):
        return generator(inputs, spec, noise, per_image=True)


def generator_spec(
    options: GeneratorOptions, layers: LayerOptions, target_channels: int, settings: LayerSettings
) -> UNet | Pooled:
    """The generator's layers as data."""
    assert options.levels is not None
    if options.generator == "pooled":
        return pooled(target_channels, ngf=options.ngf, dropout=options.dropout, settings=settings)
    return unet(
        target_channels,
        ngf=options.ngf,
        levels=options.levels,
        dropout=options.dropout,
        dropout_levels=options.levels_with_dropout(),
        separable=options.separable_conv,
        bias=layers.bias,
        bottleneck_norm=options.bottleneck_norm,
        skips=options.generator == "unet",
        leaky_skips=options.skip_activation == "lrelu",
        settings=settings,
    )


def layer_settings(layers: LayerOptions, *, on_cpu: bool) -> LayerSettings:
    """What all layers of both networks share."""
    fused = layers.norm_form == "fused" or (layers.norm_form == "auto" and layers.bias != "none")
    return LayerSettings(
        slope=layers.lrelu_slope,
        epsilon=layers.norm_epsilon,
        norm_stddev=layers.norm_stddev,
        fused=fused,
        glorot=layers.initializer == "glorot",
        mixed=layers.precision == "mixed",
        image_moments=layers.moments == "image",
        matmul_positions=_MATMUL_POSITIONS if on_cpu else 0,
    )
