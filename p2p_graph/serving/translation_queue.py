"""One thread that translates, and the requests that wait for it."""

import asyncio
import concurrent.futures
import time
from typing import Any, Protocol

import numpy as np

from p2p_graph.imaging.image_arrays import encode_png
from p2p_graph.utils.errors import UserError

Array = np.ndarray[Any, Any]


class Translate(Protocol):
    """A model: translates the contents of an image file, uint8 [H, W, C]."""

    def __call__(self, images: bytes, *, seed: int | None = None) -> Array:
        """Translates with the dropout masks of a seed."""


class QueueFullError(UserError):
    """So many requests wait that no other is taken.

    Attributes:
      seconds: after which a client should try again.
    """

    def __init__(self, seconds: int) -> None:
        """Takes the seconds."""
        super().__init__("too many images wait: try again later")
        self.seconds = seconds


class TranslationQueue:
    """Translates images one after the other.

    Attributes:
      waiting: how many requests wait or are translated.
      translated: how many images have been translated.
      seconds: how long these translations took, in all.
    """

    def __init__(self, most: int, time_limit: float) -> None:
        """Starts no thread yet.

        Args:
          most: requests that may wait.
          time_limit: for a request, in seconds.
        """
        self._most, self._time_limit = most, time_limit
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "translate")
        self.waiting, self.translated, self.seconds = 0, 0, 0.0

    async def translate(self, generator: Translate, contents: bytes, seed: int | None) -> bytes:
        """Translates an image.

        Args:
          generator: the model.
          contents: of an image file.
          seed: of the dropout masks; None for the model's own.

        Returns:
          A PNG file.

        Raises:
          QueueFullError: too many requests wait.
          TimeoutError: the time limit has passed.
          UserError: the image cannot be translated.
        """
        if self.waiting >= self._most:
            mean = self.seconds / self.translated if self.translated else 1.0
            raise QueueFullError(max(1, round(mean * self.waiting)))
        self.waiting += 1
        work = asyncio.wrap_future(self._thread.submit(self._work, generator, contents, seed))
        try:
            image = await asyncio.wait_for(work, self._time_limit)
            # Beside the next translation.
            return await asyncio.to_thread(encode_png, image)
        except asyncio.TimeoutError:
            raise TimeoutError from None
        finally:
            self.waiting -= 1

    def _work(self, generator: Translate, contents: bytes, seed: int | None) -> Array:
        start = time.monotonic()
        image = generator(contents, seed=seed)
        self.translated += 1
        self.seconds += time.monotonic() - start
        return image

    def close(self) -> None:
        """Ends the thread, after the image that it translates."""
        self._thread.shutdown(cancel_futures=True)
