"""What an export says of itself: export.json for programs, and README.md for people."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph.config.dataset_recipes import PUBLISHED
from p2p_graph.config.image_size import ImageSize
from p2p_graph.config.listed_values import Channels
from p2p_graph.config.options_file import maker_of, read_options, read_record
from p2p_graph.config.output_folder import EVALUATION_FILE
from p2p_graph.inference.image_arguments import PIL_MODES
from p2p_graph.inference.litert_model import FORMS
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, escaped
from p2p_graph.utils.outside_files import read_json
from p2p_graph.version import __version__

CARD_FILE, RECORD_FILE = "README.md", "export.json"

# How the forms that are not called from Python are used.
_TEXTS = {
    "meta": "`{file}`, for affinelayer's `server/tools/process-local.py --model_dir . --input_file "
    "input.png --output_file output.png`. The collections `inputs` and `outputs` name tensors "
    "of image files in web-safe base64.",
    "web": "`{file}/`, a page to draw on that translates in the browser: `python -m http.server "
    "--bind 127.0.0.1 --directory {file}`, and open http://127.0.0.1:8000.",
}


class _Call(NamedTuple):
    """How a runtime calls a form.

    Attributes:
      purpose: what the form is for.
      imports: of the runtime.
      lines: from `images` to `outputs`, both NumPy's.
    """

    purpose: str
    imports: str
    lines: str


# How all others are called, in the words of their own runtimes.
_CALLS = {
    "saved_model": _Call(
        "TensorFlow and TF Serving",
        "import tensorflow as tf",
        """model = tf.saved_model.load("{file}")
made = model.signatures["serving_default"](images=tf.constant(images))
outputs = made["outputs"].numpy()""",
    ),
    "frozen": _Call(
        "programs that import a `GraphDef`",
        "import tensorflow.compat.v1 as tf",
        """with tf.Graph().as_default(), tf.Session() as session, open("{file}", "rb") as graph:
    tf.import_graph_def(tf.GraphDef.FromString(graph.read()), name="")
    outputs = session.run("outputs:0", {{"images:0": images}})""",
    ),
    "onnx": _Call(
        "onnxruntime and other runtimes",
        "import onnxruntime",
        """session = onnxruntime.InferenceSession("{file}")
[outputs] = session.run(["outputs"], {{"images": images}})""",
    ),
    **dict.fromkeys(
        FORMS,
        _Call(
            "LiteRT (TensorFlow Lite), on phones and elsewhere",
            "from ai_edge_litert.interpreter import Interpreter",
            """model = Interpreter("{file}").get_signature_runner()
outputs = model(images=images)["outputs"]""",
        ),
    ),
}


def make_record(
    used: Mapping[str, Any],
    folder: Path,
    step: int,
    weights: str,
    files: Mapping[str, str],
    channels: tuple[int, int],
    input_parts: Channels,
) -> dict[str, Any]:
    """Says what an export is, for export.json.

    Args:
      used: the options of the export, by flat name.
      folder: of the checkpoint; its options.json says what was trained.
      step: of the checkpoint.
      weights: the result of `weights_digest`.
      files: the written file or folder of each format.
      channels: of images that the model takes and gives.
      input_parts: the channels of each input, where there are several.
    """
    trained = read_options(folder)
    values = "float32 in [0, 1], [N, H, W, C]"
    return {
        "formats": dict(files),
        "input": {
            "name": "images",
            "values": values,
            "channels": channels[0],
            "parts": list(input_parts) if len(input_parts) > 1 else [channels[0]],
        },
        "output": {"name": "outputs", "values": values, "channels": channels[1]},
        "crop_size": used["crop_size"],
        "trained_crop_size": trained.get("crop_size", used["crop_size"]),
        "sides": f"multiple of {2 ** used['levels']}",
        "trained_on": trained.get("input_dir") or trained.get("manifest"),
        "trained_in": read_record(folder).get("working_dir"),
        "steps": step,
        **{name: used[name] for name in ("which_direction", "lab_colorization", "inpaint")},
        "recipe": trained.get("recipe") or "none",
        "preset": trained.get("preset", used["preset"]),
        "dropout": used["dropout"],
        "seed": used["seed"],
        "figures": dict(_figures(folder, used, weights)),
        "version": __version__,
    }


def is_record(path: Path) -> bool:
    """Whether a file is an export.json of this package."""
    try:
        return {"formats", "input", "output", "version"} <= set(read_json(path))
    except (UserError, OSError, TypeError):
        return False


def _figures(
    folder: Path, used: Mapping[str, Any], weights: str
) -> Iterator[tuple[str, dict[str, float]]]:
    """The figures of what these weights made with these options, by the made folder's name."""
    for path in sorted(folder.glob(f"*/evaluation/{EVALUATION_FILE}")):
        results = path.parent.parent
        try:
            found = read_json(path)
            # Of the evaluated images; those in the folder may be newer.
            if found["made_by"] != maker_of(used, weights):
                continue
            figures = {name: float(one["value"]) for name, one in found["figures"].items()}
        except (UserError, OSError, KeyError, TypeError, ValueError, AttributeError):
            continue  # not what tools/evaluate.py writes
        yield results.name, figures


