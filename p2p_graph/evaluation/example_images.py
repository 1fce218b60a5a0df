"""Finds and checks the image files of an evaluation: outputs, targets and inputs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from p2p_graph.checkpoints.find_checkpoint import steps_in
from p2p_graph.config.data_options import FILE_CHANNELS, RGB
from p2p_graph.config.image_size import ImageSize
from p2p_graph.config.options_file import OPTIONS_FILE, read_options
from p2p_graph.data.image_files import Entry, Problem, find_images, find_partners, output_names
from p2p_graph.data.usable_images import EncodedImage, check_images
from p2p_graph.evaluation.evaluate_options import EvaluateOptions
from p2p_graph.imaging.array_files import ARRAY_SUFFIX
from p2p_graph.imaging.image_arrays import read_rgb, why_not_decodable
from p2p_graph.pages.html_page import IMAGE_FOLDER, INDEX_FILE
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, why_no_folder

Array = np.ndarray[Any, Any]


class Example(NamedTuple):
    """The image files of one example.

    Attributes:
      name: the example's name.
      output: the translated image.
      target: the ground truth, of the same size.
      input: what the output is translated from, if known.
      arrays: files of all channels of output and target, where these are previews.
      channels: of output and target, as tools/test.py wrote them; 3 of other images.
      size: of output and target, once they are decoded.
      input_size: of the input, likewise.
    """

    name: str
    output: Path
    target: Path
    input: Path | None = None
    arrays: tuple[Path, Path] | None = None
    channels: int = RGB
    size: ImageSize | None = None
    input_size: ImageSize | None = None


def find_examples(options: EvaluateOptions) -> list[Example]:
    """Finds the examples that the options name, and decodes every image once.

    Raises:
      UserError: as `list_examples` and `with_sizes`.
    """
    return with_sizes(list_examples(options, options.evaluated_folder))


def list_examples(
    options: EvaluateOptions, folder: Path, option: str | None = None
) -> list[Example]:
    """Lists the examples of a folder of results, or of a folder of outputs.

    Args:
      options: they say which of the two it is, and name the folders of targets and inputs.
      folder: the folder.
      option: the option that names it, for messages; None for results_dir or outputs_dir.

    Raises:
      UserError: a folder is missing or holds other files, or images lack a partner.
    """
    if options.results_dir:
        return _of_results(folder, option or "results_dir")
    assert options.targets_dir
    return _of_folders(folder, options.targets_dir, options.inputs_dir, option or "outputs_dir")


def read_image(path: Path) -> Array:
    """Decodes an image file to uint8 RGB [H, W, 3].

    Raises:
      UserError: the file cannot be read or decoded; the message names the file.
    """
    try:
        return read_rgb(path)
    except UserError as error:
        raise UserError(f"{path} {error}") from None


def _of_results(folder: Path, option: str) -> list[Example]:
    """Lists the examples in a folder that tools/test.py has written."""
    image_folder = folder / IMAGE_FOLDER
    if not image_folder.is_dir():
        problem = f"has no folder {IMAGE_FOLDER}" if folder.is_dir() else why_no_folder(folder)
        raise UserError(
            f"{option} {folder} {problem}: name a folder that tools/test.py has written"
        )
    options = read_options(folder) if (folder / OPTIONS_FILE).exists() else None
    if _is_run(folder, options):
        raise UserError(
            f"{option} {folder} is a training run, whose images are of many steps: translate the "
            "test images (tools/test.py), and name the folder of the translation"
        )
    # tools/test.py writes the page last, the reference's test mode with every image.
    if options is not None and not (folder / INDEX_FILE).exists():
        raise UserError(
            f"{option} {folder} has no {INDEX_FILE}: its translation was not finished, run "
            "tools/test.py again"
        )
    paths = find_images(image_folder, option)
    outputs = [path for path in paths if path.stem.endswith("-outputs")]
    if not outputs:
        raise UserError(f"{option} {folder} holds no images NAME-outputs.png in {IMAGE_FOLDER}")
    examples, channels = [], _channels_of(options)
    for output in outputs:
        name = output.stem.removesuffix("-outputs")
        target, source = (image_folder / f"{name}-{kind}.png" for kind in ("targets", "inputs"))
        arrays = tuple(image_folder / f"{name}-{k}{ARRAY_SUFFIX}" for k in ("outputs", "targets"))
        examples.append(
            Example(
                name,
                output,
                target,
                source if source.is_file() else None,
                None if channels in FILE_CHANNELS else (arrays[0], arrays[1]),
                channels,
            )
        )
    names = {example.name for example in examples}
    for path in paths:
        if path.stem.endswith("-targets") and path.stem.removesuffix("-targets") not in names:
            raise UserError(
                f"{path} has no output beside it: translate the images again (tools/test.py), or "
                "remove its files"
            )
    if missing := [example.name for example in examples if not example.target.is_file()]:
        raise UserError(
            f"no target for {len(missing)} of {counted(len(examples), 'image')} in {folder} "
            f"({missing[0]}): translate pairs, not inputs alone"
        )
    return examples


def _is_run(folder: Path, options: Mapping[str, Any] | None) -> bool:
    """Whether training has written a folder, here or by the reference.

    The options decide where there are some: the reference may have translated into a run's folder.
    """
    return bool(steps_in(folder)) if options is None else options.get("mode") == "train"


def _channels_of(options: Mapping[str, Any] | None) -> int:
    """The channels of outputs that were translated with these options."""
    if options is None or options.get("lab_colorization"):
        return RGB
    return options.get("target_channels") or RGB


def _of_folders(
    outputs_dir: Path, targets_dir: Path, inputs_dir: Path | None, option: str
) -> list[Example]:
    """Pairs the images of two or three folders by name."""
    outputs = find_images(outputs_dir, option)
    targets = find_images(targets_dir, "targets_dir")
    if missing := {path.stem for path in targets} - {path.stem for path in outputs}:
        raise UserError(
            f"{option} {outputs_dir} lacks {len(missing)} of {counted(len(targets), 'image')} "
            f"in targets_dir {targets_dir} ({min(missing)}): give folders of the same images"
        )
    partners = [find_partners(outputs, targets_dir, "targets_dir")]
    if inputs_dir:
        partners.append(find_partners(outputs, inputs_dir, "inputs_dir"))
    examples = []
    for name, output, *others in zip(output_names(outputs), outputs, *partners, strict=True):
        paths = []
        for other in others:
            if isinstance(other, Problem):
                raise UserError(f"{output} {other.text}")
            paths.append(other)
        examples.append(Example(name, output, *paths))
    return examples


def with_sizes(examples: Sequence[Example]) -> list[Example]:
    """Decodes every image before the long work starts; gives the examples with their sizes.

    Raises:
      UserError: images cannot be decoded, or differ in size from their partner.
    """
    pairs = [Entry(example.output, example.target) for example in examples]
    inputs = [Entry(example.input) for example in examples if example.input]
    arrays = [Entry(*example.arrays) for example in examples if example.arrays]
    found, bad = check_images([*pairs, *inputs, *arrays], _verify, pairs=False)
    wanted = (examples[0].channels,) * 2
    bad += [
        f"{image.path}: has {counted(image.channels[0], 'channel')}, its target "
        f"{image.channels[1]}, and tools/test.py wrote {wanted[0]}"
        for image in found
        if image.channels not in ((), wanted)
    ]
    if bad:
        raise UserError(
            f"{counted(len(bad), 'image')} cannot be evaluated; mend or remove them:", *bad
        )
    sizes = {image.path: ImageSize(image.height, image.width) for image in found}
    return [
        example._replace(
            size=sizes[example.output],
            input_size=sizes[example.input] if example.input else None,
        )
        for example in examples
    ]


def _verify(images: Sequence[EncodedImage]) -> list[str | None]:
    """Decodes files as `read_image` does; gives for each the reason why it cannot, or None."""
    return [why_not_decodable(*image) for image in images]
