"""The server's interface, as OpenAPI 3.1."""

from collections.abc import Sequence
from typing import Any

from p2p_graph.version import __version__

_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_PNG = {"image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}}}


def openapi(names: Sequence[str]) -> dict[str, Any]:
    """Describes all routes.

    Args:
      names: of the models.
    """
    name = {"schema": {"type": "string", "enum": list(names)}}
    number = {"type": "integer", "minimum": 0}
    return {
        "openapi": "3.1.0",
        "info": {"title": "p2p_graph", "version": __version__},
        "paths": {
            "/api/models": {"get": _operation("The models.", "application/json")},
            "/api/translate": {
                "post": {
                    **_operation("The translated image.", *_PNG),
                    "parameters": [
                        {"name": "model", "in": "query", **name},
                        {"name": "seed", "in": "query", "schema": {**number, "maximum": 2**31 - 1}},
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {
                            "image/png": {},
                            "image/jpeg": {},
                            "multipart/form-data": {
                                "schema": {
                                    "type": "object",
                                    "required": ["image"],
                                    "properties": {"image": {"type": "string", "format": "binary"}},
                                }
                            },
                        },
                    },
                }
            },
            "/api/examples/{model}/{number}": {
                "get": {
                    **_operation("An example input.", *_PNG),
                    "parameters": [
                        {"name": "model", "in": "path", "required": True, **name},
                        {"name": "number", "in": "path", "required": True, "schema": number},
                    ],
                }
            },
            "/healthz": {"get": _operation("The server answers.", "application/json")},
            "/metrics": {"get": _operation("Figures for Prometheus.", "text/plain")},
        },
    }


def _operation(summary: str, kind: str) -> dict[str, Any]:
    problem = {"description": "What is wrong.", "content": {"application/json": {"schema": _ERROR}}}
    return {
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {kind: {}}},
            **{str(status): problem for status in (400, 404, 408, 413, 415, 429, 503)},
        },
    }
