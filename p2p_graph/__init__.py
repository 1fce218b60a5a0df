"""pix2pix (Isola et al. 2017) as an explicit TensorFlow graph, exact to the TF1 reference.

`load` gives a trained generator that is called with images. TensorFlow is imported when it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from p2p_graph.version import __version__

if TYPE_CHECKING:
    from p2p_graph.inference.generator import Generator, load
    from p2p_graph.utils.errors import UserError

__all__ = ["Generator", "UserError", "__version__", "load"]

_MODULES = {
    "Generator": "p2p_graph.inference.generator",
    "UserError": "p2p_graph.utils.errors",
    "load": "p2p_graph.inference.generator",
}


def __getattr__(name: str) -> Any:
    """Imports what is not needed by the package itself (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