def card(record: Mapping[str, Any], height_width: tuple[int, int]) -> str:
    """Writes README.md.

    Args:
      record: from `make_record`.
      height_width: of the images in training, pixels.
    """
    size = "x".join(map(str, height_width))
    trained_size = ImageSize.parse(record["trained_crop_size"])
    taken, given = record["input"]["channels"], record["output"]["channels"]
    parts = record["input"]["parts"]
    told = f"{taken}: {' + '.join(map(str, parts))}, in this order" if len(parts) > 1 else taken
    task = f"translates images, {record['which_direction']}"
    if record["lab_colorization"]:
        task = f"colourises images in CIE Lab, {record['which_direction']}"
    if record["inpaint"] != "none":
        task = f"fills white holes of images ({record['inpaint']})"
    fixed = ["The ONNX model"] * ("onnx" in record["formats"] and record["dropout"] > 0)
    fixed += ["The page"] * ("web" in record["formats"])
    fixed += ["A LiteRT model"] * bool(set(FORMS) & set(record["formats"]))
    at_size = f"at {'x'.join(map(str, trained_size))} pixels (height x width)"
    trained = (
        f"Trained by p2p_graph for {counted(record['steps'], 'step')} on "
        f"`{_escaped(str(record['trained_on']))}`, preset `{record['preset']}`, {at_size}."
    )
    if record["trained_on"] is None:  # by another program
        trained = f"A network of the preset `{record['preset']}`, {at_size}."
    lines = [
        f"# A pix2pix generator: {task}",
        "",
        trained,
        "",
        "| | name | values | channels |",
        "| --- | --- | --- | --- |",
        f"| input | `images` | {record['input']['values']} | {told} |",
        f"| output | `outputs` | {record['output']['values']} | {given} |",
        "",
        f"H and W are each a {record['sides']}.",
        *(f"{name} takes {size} pixels alone." for name in fixed),
        f"Dropout: {record['dropout']}, with the masks of the seed {record['seed']}.",
        "",
        "## How to call it",
    ]
    for name, file in record["formats"].items():
        if name in _TEXTS:
            lines += ["", _TEXTS[name].format(file=file)]
        else:
            lines += ["", *_snippet(_CALLS[name], file, height_width, taken, given)]
    if record["figures"]:
        names = list(dict.fromkeys(name for one in record["figures"].values() for name in one))
        lines += ["", "## Figures", "", "| images | " + " | ".join(names) + " |"]
        lines.append("| --- |" + " --- |" * len(names))
        for folder, figures in record["figures"].items():
            cells = [f"{figures[name]:.4g}" if name in figures else "" for name in names]
            lines.append(f"| {_escaped(folder)} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "## Terms",
        "",
        *_terms(record["recipe"]),
    ]
    return "\n".join(lines) + "\n"


def _terms(recipe: str) -> Iterator[str]:
    """The licence of the training images, as far as it is known."""
    if recipe in PUBLISHED:
        name, page = PUBLISHED[recipe]
        yield (
            f"Trained with the recipe `{recipe}`. The paper's images of this name are from {name}: "
            f"for these, the terms of [its authors]({page}) hold."
        )
    yield "The terms of the images that the generator was trained on hold for the generator, too."


def _snippet(
    call: _Call, file: str, height_width: tuple[int, int], taken: int, given: int
) -> list[str]:
    """Python that translates an image file, or an array of channels that no image file holds."""
    height, width = height_width
    imports = ["import numpy as np", call.imports]
    if taken in PIL_MODES:
        read = [
            f'image = Image.open("input.png").convert("{PIL_MODES[taken]}")',
            f"image = np.asarray(image.resize(({width}, {height})), np.float32) / 255",
            f"images = image.reshape(1, {height}, {width}, {taken})",
        ]
    else:
        read = [
            f"images = np.zeros([1, {height}, {width}, {taken}], np.float32)  # values in [0, 1]"
        ]
    if given in PIL_MODES:
        pixels = "outputs[0, ..., 0]" if given == 1 else "outputs[0]"
        write = f'Image.fromarray(np.uint8({pixels} * 255.5)).save("output.png")'
    else:
        write = 'np.save("output.npy", outputs[0])'
    needs_pil = taken in PIL_MODES or given in PIL_MODES
    return [
        f"`{file}`, for {call.purpose}:",
        "",
        "```python",
        *imports,
        *["from PIL import Image"] * needs_pil,
        "",
        *read,
        call.lines.format(file=file),
        write,
        "```",
    ]


def _escaped(name: str) -> str:
    """A name as text of one line that does not end code or a table's cell."""
    return escaped(name).replace("`", "'").replace("|", "\\|")
