"""A quiet and quick import of TensorFlow, for the programs."""

import contextlib
import gc
import os
import sys
from collections.abc import Iterator

from p2p_graph.utils import signals


@contextlib.contextmanager
def tensorflow_import() -> Iterator[None]:
    """Makes the imports of TensorFlow within the context quiet and quick."""
    with quiet_import(), quick_import():
        yield


@contextlib.contextmanager
def quick_import() -> Iterator[None]:
    """Makes the first import of TensorFlow half a second quicker.

    TensorFlow loads Keras, which this package does not use, unless Keras is missing: the context
    hides Keras. It also disables garbage collection, which would search thousands of live modules.
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
    """Hides what TensorFlow writes to stderr during its import, unless the import fails.

    A signal ends a program at once within the context.

    TensorFlow writes its first messages before it reads TF_CPP_MIN_LOG_LEVEL. If the variable is
    set to another level than 3, nothing is hidden.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with hidden_stderr() as stderr, signals.at_once(stderr):
        yield


@contextlib.contextmanager
def hidden_stderr() -> Iterator[int]:
    """Hides what the process writes to stderr within the context, unless an exception ends it.

    If TF_CPP_MIN_LOG_LEVEL is set to another level than 3, nothing is hidden.

    Yields:
      The file descriptor of stderr.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        yield 2
        return
    import tempfile  # here: a program that only prints its help does without it

    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield stderr
        except Exception:
            hidden.seek(0)
            os.write(stderr, hidden.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
