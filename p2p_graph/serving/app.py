"""The server's routes: the page, the models, translation, examples, health and figures."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from p2p_graph.config.option_fields import check_value
from p2p_graph.config.options import FIELDS, RECORDS
from p2p_graph.imaging.read_structure import TooLargeError, read_structure
from p2p_graph.serving.openapi import openapi
from p2p_graph.serving.served_models import ServedModel
from p2p_graph.serving.translation_queue import QueueFullError, TranslationQueue
from p2p_graph.utils.errors import UserError
from p2p_graph.version import __version__

LARGEST_BODY = 16 * 2**20  # bytes
LARGEST_SIDE = 4096  # pixels
_BODY_SECONDS = 20.0  # for a client to send its image
_IMAGE_TYPES = ("image/png", "image/jpeg")
_FORM = "multipart/form-data"
_HOST = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^][\s/?#@:\\]+))(:[0-9]{1,5})?")
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")
_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in _SECURITY.items()]


def make_app(
    models: Sequence[ServedModel],
    *,
    hosts: Sequence[str],
    most_waiting: int,
    time_limit: float,
) -> Starlette:
    """Makes the server's application.

    Args:
      models: at least one; the first is the default.
      hosts: names in the header Host that are answered, without port.
      most_waiting: requests that may wait for translation.
      time_limit: for a translation with its waiting, in seconds.
    """
    queue = TranslationQueue(most_waiting, time_limit)
    by_name = {model.name: model for model in models}
    statuses: Counter[int] = Counter()
    # Read once, so that no path of a client is ever opened.
    files = {path.name: path.read_bytes() for path in _STATIC.iterdir() if path.suffix in _TYPES}

    def model_of(name: str | None) -> ServedModel:
        if name is None:
            return models[0]
        if name not in by_name:
            raise HTTPException(404, "there is no model of this name: see /api/models")
        return by_name[name]

    def file_of(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "there is no such page")
        return Response(files[name], media_type=_TYPES[Path(name).suffix])

    async def page(request: Request) -> Response:
        return file_of("index.html")

    async def static(request: Request) -> Response:
        return file_of(request.path_params["name"])

    async def list_models(request: Request) -> Response:
        return JSONResponse({"models": [model.described() for model in models]})

    async def translate(request: Request) -> Response:
        parameters = _parameters_of(request)
        model = model_of(parameters.get("model"))
        seed = _seed_of(parameters.get("seed"))
        try:
            contents = await asyncio.wait_for(_image_of(request), _BODY_SECONDS)
        except asyncio.TimeoutError:
            raise HTTPException(408, f"the image did not come within {_BODY_SECONDS:g} s") from None
        _check_image(contents)
        try:
            png = await queue.translate(model.generator, contents, seed)
        except QueueFullError as error:
            raise HTTPException(429, str(error), {"Retry-After": str(error.seconds)}) from None
        except TimeoutError:
            raise HTTPException(503, f"no result within {time_limit:g} s") from None
        except UserError as error:
            raise HTTPException(400, str(error)) from None
        return Response(png, media_type="image/png")

    async def example(request: Request) -> Response:
        found = model_of(request.path_params["model"]).examples
        text = request.path_params["number"]
        if not (text.isdecimal() and len(text) < 9 and int(text) < len(found)):
            raise HTTPException(404, f"the model has {len(found)} examples")
        return Response(found[int(text)], media_type="image/png")

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    async def metrics(request: Request) -> Response:
        lines = [
            "# TYPE p2p_requests_total counter",
            *(
                f'p2p_requests_total{{status="{status}"}} {count}'
                for status, count in sorted(statuses.items())
            ),
            "# TYPE p2p_translation_seconds summary",
            f"p2p_translation_seconds_sum {queue.seconds:.6f}",
            f"p2p_translation_seconds_count {queue.translated}",
            "# TYPE p2p_waiting gauge",
            f"p2p_waiting {queue.waiting}",
        ]
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")

    async def description(request: Request) -> Response:
        return JSONResponse(openapi([model.name for model in models]))

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        queue.close()

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/static/{name}", static),
            Route("/api/models", list_models),
            Route("/api/translate", translate, methods=["POST"]),
            Route("/api/examples/{model}/{number}", example),
            Route("/api/openapi.json", description),
            Route("/healthz", health),
            Route("/metrics", metrics),
        ],
        exception_handlers={HTTPException: _as_json, ClientDisconnect: _gone, Exception: _failed},
        lifespan=lifespan,
    )
    app.add_middleware(_Guard, hosts=tuple(hosts), statuses=statuses)
    return app


class _Guard:
    """Answers the named hosts and pages of its own origin alone; adds headers; counts answers."""

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str], statuses: "Counter[int]") -> None:
        self._app, self._statuses = app, statuses
        self._hosts = {_name_of(host) or host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        started = False

        async def send_counted(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._statuses[message["status"]] += 1
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        refusal = self._refusal(Request(scope))
        answer: Callable[[Scope, Receive, Send], Awaitable[None]] = refusal or self._app
        try:
            await answer(scope, receive, send_counted)
        except asyncio.CancelledError:  # the server ends and waits no longer
            if not started:
                await _error(503, "the server has ended")(scope, receive, send_counted)

    def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that another site may have made in a person's browser."""
        host = request.headers.get("host", "")
        if _name_of(host) not in self._hosts:
            return _error(400, "the header Host names another machine: see --host and --allow_host")
        origin = request.headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return _error(400, "the header Origin names another site")
        return None


