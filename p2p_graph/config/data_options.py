"""Options of the data: image sources, the task, scaling and jitter, batches, the cache."""

import dataclasses
from collections.abc import Mapping

from p2p_graph.config.image_size import LARGEST_SIDE, ImageSize
from p2p_graph.config.listed_values import MOST_CHANNELS, Channels, Folders
from p2p_graph.config.option_fields import Record, option

RESIZES = ("area", "bilinear", "bicubic", "nearest")
RGB = 3  # channels
FILE_CHANNELS = (1, RGB, 4)  # that image files hold: grey, RGB, RGB and alpha
_BOTH = ("train", "test")
_ALL = ("train", "test", "export")
_CROP_SIZE = (
    "height and width of the networks' images, pixels, as in 256 or 256x512; multiples of 2^levels"
)


@dataclasses.dataclass(frozen=True)
class ImageSource(Record):
    """Where the images are, and which of them to take."""

    input_dir: str | None = option(
        None,
        "files",
        "images: a folder of A|B pairs side by side, a folder of TFRecord shards, or an .npz "
        "archive (required, unless --manifest is given)",
        programs=_BOTH,
    )
    target_dir: str | None = option(
        None,
        "files",
        "folder of the B images where input_dir holds the A images; the names of a pair are equal, "
        "suffixes may differ",
        programs=_BOTH,
    )
    more_inputs: Folders | None = option(
        None,
        "files",
        "folder of further input images of the same names, whose channels follow those of the "
        "input; may be given several times",
        programs=(*_BOTH, "export"),
        metavar="DIR",
    )
    manifest: str | None = option(
        None,
        "files",
        "CSV file of image paths, columns input (A) and target (B), instead of input_dir",
        programs=_BOTH,
        metavar="CSV",
    )
    arrays: str | None = option(
        None,
        "files",
        "array names of an .npz archive: A's and B's, or one name for single images (default: the "
        "only array, or the one of these pairs that the archive has: arr_0 and arr_1; inputs and "
        "targets; input and target; A and B; a and b)",
        programs=_BOTH,
        metavar="A,B",
    )
    split: float = option(
        1.0,
        "files",
        {
            "train": "fraction of the images to train on, drawn at random; tools/test.py takes the "
            "remainder",
            "test": "translate the images that training with this --split left out; 1: all "
            "images (default: if input_dir is that of training, training's --split; otherwise 1)",
        },
        programs=_BOTH,
        rule=lambda value: None if 0 < value <= 1 else "must be over 0 and at most 1",
    )
    split_seed: int = option(
        0,
        "files",
        {
            "train": "seed of the split (NumPy's shuffle)",
            "test": "seed of the split (NumPy's shuffle) (default: training's if the split is "
            "training's, otherwise 0)",
        },
        programs=_BOTH,
        least=0,
        below=2**31,
    )
    upright: bool = option(
        False,
        "files",
        {
            "train": "turn photos as their EXIF orientation says, as viewers show them",
            "test": "turn photos as their EXIF orientation says (default: as in training)",
        },
        programs=_BOTH,
        off="no_upright",
    )
    skip_bad: bool = option(
        False, "files", "leave out images that cannot be read, instead of stopping", programs=_BOTH
    )

    @property
    def path(self) -> str:
        """What names the images: `manifest` or `input_dir`, one of which is given."""
        named = self.manifest if self.manifest is not None else self.input_dir
        assert named is not None
        return named


