"""TensorFlow's import, as the programs do it: quiet and quick. Importing this imports nothing."""

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def tensorflow_import() -> Iterator[None]:
    """Imports TensorFlow, and what needs it, as the programs do: quietly and quickly."""
    with quiet_import(), quick_import():
        yield


@contextlib.contextmanager
def quick_import() -> Iterator[None]:
    """Makes the import of TensorFlow quicker, by half a second.

    TensorFlow loads Keras, which nothing here uses, and goes without where there is none. And the
    thousands of modules are not garbage, so that there is no need to look for some among them.
    """
    if {"tensorflow", "keras"} & set(sys.modules):
        yield
        return
    sys.modules["keras"] = None  # type: ignore[assignment]
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
        del sys.modules["keras"]


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Hides what TensorFlow prints while it is imported, unless the import fails.

    Its first messages come before it looks at TF_CPP_MIN_LOG_LEVEL. Where that is set, and not to
    3, everything is shown.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if level != "3":
        yield
        return
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(shown, hidden.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