def _name_of(host: str) -> str | None:
    """The name in a header Host, in lower case and without a port; None for anything else."""
    found = _HOST.fullmatch(host.lower())
    return (found["address"] or found["name"]) if found else None


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)


async def _as_json(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    return JSONResponse({"error": error.detail}, error.status_code, headers)


async def _gone(request: Request, error: Exception) -> Response:
    return _error(400, "the client has gone")


async def _failed(request: Request, error: Exception) -> Response:
    return _error(500, "the server has failed: its log says how")


def _parameters_of(request: Request) -> dict[str, str]:
    """The parameters of a translation's address: `model` and `seed`, each at most once."""
    given = request.query_params.multi_items()
    parameters = dict(given)
    if len(parameters) < len(given) or not parameters.keys() <= {"model", "seed"}:
        raise HTTPException(400, "the address takes model and seed, each at most once")
    return parameters


def _seed_of(text: str | None) -> int | None:
    if text is None:
        return None
    if not _WHOLE_NUMBER.fullmatch(text):  # leading zeros are none
        raise HTTPException(400, "seed must be a whole number")
    seed = int(text[:21])
    try:
        check_value(RECORDS["seed"], FIELDS["seed"], seed)
    except UserError as error:
        raise HTTPException(400, str(error)) from None
    return seed


async def _image_of(request: Request) -> bytes:
    """The image in a request: its body, or the field `image` of a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (*_IMAGE_TYPES, _FORM):
        raise HTTPException(
            415, f"send {' or '.join(_IMAGE_TYPES)}, or {_FORM} with a file `image`"
        )
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or len(declared) > 20 or int(declared) > LARGEST_BODY:
        raise _too_large()
    contents = b""
    async for part in request.stream():
        contents += part
        if len(contents) > LARGEST_BODY:
            raise _too_large()
    if kind == _FORM:
        contents = await _file_of_form(request, contents)
    if not contents:
        raise HTTPException(400, "the image is empty")
    return contents


async def _file_of_form(request: Request, contents: bytes) -> bytes:
    async def receive() -> Message:
        return {"type": "http.request", "body": contents, "more_body": False}

    found = None
    try:
        async with Request(request.scope, receive).form(max_files=1, max_fields=9) as form:
            others = set(form) - {"image"}
            file = form.get("image")
            if isinstance(file, UploadFile):
                found = await file.read()
    except (HTTPException, MultiPartException, KeyError, ValueError):
        raise HTTPException(400, "the form cannot be read") from None
    if found is None:
        raise HTTPException(400, "the form has no file `image`")
    if others:
        raise HTTPException(
            400, "the form has other fields: model and seed are part of the address"
        )
    return found


def _too_large() -> HTTPException:
    return HTTPException(413, f"an image may have {LARGEST_BODY // 2**20} MB")


def _check_image(contents: bytes) -> None:
    """Refuses what is no image, or too large a one, before it is decoded."""
    try:
        structure = read_structure(contents)
    except TooLargeError as error:
        raise HTTPException(413, f"the image {error}") from None
    except UserError as error:
        raise HTTPException(400, f"the image {error}") from None
    if max(structure.width, structure.height) > LARGEST_SIDE:
        raise HTTPException(
            413,
            f"the image is {structure.width}x{structure.height} pixels: a side may have "
            f"{LARGEST_SIDE}",
        )
