"""The page to draw on without a server of this package: `--format web` of tools/export.py.

The folder holds the page of tools/serve.py, the ONNX model and examples. The browser translates, by
onnxruntime-web: by its copy in the folder, or by the one at a public address.
"""

import base64
import hashlib
import html
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph.config.data_options import DataOptions
from p2p_graph.config.options import OutputOptions
from p2p_graph.inference.translation import image_channels
from p2p_graph.serving.drawn_inputs import described, find_inputs
from p2p_graph.utils.atomic_write import write_json
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported, read_bytes, real_path

_FOLDER = Path(__file__).parent
_PAGE, _INSTEAD = _FOLDER / "static", _FOLDER / "static_web"  # the latter replace the former
_MODEL, _EXAMPLES, _RUNTIME, _MODELS = "generator.onnx", "examples", "ort", "models.json"
_CHANNELS = (1, 3)  # that a canvas of the browser holds exactly

ORT_VERSION = "1.30.0"
_ORT_ORIGIN = "https://cdn.jsdelivr.net"
_ORT_ADDRESS = f"{_ORT_ORIGIN}/npm/onnxruntime-web@{ORT_VERSION}/dist/"
_ORT_SCRIPTS = {"webgpu": "ort.webgpu.bundle.min.mjs", "wasm": "ort.wasm.bundle.min.mjs"}
# Of the npm package of this version.
ORT_INTEGRITY = {
    "ort.webgpu.bundle.min.mjs": "sha384-"
    "1ntMeyj+z5diX6vBR5h+zlJBPc4iNvhCxE6nlammh8daBYcLBZkzrwDkuJjhwI+f",
    "ort-wasm-simd-threaded.asyncify.wasm": "sha384-"
    "EPVDLTxuO663dkZO/pcKJF6vOyyfq/5z9FY1oksN0UWFX2ABH4wDDZQHeNoUleWR",
    "ort.wasm.bundle.min.mjs": "sha384-"
    "PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG",
    "ort-wasm-simd-threaded.wasm": "sha384-"
    "vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM",
}
_WASM_OF = {
    "webgpu": "ort-wasm-simd-threaded.asyncify.wasm",
    "wasm": "ort-wasm-simd-threaded.wasm",
}
_WASM_NAME = re.compile(rb"ort-wasm[\w.-]*?\.wasm")  # in a script
_WASM_MAGIC = b"\0asm"

_CHARSET = '<meta charset="utf-8">\n'
_STATUS = '<p id="status" role="status" aria-live="polite">'
# A page that was opened as a file runs no module, which would empty this line.
_AS_A_FILE = "This page needs a web server: run “python -m http.server” in its folder."


class _Runtime(NamedTuple):
    """What runs a model in a browser.

    Attributes:
      described: for models.json: addresses and integrity of `script` and `wasm`, by provider.
      files: contents by name, to be copied; none where browsers take them from elsewhere.
      origin: where they take them from.
    """

    described: Mapping[str, Any]
    files: Mapping[str, bytes]
    origin: str | None


class WebPage:
    """A page for one model, which is checked before anything is written.

    Raises:
      UserError: browsers cannot show the model's images, or what the options name cannot be read.
    """

    def __init__(
        self, outputs: OutputOptions, data: DataOptions, fixed_seed: int | None, checkpoint: Path
    ) -> None:
        """Finds what the page shows.

        Args:
          outputs: names onnxruntime-web, the examples and the palette.
          data: of the model.
          fixed_seed: of the dropout masks; None without dropout.
          checkpoint: folder of the model's checkpoint.
        """
        self._data, self._fixed_seed, self._name = data, fixed_seed, real_path(checkpoint).name
        self._channels = image_channels(data.task)
        _check_channels(self._channels, data.task.input_parts)
        self._runtime = _copied(Path(outputs.ort_dir)) if outputs.ort_dir else _from_elsewhere()
        self._inputs = find_inputs(
            checkpoint, data, palette=outputs.palette, examples=outputs.examples
        )

    def write(self, model: Path, folder: Path, steps: int) -> None:
        """Writes the folder.

        Args:
          model: the ONNX model, which is moved into it.
          folder: is made.
          steps: of the model's training.
        """
        folder.mkdir()
        (folder / "static").mkdir()
        for path in (*_PAGE.iterdir(), *_INSTEAD.iterdir()):
            if path.name != "index.html":
                shutil.copyfile(path, folder / "static" / path.name)
        page = (_PAGE / "index.html").read_text(encoding="utf-8")
        page = _with_policy(page, self._runtime.origin)
        page = page.replace(_STATUS, _STATUS + html.escape(_AS_A_FILE))
        (folder / "index.html").write_text(page, encoding="utf-8")
        model = model.rename(folder / _MODEL)
        for name, files in (
            (_EXAMPLES, {f"{n}.png": png for n, png in enumerate(self._inputs.examples)}),
            (_RUNTIME, self._runtime.files),
        ):
            for file, contents in files.items():
                (folder / name).mkdir(exist_ok=True)
                (folder / name / file).write_bytes(contents)
        record = {
            **described(self._name, self._data, self._channels, steps, self._inputs),
            "fixed_seed": self._fixed_seed,
            "file": _MODEL,
            "bytes": model.stat().st_size,
        }
        write_json(
            folder / _MODELS, {"models": [record], "runtimes": dict(self._runtime.described)}
        )


