"""Serves a page to draw on, whose drawings a trained generator translates.

    python tools/serve.py --checkpoint runs/facades_BtoA
    python tools/serve.py --checkpoint runs/facades_BtoA --checkpoint runs/maps_AtoB --port 8080

The page opens at the address that is printed. Several checkpoints make a menu. Without
--checkpoint, the model of `make demo` is served. POST /api/translate takes an image file and
gives a PNG; /api/openapi.json describes all routes. Needs: pip install -c constraints.txt -e
'.[serve]'
"""

import argparse
import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from p2p_graph.cli.program import program
from p2p_graph.config import flags
from p2p_graph.runtime.quiet_import import tensorflow_import
from p2p_graph.utils.errors import UserError

_DEMO = Path("demo/run")
_MISSING = (
    "serve.py needs the packages of the extra serve: pip install -c constraints.txt -e '.[serve]'"
)


def main(argv: Sequence[str]) -> None:
    """Parses the flags, loads the models and answers requests."""
    given = _parser().parse_args(argv)
    checkpoints = given.checkpoint or [_DEMO]
    if not given.checkpoint and not _DEMO.exists():
        raise UserError("checkpoint is missing: name a trained model, or run `make demo` first")
    for name in ("max_queue", "time_limit"):
        if getattr(given, name) < 1:
            raise UserError(f"{name} must be at least 1, not {getattr(given, name)}")
    for name in given.allow_host or []:
        if not re.fullmatch(r"[^][\s/?#@:\\]+|[0-9a-fA-F:.]+", name):
            raise UserError(f"allow_host must be a name, as in images.example.org, not {name!r}")
    if not 0 <= given.port < 2**16:
        raise UserError(f"port must be from 0 to 65535, not {given.port}")
    try:
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise UserError(_MISSING) from None
    with tensorflow_import():
        from p2p_graph.serving import server
        from p2p_graph.serving.served_models import load_models
    with contextlib.closing(server.bound_socket(given.host, given.port)) as bound:
        models = load_models(
            checkpoints, device=given.device, palette=given.palette, examples=given.examples
        )
        for model in models:
            examples = f"{len(model.examples)} examples" if model.examples else "no examples"
            print(f"model {model.name}: {model.generator.direction}, {model.kind}, {examples}")
        host, port = bound.getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        print(f"open http://{address} (ends with Ctrl-C)", flush=True)
        server.serve(
            models,
            bound,
            host=given.host,
            allowed=given.allow_host or [],
            most_waiting=given.max_queue,
            time_limit=given.time_limit,
        )


def _parser() -> flags.Parser:
    parser = flags.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--checkpoint",
        action="append",
        type=Path,
        metavar="PATH",
        help="folder of a trained model, or .pict, .pth or .safetensors file, or .tflite file in a "
        "folder of tools/export.py; may be given several times",
    )
    add(
        "--examples",
        metavar="DIR",
        help="folder of example images (default: the test images beside those of training)",
    )
    add(
        "--palette",
        metavar="NAME",
        help="colours of label images: cityscapes, facades, or a CSV file with the columns "
        "class,red,green,blue (default: palette.csv beside the images of training, or by the "
        "examples)",
    )
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=8000, metavar="N", help="port; 0 for any (default: 8000)")
    add(
        "--allow_host",
        action="append",
        metavar="NAME",
        help="further name under which browsers may reach the server; may be given several times",
    )
    add("--device", choices=("auto", "cpu", "gpu"), default="auto", help="(default: auto)")
    add(
        "--max_queue",
        type=int,
        default=64,
        metavar="N",
        help="images that may wait; others are refused with 429 (default: 64)",
    )
    add(
        "--time_limit",
        type=int,
        default=60,
        metavar="SECONDS",
        help="for an image with its waiting (default: 60)",
    )
    return parser


run = program(main)

if __name__ == "__main__":
    run()
