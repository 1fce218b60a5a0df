"""The options of a training run: flags over the preset over the recipe over the defaults."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p2p_graph.config import dataset_recipes
from p2p_graph.config.options import DEFAULTS, Options
from p2p_graph.config.system_presets import PRESETS
from p2p_graph.models.discriminators import check_size, layers_of
from p2p_graph.utils.errors import UserError


def configure(given: Mapping[str, Any]) -> Options:
    """Makes a training run's options: flags over the preset over the recipe over the defaults.

    Args:
      given: the flags' values by flat name.

    Raises:
      UserError: there is no input_dir, or a value is wrong.
    """
    named = given.get("manifest", given.get("input_dir"))
    if named is None:
        raise UserError("input_dir is missing: name the folder of training images (--input_dir)")
    data = Path(named)
    recipe = dataset_recipes.choose(given.get("recipe"), data)
    crop_size = given.get("crop_size", DEFAULTS["crop_size"])
    task = dataset_recipes.RECIPES[recipe].options(crop_size) if recipe != "none" else {}
    # Options refuses a preset of another name.
    preset = {**PRESETS.get(given.get("preset", DEFAULTS["preset"]), {})}
    if "target_dir" not in given:
        # An article's split is of its two folders; pairs side by side come as train and test.
        preset.pop("split", None)
    options = Options.of(**{**task, **preset, **given, "recipe": recipe})
    discriminator = options.model.discriminator
    layers = layers_of(discriminator.discriminator, discriminator.ndf)
    check_size(layers, options.data.scaling.crop_size)
    if options.run.output_dir:
        return options
    name = f"{dataset_recipes.dataset_name(data)}_{options.data.task.which_direction}"
    return options.replace(output_dir=str(Path("runs") / name))
