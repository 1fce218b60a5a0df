"""Training images: inputs, outputs and targets of a step in `images/`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.imaging.image_arrays import save_png
from p2p_graph.imaging.preview import KINDS
from p2p_graph.pages.html_page import IMAGE_FOLDER
from p2p_graph.training.hooks.step_hook import StepHook
from p2p_graph.training.session_calls import Schedule
from p2p_graph.utils.errors import UserError, why_not_written

_NAME = re.compile(rf"\d{{8}}-.*-({'|'.join(KINDS)})\.png")


class WriteImages(StepHook):
    """Writes a step's images, which the run's page shows."""

    def __init__(
        self,
        paths: tf.Tensor,
        images: Mapping[str, tf.Tensor],
        names: Mapping[str, str],
        folder: Path,
        every: int,
        schedule: Schedule,
        *,
        is_new: bool,
    ) -> None:
        """Prepares the hook.

        Args:
          paths: string [N], of the step's images.
          images: uint8 [N, H, W, C] in [0, 255], by kind.
          names: the images' output names, by path.
          folder: of the run.
          every: steps between writes.
          schedule: which steps each `Session.run` call does.
          is_new: whether the images in the folder are of another run.
        """
        super().__init__(every, schedule, is_new=is_new)
        self._names = names
        self._fetches = {"paths": paths, "images": dict(images)}
        self._folder = folder
        self._written: dict[int, list[str]] = {}

    @property
    def written(self) -> Mapping[int, Sequence[str]]:
        """The beginnings of the images' names, STEP-NAME, by step."""
        return self._written

    def begin_at(self, step: int) -> None:
        """Removes images of steps after the checkpoint; notes those of earlier steps."""
        kept = self.kept_until(step)
        for path in sorted((self._folder / IMAGE_FOLDER).glob("*.png")):
            if not _NAME.fullmatch(path.name):
                continue
            written = int(path.name[:8])
            if written > kept:
                path.unlink()
                continue
            base = path.name.rpartition("-")[0]
            found = self._written.setdefault(written, [])
            if base not in found:
                found.append(base)

    def request(self) -> tf.train.SessionRunArgs:
        """Inputs, outputs and targets as bytes."""
        return tf.train.SessionRunArgs(self._fetches)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Writes the images."""
        folder = self._folder / IMAGE_FOLDER
        folder.mkdir(exist_ok=True)
        bases = []
        for i, path in enumerate(values.results["paths"]):
            bases.append(f"{step:08d}-{self._names[path.decode()]}")
            for kind, images in values.results["images"].items():
                path = folder / f"{bases[-1]}-{kind}.png"
                try:
                    save_png(path, images[i])
                except OSError as error:
                    raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None
        self._written[step] = bases
