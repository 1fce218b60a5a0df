"""The models of a server: generators, what is drawn for them, and example inputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph.config.data_options import FILE_CHANNELS
from p2p_graph.imaging.palettes import Palette
from p2p_graph.inference.generator import Generator, load
from p2p_graph.inference.litert_generator import SUFFIX, LitertGenerator
from p2p_graph.serving.drawn_inputs import DrawnInputs, described, find_inputs
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import real_path


class ServedModel(NamedTuple):
    """A model that a server translates with.

    Attributes:
      name: unique among the server's models.
      generator: the model, of a run, or an exported one whose dropout masks are constants.
      inputs: what is drawn for it, and examples.
    """

    name: str
    generator: Generator | LitertGenerator
    inputs: DrawnInputs

    @property
    def kind(self) -> str:
        """What is drawn; see `DrawnInputs`."""
        return self.inputs.kind

    @property
    def palette(self) -> Palette | None:
        """The colours to draw with."""
        return self.inputs.palette

    @property
    def examples(self) -> Sequence[bytes]:
        """PNG files of inputs."""
        return self.inputs.examples

    def described(self) -> dict[str, Any]:
        """What `GET /api/models` says of it."""
        generator = self.generator
        shown = described(
            self.name, generator.data, generator.channels, generator.steps, self.inputs
        )
        if isinstance(generator, LitertGenerator):
            shown["fixed_seed"] = generator.fixed_seed
        return shown


def load_models(
    checkpoints: Sequence[Path],
    *,
    device: str,
    palette: str | None = None,
    examples: str | None = None,
) -> list[ServedModel]:
    """Loads models.

    Args:
      checkpoints: as `generator.load` takes them, or .tflite files of tools/export.py; their names
        name the models.
      device: as `generator.load`.
      palette: name or CSV file of the palette of label images; None to find it by the examples.
      examples: folder of images as in training, or of inputs; None for the test images beside those
        of training.

    Raises:
      UserError: a model cannot be loaded, or takes or gives what no image file holds, or the folder
        of examples cannot be read.
    """
    models: list[ServedModel] = []
    for path in checkpoints:
        is_exported = path.suffix == SUFFIX
        generator = LitertGenerator(path) if is_exported else load(path, device=device)
        if any(channels not in FILE_CHANNELS for channels in generator.channels) or (
            len(generator.data.task.input_parts) > 1
        ):
            raise UserError(
                f"checkpoint {path} takes or gives other images than those of one file: the page "
                "cannot show them"
            )
        inputs = find_inputs(path, generator.data, palette=palette, examples=examples)
        name = _unique(real_path(path).stem, [model.name for model in models])
        models.append(ServedModel(name, generator, inputs))
    return models


def _unique(name: str, names: Sequence[str]) -> str:
    number, unique = 1, name
    while unique in names:
        number += 1
        unique = f"{name}-{number}"
    return unique
