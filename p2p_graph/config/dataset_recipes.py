"""Recipes: how the paper trained on each of its data sets (Isola et al. 2017, section 6.2)."""

import dataclasses
from pathlib import Path
from types import MappingProxyType
from typing import Any

from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import real_path

_SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The training of one data set.

    Attributes:
      which_direction: AtoB or BtoA.
      max_epochs: number of epochs.
      batch_size: images in a batch.
      jitter: whether images are scaled to 286/256 of the crop, then cropped at random.
      mirror: whether images are mirrored at random.
      few_colours: the half with few colours (labels, a map or edges), A or B; None if neither.
      task: flat names and values of options, of a task that is not the translation of pairs. Such
        a recipe applies only where it is named: a folder's name does not tell what its images are
        for.
    """

    which_direction: str
    max_epochs: int
    batch_size: int
    jitter: bool
    mirror: bool
    few_colours: str | None = None
    task: tuple[tuple[str, Any], ...] = ()

    def options(self, crop_size: Any) -> dict[str, Any]:
        """The option defaults that the recipe sets, by flat name."""
        return {
            "which_direction": self.which_direction,
            "max_epochs": self.max_epochs,
            "batch_size": self.batch_size,
            "scale_size": None if self.jitter else crop_size,
            "flip": self.mirror,
            **dict(self.task),
        }


RECIPES = MappingProxyType(
    {
        # labels -> photo, 400 pairs
        "facades": Recipe("BtoA", 200, 1, jitter=True, mirror=True, few_colours="B"),
        # labels -> photo, 2,975 pairs
        "cityscapes": Recipe("BtoA", 200, 1, jitter=True, mirror=True, few_colours="B"),
        # aerial photo -> map, 1,096 pairs
        "maps": Recipe("AtoB", 200, 1, jitter=True, mirror=True, few_colours="B"),
        # edges -> photo, 50,000 pairs
        "edges2shoes": Recipe("AtoB", 15, 4, jitter=False, mirror=False, few_colours="A"),
        # edges -> photo, 137,000 pairs
        "edges2handbags": Recipe("AtoB", 15, 4, jitter=False, mirror=False, few_colours="A"),
        # day -> night, 17,823 pairs
        "night2day": Recipe("BtoA", 17, 4, jitter=True, mirror=True),
        # thermal image -> colour photo, 36,609 pairs
        "thermal2color": Recipe("AtoB", 10, 4, jitter=True, mirror=True),
        # lightness -> colours, ImageNet's 1.2 million photos
        "colorization": Recipe(
            *("AtoB", 6, 4), jitter=False, mirror=True, task=(("lab_colorization", True),)
        ),
        # photo with a hole -> photo, 14,900 photos of Paris
        "inpainting": Recipe(
            *("AtoB", 25, 4), jitter=True, mirror=True, task=(("inpaint", "center"),)
        ),
    }
)

# Recipe -> the data set that the paper used, and the page of its makers, who set its terms.
PUBLISHED = MappingProxyType(
    {
        "facades": ("the CMP Facade Database", "http://cmp.felk.cvut.cz/~tylecr1/facade/"),
        "cityscapes": ("Cityscapes", "https://www.cityscapes-dataset.com/license/"),
        "maps": ("Google Maps", "https://www.google.com/permissions/geoguidelines/"),
        "edges2shoes": (
            "UT Zappos50K",
            "http://vision.cs.utexas.edu/projects/finegrained/utzap50k/",
        ),
        "edges2handbags": ("iGAN", "https://github.com/junyanz/iGAN"),
        "night2day": ("the Transient Attributes database", "http://transattr.cs.brown.edu/"),
        "thermal2color": (
            "the KAIST Multispectral Pedestrian data set",
            "https://soonminhwang.github.io/rgbt-ped-detection/",
        ),
        "colorization": ("ImageNet", "https://www.image-net.org/"),
    }
)


def dataset_name(data: Path) -> str:
    """Names a data set.

    Args:
      data: a folder of images, a manifest or an archive.

    Returns:
      For a folder train, val or test, its parent's name; for another folder, its name; for a file,
      its stem.
    """
    folder = real_path(data)
    if folder.is_file():
        return folder.stem
    return folder.parent.name if folder.name.lower() in _SPLITS else folder.name


def choose(name: str | None, input_dir: Path) -> str:
    """Finds the name of the recipe for a data set.

    Args:
      name: a recipe's name, "none", or None for the recipe of pairs named like the data set's
        folder.
      input_dir: the folder of images.

    Returns:
      One of `RECIPES`, or "none".

    Raises:
      UserError: no recipe has that name.
    """
    if name is None:
        folder = real_path(input_dir)
        recipe = RECIPES.get(folder.parent.name)
        is_known = folder.name.lower() in _SPLITS and recipe and not recipe.task
        return folder.parent.name if is_known else "none"
    if name != "none" and name not in RECIPES:
        raise UserError(f"recipe must be one of {', '.join(RECIPES)} or none, not {name!r}")
    return name
