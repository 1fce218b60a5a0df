"""Every option of every program, in one frozen record; the flags are made from its fields."""

import dataclasses
import json
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2p_graph import __version__
from p2p_graph.config.presets import PRESETS
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.errors import UserError

OPTIONS_FILE = "options.json"

RESIZES = ("area", "bilinear", "nearest")
TOOLS = ("train", "test", "export")
_LARGEST_FLOAT = 3.4e38  # float32
_POOLED_LEVELS = 4
_SSIM_WINDOW = 11  # pixels
_LARGEST_BATCH = 2**16
_FREQUENCIES = ("summary_freq", "progress_freq", "trace_freq", "display_freq", "save_freq")
_WIDEST = 32  # pixels at the innermost level of a U-Net whose depth was not asked for


def _option(
    default: Any,
    group: str,
    text: str,
    *,
    tools: tuple[str, ...] = ("train",),
    choices: tuple[str, ...] = (),
    least: float | None = None,
    off: str | None = None,
) -> Any:
    metadata = {"group": group, "help": text, "tools": tools, "choices": choices, "least": least}
    # The flag that turns it off; by default it is no_NAME where the default is on.
    metadata["off"] = off or ("no_{}" if default is True else None)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """The options of one run; `None` stands for a default that depends on other options.

    The names and defaults of the reference program are kept. Making one checks every value.

    Raises:
      UserError: a value is out of its range; the message names the option, the rule and the value.
    """

    mode: str = _option(
        "train", "files", "accepted for old scripts; must name this program", tools=TOOLS
    )
    input_dir: str | None = _option(
        None,
        "files",
        "folder of images, A|B pairs side by side; or of TFRecord shards; or an .npz archive",
        tools=("train", "test"),
    )
    target_dir: str | None = _option(
        None,
        "files",
        "folder of images B, if those in input_dir are A alone; paired by name",
        tools=("train", "test"),
    )
    manifest: str | None = _option(
        None,
        "files",
        "list of image files, CSV with the columns input and target, instead of input_dir",
        tools=("train", "test"),
    )
    arrays: str | None = _option(
        None,
        "files",
        "names of the arrays in an .npz archive, A,B (arr_0,arr_1; inputs,targets; A,B)",
        tools=("train", "test"),
    )
    split: float = _option(
        1.0,
        "files",
        "share of the images to train on, chosen at random; tools/test.py takes the others",
        tools=("train", "test"),
        least=0,
    )
    split_seed: int = _option(
        0, "files", "which ones, as NumPy shuffles", tools=("train", "test"), least=0
    )
    output_dir: str | None = _option(None, "files", "where to put what is made", tools=TOOLS)
    checkpoint: str | None = _option(
        None, "files", "folder with a checkpoint to start from or to use", tools=TOOLS
    )
    skip_bad: bool = _option(
        False,
        "files",
        "go on without images that cannot be used, instead of stopping",
        tools=("train", "test"),
    )
    inputs_only: bool = _option(
        False, "files", "the images are inputs alone, without a target beside", tools=("test",)
    )

    preset: str = _option(
        "affinelayer",
        "training",
        "which published system's networks, updates and data handling to take as defaults",
        choices=tuple(PRESETS),
    )
    recipe: str | None = _option(
        None, "training", "whose defaults to take: a data set's name, or none (by folder name)"
    )
    which_direction: str = _option(
        "AtoB",
        "data",
        "from which half to which (A is the left one)",
        tools=("train", "test"),
        choices=("AtoB", "BtoA"),
    )
    lab_colorization: bool = _option(
        False,
        "data",
        "split single images into brightness (A) and colour (B)",
        tools=("train", "test"),
    )
    inpaint: str = _option(
        "none",
        "data",
        "single images, each with a white hole as input: its central half in both directions, or "
        "30 %% of its side before scaling",
        choices=("none", "center", "white30"),
    )
    resize: str = _option(
        "area",
        "data",
        "how images are scaled; nearest never mixes colours",
        tools=("train", "test"),
        choices=RESIZES,
    )
    resize_targets: str | None = _option(
        None,
        "data",
        "how targets are scaled, if otherwise",
        tools=("train", "test"),
        choices=RESIZES,
    )
    resize_first: bool = _option(
        False, "data", "scale to crop_size before scaling to scale_size", off="no_resize_first"
    )
    jitter: str = _option(
        "crop",
        "data",
        "scale to scale_size and crop at random; or enlarge by repeating pixels and scale back; "
        "or neither",
        choices=("crop", "shrink", "none"),
    )
    scale_size: int | None = _option(
        None, "data", "side to scale images to before cropping, pixels (crop_size * 286/256)"
    )
    crop_from: int = _option(0, "data", "pixels at the top and left that no crop shows", least=0)
    crop_size: int = _option(
        256, "data", "side of what the networks see, pixels", tools=TOOLS, least=1
    )
    flip: bool = _option(True, "data", "mirror half of the images, chosen at random")
    aspect_ratio: float = _option(
        1.0, "data", "width / height of the images written", tools=("train", "test"), least=0
    )
    cache_mb: int = _option(
        1024, "data", "memory for decoded images, MB; beyond it they are decoded anew", least=0
    )
    cache_as: str = _option(
        "auto",
        "data",
        "how they are kept: in bytes, scaled at each use, or as scaled values; auto: by device",
        choices=("auto", "bytes", "values"),
    )

    ngf: int = _option(
        64, "model", "generator filters in the first layer", tools=("train", "test"), least=1
    )
    ndf: int = _option(
        64, "model", "discriminator filters in the first layer", tools=("train", "test"), least=1
    )
    separable_conv: bool = _option(
        False, "model", "separable convolutions in the generator", tools=("train", "test")
    )
    levels: int | None = _option(
        None,
        "model",
        "depth of the U-Net (as often as crop_size halves evenly: 8 for 256)",
        least=2,
    )
    dropout: float = _option(
        0.5,
        "model",
        "share dropped after the three innermost decoders, in training and in use",
        tools=TOOLS,
        least=0,
    )

    generator: str = _option(
        "unet",
        "networks",
        "a U-Net, the same without skips, or a small U-Net that pools",
        choices=("unet", "encoder_decoder", "pooled"),
    )
    discriminator: str = _option(
        "patch70",
        "networks",
        "pixel, patch16, patch70, image286 or n_layers=K; same62, same94, same142: other systems'",
    )
    conditional: bool = _option(
        True, "networks", "show the discriminator the input besides", off="unconditional"
    )
    target_first: bool = _option(
        False,
        "networks",
        "show the discriminator the target's channels before the input's",
        off="no_target_first",
    )
    bias: str = _option(
        "none",
        "networks",
        "which convolutions have one: none, all (the reference since December 2017), the last one "
        "of each network, or those without normalisation",
        choices=("none", "all", "last", "unnormed"),
    )
    bottleneck_norm: bool = _option(True, "networks", "normalise the innermost encoder")
    norm_epsilon: float = _option(1e-5, "networks", "epsilon of batch normalisation", least=1e-12)
    norm_stddev: float = _option(
        0.02, "networks", "batch normalisation's scales start from N(1, this)", least=0
    )
    norm_form: str = _option(
        "auto",
        "networks",
        "batch normalisation in one operation or several (auto: one where there are biases)",
        choices=("auto", "fused", "factored"),
    )
    lrelu_slope: float = _option(0.2, "networks", "slope of leaky ReLU below 0", least=0)
    skip_activation: str = _option(
        "relu", "networks", "what a U-Net's skips pass through", choices=("relu", "lrelu")
    )
    initializer: str = _option(
        "normal",
        "networks",
        "filters start from N(0, 0.02), or from Glorot's uniform distribution",
        choices=("normal", "glorot"),
    )
    dropout_in_use: bool = _option(
        True, "networks", "drop in translation as in training, unless it is given --dropout"
    )

    batch_size: int = _option(1, "training", "images in a batch", tools=("train", "test"), least=1)
    max_steps: int | None = _option(
        None,
        "training",
        "steps in all, resumed ones included (test: batches at most)",
        tools=("train", "test"),
        least=0,
    )
    max_epochs: int | None = _option(
        None, "training", "epochs in all, resumed ones included (200)", least=0
    )
    steps_per_epoch: int | None = _option(
        None,
        "training",
        "steps that are counted as an epoch (as many as see all images)",
        least=1,
    )
    sampling: str = _option(
        "epochs",
        "training",
        "every image once an epoch, or each drawn from all",
        choices=("epochs", "replacement"),
    )
    updates: str = _option(
        "stored",
        "training",
        "G's gradient through D: its stored activations and updated weights; a fresh pass of the "
        "updated D; the old D; or D on real, D on generated, then a fresh pass of both",
        choices=("stored", "fresh", "simultaneous", "alternate"),
    )
    gan_loss: str = _option(
        "eps",
        "training",
        "logarithms with an epsilon, of clipped scores, of logits; or least squares",
        choices=("eps", "clip", "logits", "lsgan"),
    )
    d_scale: float = _option(1.0, "training", "factor of D's objective", least=0)
    steps_per_run: int = _option(
        1, "training", "steps between two looks at them, in one run of the session", least=1
    )
    xla: bool = _option(
        False, "training", "have XLA compile each step whole: for GPUs; other noise for dropout"
    )
    lr: float = _option(0.0002, "training", "learning rate of Adam", least=0)
    beta1: float = _option(0.5, "training", "decay of Adam's first moment", least=0)
    adam_epsilon: float = _option(1e-8, "training", "epsilon of Adam", least=1e-12)
    lr_schedule: str = _option(
        "constant",
        "training",
        "or falling to 0 through the second half of all steps",
        choices=("constant", "linear"),
    )
    l1_weight: float = _option(100.0, "training", "weight of L1 in G's loss", least=0)
    gan_weight: float = _option(1.0, "training", "weight of the GAN term in G's loss", least=0)
    seed: int = _option(
        0, "training", "of weights, order, jitter and dropout", tools=TOOLS, least=0
    )
    device: str = _option(
        "auto",
        "training",
        "where to compute",
        tools=("train", "test"),
        choices=("auto", "cpu", "gpu"),
    )

    precision: str = _option(
        "fp32",
        "training",
        "of the convolutions: float32, or bfloat16 with float32 weights and losses",
        tools=("train", "test"),
        choices=("fp32", "mixed"),
    )

    summary_freq: int = _option(
        100, "reports", "write TensorBoard summaries every N steps (0: never)", least=0
    )
    progress_freq: int = _option(
        50, "reports", "print the progress every N steps (0: never)", least=0
    )
    trace_freq: int = _option(0, "reports", "trace the execution every N steps (0: never)", least=0)
    display_freq: int = _option(
        0, "reports", "write training images every N steps (0: never)", least=0
    )
    sample_freq: str = _option(
        "0",
        "reports",
        "translate the same validation images every N steps, or every N epochs (2e): a grid of "
        "them in samples/, L1, PSNR and SSIM in losses.jsonl",
    )
    sample_count: int = _option(
        5, "reports", "how many images a grid shows", tools=("train", "test"), least=1
    )
    val_dir: str | None = _option(
        None,
        "reports",
        "validation images, as input_dir or manifest (those that split leaves; else the folder "
        "val or test beside input_dir)",
    )
    val_target_dir: str | None = _option(
        None, "reports", "their targets (the folder beside target_dir that is named like val_dir)"
    )
    keep_best: str = _option(
        "none",
        "reports",
        "keep the checkpoint with the best of these figures in best/",
        choices=("none", "l1", "psnr", "ssim"),
    )
    grid: bool = _option(
        False, "reports", "write a grid of the first images, grid.png", tools=("test",)
    )
    save_freq: int = _option(
        5000, "reports", "save a checkpoint every N steps and at the end (0: never)", least=0
    )
    output_filetype: str = _option(
        "png",
        "files",
        "what the exported graph's encoded output is",
        tools=("export",),
        choices=("png", "jpeg"),
    )

    def __post_init__(self) -> None:
        """Checks every value and fills in what depends on others."""
        for field in dataclasses.fields(self):
            _check_value(field, getattr(self, field.name))
        if self.levels is None:
            object.__setattr__(self, "levels", self._derived_levels())
        if self.scale_size is None:
            scale_size = (
                self.crop_size if self.jitter == "none" else round(self.crop_size * 286 / 256)
            )
            object.__setattr__(self, "scale_size", scale_size)
        self._check_sizes()
        if not self.dropout < 1:
            raise UserError(f"dropout must be at least 0 and under 1, not {self.dropout}")
        if not self.beta1 < 1:
            raise UserError(f"beta1 must be at least 0 and under 1, not {self.beta1}")
        if round(self.crop_size * self.aspect_ratio) < 1:
            raise UserError(
                f"aspect_ratio must leave a pixel of {self.crop_size}, {self.aspect_ratio} does not"
            )
        if not 0 < self.split <= 1:
            raise UserError(f"split must be over 0 and at most 1, not {self.split}")
        if self.batch_size > _LARGEST_BATCH:
            raise UserError(f"batch_size must be at most {_LARGEST_BATCH}, not {self.batch_size}")
        for name in ("seed", "split_seed"):
            if getattr(self, name) >= 2**31:
                raise UserError(f"{name} must be under 2^31, not {getattr(self, name)}")
        self._check_sources()
        self._check_samples()
        for name in _FREQUENCIES:
            if getattr(self, name) % self.steps_per_run:
                raise UserError(
                    f"{name} must be a multiple of steps_per_run ({self.steps_per_run}), "
                    f"not {getattr(self, name)}"
                )

    def _derived_levels(self) -> int:
        if self.generator == "pooled":
            return _POOLED_LEVELS
        levels = _halvings(self.crop_size)
        innermost = self.crop_size >> levels
        if levels < 2:
            nearest = max(4, 4 * round(self.crop_size / 4))
            raise UserError(
                f"crop_size must be a multiple of 4: {self.crop_size} is not, try {nearest}"
            )
        if innermost > _WIDEST:
            nearest = min(
                (
                    size
                    for size in range(16, 2 * self.crop_size)
                    if size >> _halvings(size) <= _WIDEST
                ),
                key=lambda size: abs(size - self.crop_size),
            )
            raise UserError(
                f"crop_size must halve evenly to {_WIDEST} or less, unless levels is given: "
                f"{self.crop_size} stops at {innermost}, try {nearest}"
            )
        return levels

    def _check_sizes(self) -> None:
        assert self.levels is not None
        assert self.scale_size is not None
        multiple = 2**self.levels
        if self.crop_size % multiple:
            nearest = multiple * max(1, round(self.crop_size / multiple))
            raise UserError(
                f"crop_size must be a multiple of {multiple}, as the generator has {self.levels} "
                f"levels: {self.crop_size} is not, try {nearest}"
            )
        if self.scale_size < self.crop_size:
            raise UserError(
                f"scale_size must be at least crop_size ({self.crop_size}), not {self.scale_size}"
            )

        if self.jitter == "none" and self.scale_size != self.crop_size:
            raise UserError(
                f"scale_size must be crop_size ({self.crop_size}) with --jitter none, "
                f"not {self.scale_size}"
            )
        if self.crop_from > self.scale_size - self.crop_size > 0:
            raise UserError(
                f"crop_from must be at most scale_size - crop_size "
                f"({self.scale_size - self.crop_size}), not {self.crop_from}"
            )
        if self.generator == "pooled" and (self.levels != _POOLED_LEVELS or self.separable_conv):
            raise UserError(f"generator pooled has {_POOLED_LEVELS} levels and no --separable_conv")
        alone = [n for n in ("inputs_only", "lab_colorization") if getattr(self, n)]
        alone += ["inpaint"] if self.inpaint != "none" else []
        if self.target_dir is not None and alone:
            raise UserError(f"target_dir and {alone[0]} contradict each other: give one of them")
        if self.inpaint == "center" and self.resize_targets is not None:
            raise UserError(
                "resize_targets contradicts inpaint center, where input and target are one image"
            )
        if self.inpaint != "none" and self.lab_colorization:
            raise UserError("inpaint and lab_colorization are two tasks: give one of them")
        if self.gan_weight == 0 and self.l1_weight == 0:
            raise UserError("gan_weight and l1_weight are both 0: nothing is left to learn from")

    def _check_sources(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and not _is_utf8(value):
                raise UserError(f"{field.name} {value!r} is not UTF-8")
        named = [Path(name).resolve() for name in (self.input_dir, self.target_dir) if name]
        if len(named) == 2 and named[0] == named[1]:
            raise UserError(f"input_dir and target_dir are both {self.input_dir}")
        for one, other in (
            ("input_dir", "manifest"),
            ("target_dir", "manifest"),
            ("arrays", "manifest"),
            ("arrays", "target_dir"),
        ):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise UserError(f"{one} and {other} contradict each other: give one of them")

    def _check_samples(self) -> None:
        if not re.fullmatch(r"[0-9]{1,9}e?", self.sample_freq):
            raise UserError(
                "sample_freq must be a number of steps, or of epochs as in 2e, "
                f"not {self.sample_freq!r}"
            )
        sampled = int(self.sample_freq.removesuffix("e")) > 0
        for name in ("val_dir", "val_target_dir"):
            if getattr(self, name) is not None and not sampled:
                raise UserError(f"{name} needs --sample_freq, which says when to look at it")
        if self.val_target_dir is not None and self.val_dir is None:
            raise UserError("val_target_dir needs --val_dir, whose targets it holds")
        if self.sample_count != type(self).sample_count and not (sampled or self.grid):
            raise UserError("sample_count needs --sample_freq or, in tools/test.py, --grid")
        if self.keep_best != "none" and not sampled:
            raise UserError("keep_best needs --sample_freq, which says when to look for it")
        side = min(self.crop_size, round(self.crop_size * self.aspect_ratio))
        if sampled and side < _SSIM_WINDOW:
            raise UserError(
                f"sample_freq needs images of {_SSIM_WINDOW} pixels at least, "
                f"as SSIM does, not {side}"
            )

    @property
    def data(self) -> str:
        """What names the images: `manifest` or `input_dir`, one of which is given."""
        named = self.manifest if self.manifest is not None else self.input_dir
        assert named is not None
        return named

    def replace(self, **changes: Any) -> "Config":
        """Returns a copy with some options changed, checked anew."""
        return dataclasses.replace(self, **changes)

    def save(self, folder: Path, record: Mapping[str, str] | None = None) -> None:
        """Writes options.json into a folder, whole or not at all.

        Args:
          folder: where it goes.
          record: what else is known of the run, by names of `options.RECORDED`.
        """
        record = {"working_dir": str(Path.cwd()), **(record or {})}
        options = {**dataclasses.asdict(self), **record, "version": __version__}
        write_json(folder / OPTIONS_FILE, options, sort_keys=True)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _halvings(size: int) -> int:
    """How often a size halves evenly: 8 for 256, 7 for 128 and 384."""
    return (size & -size).bit_length() - 1


def _check_value(field: "dataclasses.Field[Any]", value: Any) -> None:
    kinds = field_kinds(field)
    if value is None and types.NoneType in kinds:
        return
    allowed = (*kinds, int) if float in kinds else kinds
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds if kind is not types.NoneType)
        raise UserError(
            f"{field.name} must be of type {wanted}, not {json.dumps(value, default=str)}"
        )
    choices, least = field.metadata["choices"], field.metadata["least"]
    if choices and value not in choices:
        raise UserError(f"{field.name} must be one of {', '.join(choices)}, not {value!r}")
    if isinstance(value, float) and not abs(value) <= _LARGEST_FLOAT:
        raise UserError(f"{field.name} must be a finite number, not {value}")
    if least is not None and value < least:
        raise UserError(f"{field.name} must be at least {least}, not {value}")


def field_kinds(field: "dataclasses.Field[Any]") -> tuple[type, ...]:
    """The types that an option's value may have."""
    kind = typing.get_type_hints(Config)[field.name]
    return typing.get_args(kind) or (kind,)