@dataclasses.dataclass(frozen=True)
class TaskOptions(Record):
    """What is translated to what."""

    which_direction: str = option(
        "AtoB",
        "data",
        "translation direction; A is the left half of a pair",
        programs=_BOTH,
        choices=("AtoB", "BtoA"),
    )
    lab_colorization: bool = option(
        False,
        "data",
        "colourisation of single images in CIE Lab: A is the L channel, B the ab channels",
        programs=_BOTH,
    )
    inpaint: str = option(
        "none",
        "data",
        "inpainting of single images: the input has a white hole of half (center) or 30 %% "
        "(white30) of its height and width",
        choices=("none", "center", "white30"),
    )
    input_channels: Channels | None = option(
        None,
        "data",
        "channels of an input: 1 (grey), 3 (RGB) or 4 (RGB and alpha) of image files, those that "
        "they have of arrays, and a sum as in 3+1 with --more_inputs (default: what arrays have, "
        "and 3 of image files; with --more_inputs, 1 of folders whose first image is grey)",
        programs=_BOTH,
        metavar="N",
    )
    target_channels: int | None = option(
        None,
        "data",
        "channels of a target and of the output, likewise",
        programs=_BOTH,
        least=1,
        most=MOST_CHANNELS,
    )
    inputs_only: bool = option(
        False, "files", "the images are inputs without targets", programs=("test", "export")
    )

    @property
    def is_single(self) -> bool:
        """Whether an image is an input, or both input and target, rather than one of a pair."""
        return self.lab_colorization or self.inpaint != "none" or self.inputs_only

    @property
    def has_targets(self) -> bool:
        """Whether images come with targets: with Lab always, as their own other channels.

        With `inpaint`, `inputs_only` says that the images have holes already.
        """
        return self.lab_colorization or not self.inputs_only

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of an input and of a target, which with Lab are L (1) and ab (2)."""
        if not self.lab_colorization:
            return self.input_parts.total, self.target_channels or RGB
        return (1, 2) if self.which_direction == "AtoB" else (2, 1)

    @property
    def input_parts(self) -> Channels:
        """Channels of each part of an input: of the image, then of each of `more_inputs`."""
        return self.input_channels or Channels([RGB])

    @property
    def shown_parts(self) -> Mapping[str, Channels]:
        """Channels of the parts of written images, by kind; with Lab they are RGB or grey."""
        if self.lab_colorization:
            return dict.fromkeys(("inputs", "outputs", "targets"), Channels([RGB]))
        target = Channels([self.channels[1]])
        return {"inputs": self.input_parts, "outputs": target, "targets": target}


@dataclasses.dataclass(frozen=True)
class ScalingOptions(Record):
    """How images are scaled, cropped and mirrored (Isola et al. 2017, section 6.2)."""

    resize: str = option(
        "area",
        "data",
        "interpolation that scales images; nearest keeps label colours as they are",
        programs=_BOTH,
        choices=RESIZES,
    )
    resize_targets: str | None = option(
        None,
        "data",
        "interpolation that scales targets, if not that of --resize",
        programs=_BOTH,
        choices=RESIZES,
    )
    resize_first: bool = option(
        False,
        "data",
        "scale to crop_size, then to scale_size, as the preset deblur does",
        off="no_resize_first",
    )
    jitter: str = option(
        "crop",
        "data",
        "crop: scale to scale_size, then cut out a random part of crop_size; shrink: scale up to "
        "scale_size by nearest neighbour, then back down to crop_size, without randomness; none: "
        "scale to crop_size",
        choices=("crop", "shrink", "none"),
    )
    scale_size: ImageSize | None = option(
        None,
        "data",
        "height and width before the random crop, pixels, as in 286 or 286x572 (default: crop_size "
        "* 286/256; crop_size with --jitter none)",
        metavar="SIZE",
    )
    crop_from: int = option(
        0, "data", "no crop contains the first N rows and columns", least=0, most=LARGEST_SIDE
    )
    crop_size: ImageSize = option(
        ImageSize(256, 256),
        "data",
        {
            "train": _CROP_SIZE,
            "test": f"{_CROP_SIZE}; original: each image's own size, with a border by reflection "
            "that is cut off the output",
            "export": "size to which the meta graph and the signature 'encoded' scale images, "
            "pixels, as in 256 or 256x512; the signature 'serving_default' takes any multiple of "
            "2^levels",
        },
        programs=_ALL,
        metavar="SIZE",
    )
    flip: bool = option(True, "data", "mirror each image left to right with probability 1/2")

    def without_jitter(self) -> "ScalingOptions":
        """The same without random crops: images are scaled to crop_size."""
        return dataclasses.replace(self, scale_size=self.crop_size, jitter="none")


@dataclasses.dataclass(frozen=True)
class BatchOptions(Record):
    """How images are drawn into batches."""

    batch_size: int = option(
        1, "training", "images in a batch", programs=_BOTH, least=1, most=2**16
    )
    sampling: str = option(
        "epochs",
        "training",
        "image order: a shuffle of all images each epoch, or independent draws with replacement",
        choices=("epochs", "replacement"),
    )


@dataclasses.dataclass(frozen=True)
class CacheOptions(Record):
    """Which decoded images stay in memory."""

    cache_mb: int = option(
        1024,
        "data",
        "memory that caches decoded images, MB; images beyond it are decoded at each use",
        least=0,
        most=2**30,
    )
    cache_as: str = option(
        "auto",
        "data",
        "cached form: bytes, scaled at each use; values, scaled float32; auto: on a CPU "
        "bytes where they are smaller and all images have one size, on a GPU values if all fit",
        choices=("auto", "bytes", "values"),
    )


@dataclasses.dataclass(frozen=True)
class DataOptions(Record):
    """All options of the data."""

    source: ImageSource = dataclasses.field(default_factory=ImageSource)
    task: TaskOptions = dataclasses.field(default_factory=TaskOptions)
    scaling: ScalingOptions = dataclasses.field(default_factory=ScalingOptions)
    batches: BatchOptions = dataclasses.field(default_factory=BatchOptions)
    cache: CacheOptions = dataclasses.field(default_factory=CacheOptions)
