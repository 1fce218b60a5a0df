"""Label images' colours: which class each stands for."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from p2p_graph.utils.errors import UserError

Colour = tuple[int, int, int]
_Item = TypeVar("_Item")

NONE = 255  # the id of what has no class, by custom
_NEAR = 12  # a colour's distance to what it is after JPEG, within an area
_PIXELS_AT_ONCE = 2**18
_LOOKED_AT = 10
_MOST_CLASSES = 255
_LEAST_FIT = 0.25  # of label images' pixels; JPEG's have 0.43 and more, photos 0.08


class Palette(NamedTuple):
    """Classes and their colours.

    Attributes:
      name: what it is called in messages.
      classes: each evaluated class's colour, in order of their ids from 0.
      ignored: colours of what is not evaluated.
    """

    name: str
    classes: Mapping[str, Colour]
    ignored: tuple[Colour, ...] = ()

    def is_same(self, other: "Palette") -> bool:
        """Whether the classes and colours are another palette's, whatever it is called."""
        mine = list(self.classes.items()), set(self.ignored)
        return mine == (list(other.classes.items()), set(other.ignored))

    def ids(self, image: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """Reads classes off an image by the nearest colour; of two as near, by the first one.

        Args:
          image: uint8 [H, W, 3].

        Returns:
          int64 [H, W]: a class's id, or the number of classes for what is ignored.
        """
        nearest, _ = self._nearest(image)
        ids: np.ndarray[Any, Any] = nearest.clip(max=len(self.classes)).reshape(image.shape[:2])
        return ids

    def fit(self, image: "np.ndarray[Any, Any]") -> float:
        """The share of an image's pixels, uint8 [H, W, 3], that have one of the colours."""
        _, distances = self._nearest(image)
        return float((distances <= _NEAR**2).mean())

    def check_fit(self, images: Iterable["np.ndarray[Any, Any]"], which: str) -> None:
        """Refuses to read classes off images that are no labels, or labels of other colours.

        Args:
          images: some of them, uint8 [H, W, 3] each.
          which: what they are called.

        Raises:
          UserError: few of their pixels have one of the colours.
        """
        share = float(np.mean([self.fit(image) for image in images]))
        if share < _LEAST_FIT:
            raise UserError(
                f"palette {self.name} does not fit the {which}: {share:.0%} of their pixels have "
                "one of its colours; name their own, if they are labels (--palette)"
            )

    def _nearest(
        self, image: "np.ndarray[Any, Any]"
    ) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
        """Each pixel's nearest colour, and its squared distance to that."""
        colours = np.array([*self.classes.values(), *self.ignored], np.int64)
        pixels = image.reshape(-1, 3)
        found = []
        for first in range(0, len(pixels), _PIXELS_AT_ONCE):
            part = pixels[first : first + _PIXELS_AT_ONCE].astype(np.int64)
            # |p - c|^2 without |p|^2, which all colours share; exact, as these are whole numbers.
            distances = (colours**2).sum(1) - 2 * part @ colours.T
            nearest = distances.argmin(1)
            found.append((nearest, distances.min(1) + (part**2).sum(1)))
        nearest, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return nearest, distances


# The 19 classes that are evaluated, and all other labels' colours (cityscapesScripts, labels.py).
# Groups of poles and licence plates share their colours with poles and cars, and count as those.
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
        (0, 0, 0),  # unlabelled, the car itself, static things, out of the region of interest
        (111, 74, 0),  # dynamic things
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

# CMP Facades' twelve classes (Tylecek and Sara 2013) in pix2pix's colours, as its files have them.
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


def some(images: Sequence[_Item]) -> list[_Item]:
    """Ten of many images, to see of what colours they are."""
    apart = max(1, len(images) // _LOOKED_AT)
    return list(images[::apart][:_LOOKED_AT])


def find(name: str) -> Palette:
    """Finds a palette by its name, or reads it from a CSV file.

    The file's columns are class, red, green and blue; rows without a class are ignored colours.

    Raises:
      UserError: there is none, or the file is wrong.
    """
    if name in PALETTES:
        return PALETTES[name]
    path = Path(name)
    if not path.is_file():
        raise UserError(
            f"palette must be one of {', '.join(PALETTES)} or a CSV file of class, red, green and "
            f"blue, not {name!r}"
        )
    classes: dict[str, Colour] = {}
    ignored = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            for row in rows:
                where = f"palette {path}, line {rows.line_num}"
                red, green, blue = (_value(row.get(c), where) for c in ("red", "green", "blue"))
                called = (row.get("class") or "").strip()
                if called in classes:
                    raise UserError(f"{where}: class {called} is there twice")
                if called:
                    classes[called] = red, green, blue
                else:
                    ignored.append((red, green, blue))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"palette {path} cannot be read as CSV: {error}") from None
    colours = [*classes.values(), *ignored]
    if len(set(colours)) < len(colours):
        raise UserError(f"palette {path} has a colour twice, so that its classes cannot be told")
    if not 2 <= len(classes) <= _MOST_CLASSES:
        raise UserError(
            f"palette {path} must have 2 to {_MOST_CLASSES} classes, not {len(classes)}"
        )
    return Palette(path.name, classes, tuple(ignored))


def _value(text: str | None, where: str) -> int:
    if text is None or not text.strip().isdecimal() or int(text) > 255:
        raise UserError(f"{where}: red, green and blue must be whole numbers from 0 to 255")
    return int(text)
