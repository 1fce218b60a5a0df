"""Palettes of label images: the colour of each class, and class ids read off colours."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported, read_bytes

Array = np.ndarray[Any, Any]
Colour = tuple[int, int, int]
_Item = TypeVar("_Item")

IGNORED_ID = 255  # the customary id of pixels without a class
# The largest distance of a colour from its JPEG-compressed self inside an area.
_TOLERANCE = 12
_PIXELS_AT_ONCE = 2**18  # bounds the memory of `_nearest_colours`
_SAMPLE_SIZE = 10
_COLUMNS = ("class", "red", "green", "blue")
_MAX_CLASSES = 255
_LARGEST_FILE = 2**20  # bytes of a palette's CSV file
# The least share of matching pixels in label images. JPEG label images have 0.43, photos 0.08.
_MIN_COVERAGE = 0.25


class Palette(NamedTuple):
    """Classes and their colours.

    Attributes:
      name: the name in messages.
      classes: class name -> colour; a class's position is its id, from 0 on.
      ignored: colours of pixels that are not evaluated.
    """

    name: str
    classes: Mapping[str, Colour]
    ignored: tuple[Colour, ...] = ()

    def is_equivalent(self, other: "Palette") -> bool:
        """Whether both have the same classes, colours and ignored colours; names may differ."""
        own = list(self.classes.items()), set(self.ignored)
        return own == (list(other.classes.items()), set(other.ignored))

    def class_ids(self, image: Array) -> Array:
        """Gives each pixel the class of the nearest colour; the first of equally near colours.

        Args:
          image: uint8 [H, W, 3].

        Returns:
          int64 [H, W]: the class's id, or the number of classes for an ignored colour.
        """
        nearest, _ = self._nearest_colours(image)
        ids: Array = nearest.clip(max=len(self.classes)).reshape(image.shape[:2])
        return ids

    def has_all_colours(self, image: Array) -> bool:
        """Whether every pixel, uint8 [H, W, 3], has exactly a class's or an ignored colour."""
        _, squared_distances = self._nearest_colours(image)
        return not squared_distances.any()

    def coverage(self, image: Array) -> float:
        """The share of an image's pixels, uint8 [H, W, 3], that match a colour of the palette."""
        _, squared_distances = self._nearest_colours(image)
        return float((squared_distances <= _TOLERANCE**2).mean())

    def check_coverage(self, images: Iterable[Array], description: str) -> None:
        """Refuses images that are no label images, or have the colours of another palette.

        Args:
          images: a sample of the images, uint8 [H, W, 3] each.
          description: what the images are, for the message, such as "targets".

        Raises:
          UserError: too few of the pixels match a colour of the palette.
        """
        share = float(np.mean([self.coverage(image) for image in images]))
        if share < _MIN_COVERAGE:
            raise UserError(
                f"palette {self.name} does not fit the {description}: {share:.0%} of their pixels "
                "match one of its colours; if they are label images, name their own palette "
                "(--palette)"
            )

    def _nearest_colours(self, image: Array) -> tuple[Array, Array]:
        """Each pixel's nearest colour.

        Returns:
          Two int64 [H * W]: the index of the colour in `classes` and then `ignored`, and the
          squared distance to that colour.
        """
        colours = np.array([*self.classes.values(), *self.ignored], np.int64)
        pixels = image.reshape(-1, 3)
        parts = []
        for first in range(0, len(pixels), _PIXELS_AT_ONCE):
            part = pixels[first : first + _PIXELS_AT_ONCE].astype(np.int64)
            # |p - c|^2 without |p|^2, which is the same for all colours; exact in integers.
            distances = (colours**2).sum(1) - 2 * part @ colours.T
            parts.append((distances.argmin(1), distances.min(1) + (part**2).sum(1)))
        nearest, squared_distances = (np.concatenate(one) for one in zip(*parts, strict=True))
        return nearest, squared_distances