def _check_channels(channels: tuple[int, int], parts: Sequence[int]) -> None:
    """Refuses images that a browser's canvas does not hold."""
    if len(parts) > 1:
        raise UserError(
            "format web is for one input image, and the model takes several "
            f"(of channels {' + '.join(map(str, parts))}): leave it out"
        )
    if wrong := [count for count in channels if count not in _CHANNELS]:
        raise UserError(
            "format web is for grey and RGB images, which a browser holds exactly, and the model "
            f"has some of {counted(wrong[0], 'channel')}: leave it out"
        )


def _from_elsewhere() -> _Runtime:
    """The tested version at a public address."""
    found = {
        provider: {
            kind: {"address": f"{_ORT_ADDRESS}{name}", "integrity": ORT_INTEGRITY[name]}
            for kind, name in (("script", script), ("wasm", _WASM_OF[provider]))
        }
        for provider, script in _ORT_SCRIPTS.items()
    }
    return _Runtime(found, {}, _ORT_ORIGIN)


def _copied(folder: Path) -> _Runtime:
    """The copy in a folder: of the npm package, or of its folder dist."""
    within = folder / "dist" if (folder / "dist").is_dir() else folder
    files: dict[str, bytes] = {}
    found: dict[str, Any] = {}
    for provider, script in _ORT_SCRIPTS.items():
        code = _read(within, script)
        names = _WASM_NAME.findall(code)
        if not names:
            raise UserError(f"ort_dir {within / script} is not that of onnxruntime-web")
        wasm = names[0].decode()
        binary = _read(within, wasm)
        if not binary.startswith(_WASM_MAGIC):
            raise UserError(f"ort_dir {within / wasm} is not WebAssembly: unpack the package anew")
        files |= {script: code, wasm: binary}
        found[provider] = {
            kind: {"address": f"{_RUNTIME}/{name}", "integrity": integrity(files[name])}
            for kind, name in (("script", script), ("wasm", wasm))
        }
    return _Runtime(found, files, None)


def _read(folder: Path, name: str) -> bytes:
    try:
        with damage_reported(f"ort_dir {folder / name}"):
            return read_bytes(folder / name)
    except FileNotFoundError:
        raise UserError(
            f"ort_dir {folder} holds no {name}: unpack the npm package onnxruntime-web "
            f"{ORT_VERSION}, and name its folder"
        ) from None


def integrity(contents: bytes) -> str:
    """The value by which browsers check a file (W3C's Subresource Integrity)."""
    return "sha384-" + base64.b64encode(hashlib.sha384(contents).digest()).decode()


def _with_policy(page: str, origin: str | None) -> str:
    """The page with a Content-Security-Policy, which a web server of files does not send.

    onnxruntime-web runs in a worker. Browsers differ in whether a worker has the page's policy, so
    it allows what the worker needs: WebAssembly, and the checked script as a blob.
    """
    elsewhere = f" {origin}" if origin else ""
    policy = (
        "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        f"style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        f"connect-src 'self'{elsewhere}; base-uri 'none'; form-action 'none'"
    )
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    assert page.count(_CHARSET) == page.count(_STATUS) == 1
    return page.replace(_CHARSET, _CHARSET + meta)
