"""What an output of tools/process.py was made of: recorded in the PNG file, compared by reruns."""

from collections.abc import Sequence
from pathlib import Path

from PIL.PngImagePlugin import PngImageFile, PngInfo

from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import UnreadableError, damage_reported, open_regular

# The keys of the PNG texts.
_OPERATION, _INPUTS = "p2p_graph", "p2p_graph_inputs"


def make(operation: str, inputs: Sequence[Path]) -> PngInfo:
    """Makes the PNG texts of an output.

    Args:
      operation: the operation and its parameters, as JSON.
      inputs: the input files, of which the sizes are recorded.

    Raises:
      UserError: an input cannot be read.
    """
    text = PngInfo()
    text.add_text(_OPERATION, operation)
    text.add_text(_INPUTS, _sizes(inputs))
    return text


def check(output: Path, operation: str, inputs: Sequence[Path]) -> None:
    """Refuses an output of another operation or other inputs: a rerun would leave it as it is.

    An output that is missing, or that this program has not written, is not refused.

    Raises:
      UserError: the output was made of something else, or a file cannot be read.
    """
    if not output.exists():
        return
    try:
        with open_regular(output) as file, PngImageFile(file) as image:
            made_by, made_of = (image.info.get(key) for key in (_OPERATION, _INPUTS))
    except UnreadableError as error:
        raise UserError(f"output {output} {error}: remove it") from None
    except (OSError, SyntaxError, ValueError):  # not written by this program
        return
    if made_by is not None and made_by != operation:
        what = f"images of another operation ({output.name}: {made_by})"
    elif made_of is not None and made_of != _sizes(inputs):
        what = f"images made of other inputs ({output.name})"
    else:
        return
    raise UserError(
        f"output_dir {output.parent} holds {what}: name another folder, or remove those images"
    )


def _sizes(paths: Sequence[Path]) -> str:
    """The files' sizes, in bytes. Unlike checksums, they are known at once for a million files."""
    sizes = []
    for path in paths:
        with damage_reported(path):
            sizes.append(str(path.stat().st_size))
    return " ".join(sizes)