# The 19 evaluated classes and the colours of all other labels (cityscapesScripts, labels.py).
# Pole groups have the colour of poles and licence plates that of cars: they count as such.
CITYSCAPES = Palette(
    "cityscapes",
    {
        "road": (128, 64, 128),
        "sidewalk": (244, 35, 232),
        "building": (70, 70, 70),
        "wall": (102, 102, 156),
        "fence": (190, 153, 153),
        "pole": (153, 153, 153),
        "traffic light": (250, 170, 30),
        "traffic sign": (220, 220, 0),
        "vegetation": (107, 142, 35),
        "terrain": (152, 251, 152),
        "sky": (70, 130, 180),
        "person": (220, 20, 60),
        "rider": (255, 0, 0),
        "car": (0, 0, 142),
        "truck": (0, 0, 70),
        "bus": (0, 60, 100),
        "train": (0, 80, 100),
        "motorcycle": (0, 0, 230),
        "bicycle": (119, 11, 32),
    },
    (
        (0, 0, 0),  # unlabelled, ego vehicle, static objects, out of the region of interest
        (111, 74, 0),  # dynamic objects
        (81, 0, 81),  # ground
        (250, 170, 160),  # parking
        (230, 150, 140),  # rail track
        (180, 165, 180),  # guard rail
        (150, 100, 100),  # bridge
        (150, 120, 90),  # tunnel
        (0, 0, 90),  # caravan
        (0, 0, 110),  # trailer
    ),
)

# The twelve classes of CMP Facades (Tylecek and Sara 2013), in the colours of pix2pix's files.
FACADES = Palette(
    "facades",
    {
        "background": (0, 0, 222),
        "facade": (0, 48, 255),
        "window": (0, 128, 255),
        "door": (0, 208, 255),
        "cornice": (32, 255, 224),
        "sill": (112, 255, 144),
        "balcony": (192, 255, 63),
        "blind": (255, 240, 0),
        "deco": (255, 159, 0),
        "molding": (255, 80, 0),
        "pillar": (254, 0, 0),
        "shop": (174, 0, 0),
    },
)

PALETTES: Mapping[str, Palette] = MappingProxyType(
    {palette.name: palette for palette in (CITYSCAPES, FACADES)}
)


def spread_sample(items: Sequence[_Item]) -> list[_Item]:
    """Ten items spread evenly over a sequence, or all items of a shorter one."""
    step = max(1, len(items) // _SAMPLE_SIZE)
    return list(items[::step][:_SAMPLE_SIZE])


def load(name: str) -> Palette:
    """Gives the built-in palette of a name, or reads a palette from a CSV file.

    The file's columns are class, red, green and blue. A row without a class is an ignored colour.

    Args:
      name: a name in `PALETTES`, or the file's path.

    Raises:
      UserError: neither exists, or the file is wrong.
    """
    if name in PALETTES:
        return PALETTES[name]
    path = Path(name)
    if not name or not (path.exists() or path.is_symlink()):
        raise UserError(
            f"palette must be one of {', '.join(PALETTES)} or a CSV file of class, red, green and "
            f"blue; there is no file {name!r}"
        )
    try:
        with damage_reported(f"palette {path}", "CSV"):
            classes, ignored = _read_csv(path)
    except FileNotFoundError:
        raise UserError(f"palette {path} is a link that leads nowhere") from None
    colours = [*classes.values(), *ignored]
    if len(set(colours)) < len(colours):
        raise UserError(f"palette {path} has a colour twice: give each class its own colour")
    if not 2 <= len(classes) <= _MAX_CLASSES:
        raise UserError(f"palette {path} must have 2 to {_MAX_CLASSES} classes, not {len(classes)}")
    return Palette(path.name, classes, tuple(ignored))


def _read_csv(path: Path) -> tuple[dict[str, Colour], list[Colour]]:
    """Reads a palette's classes and ignored colours."""
    classes: dict[str, Colour] = {}
    ignored: list[Colour] = []
    text = read_bytes(path, _LARGEST_FILE).decode("utf-8-sig")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
        raise UserError(
            f"palette {path} has no column {missing[0]}: the first line must be "
            f"{','.join(_COLUMNS)}"
        )
    for row in rows:
        location = f"palette {path}, line {rows.line_num}"
        red, green, blue = (_parse_channel(row.get(channel), location) for channel in _COLUMNS[1:])
        class_name = (row.get("class") or "").strip()
        if class_name in classes:
            raise UserError(f"{location}: class {class_name} is defined twice")
        if class_name:
            classes[class_name] = red, green, blue
        else:
            ignored.append((red, green, blue))
    return classes, ignored


def _parse_channel(text: str | None, location: str) -> int:
    given = (text or "").strip()
    digits = given.lstrip("0") or given[-1:]
    # The length comes first: Python converts no number of thousands of digits.
    if not digits.isdecimal() or len(digits) > 3 or int(digits) > 255:
        raise UserError(f"{location}: red, green and blue must be whole numbers from 0 to 255")
    return int(digits)
