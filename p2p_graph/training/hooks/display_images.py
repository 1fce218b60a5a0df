"""Training images: inputs, outputs and targets of a step in `images/`, and a page of all steps."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from p2p_graph.imaging.image_arrays import save_png
from p2p_graph.imaging.preview import KINDS
from p2p_graph.pages import html_page
from p2p_graph.training.hooks.step_hook import StepHook
from p2p_graph.training.session_calls import Schedule
from p2p_graph.utils.errors import UserError, why_not_written

_NAME = re.compile(rf"\d{{8}}-.*-({'|'.join(KINDS)})\.png")


class WriteImages(StepHook):
    """Writes a step's images and index.html; the newest step stands last."""

    def __init__(
        self,
        paths: tf.Tensor,
        images: Mapping[str, tf.Tensor],
        names: Mapping[str, str],
        titles: Mapping[str, str],
        folder: Path,
        metadata: Mapping[str, object],
        every: int,
        schedule: Schedule,
    ) -> None:
        """Prepares the hook.

        Args:
          paths: string [N], of the step's images.
          images: uint8 [N, H, W, C] in [0, 255], by kind.
          names: the images' output names, by path.
          titles: of the page's columns, by kind.
          folder: of the run.
          metadata: shown above the images.
          every: steps between writes.
          schedule: which steps each `Session.run` call does.
        """
        super().__init__(every, schedule)
        self._names, self._titles = names, titles
        self._fetches = {"paths": paths, "images": dict(images)}
        self._folder = folder
        self._metadata = metadata

    def begin_at(self, step: int) -> None:
        """Removes images of steps after the checkpoint."""
        for path in self._written():
            if int(path.name[:8]) > step:
                path.unlink()

    def request(self) -> tf.train.SessionRunArgs:
        """Inputs, outputs and targets as bytes."""
        return tf.train.SessionRunArgs(self._fetches)

    def report(self, step: int, values: Any, session: tf.Session) -> None:
        """Writes the images and the page."""
        folder = self._folder / html_page.IMAGE_FOLDER
        folder.mkdir(exist_ok=True)
        for i, path in enumerate(values.results["paths"]):
            name = self._names[path.decode()]
            for kind, images in values.results["images"].items():
                path = folder / f"{step:08d}-{name}-{kind}.png"
                try:
                    save_png(path, images[i])
                except OSError as error:
                    raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None
        written = sorted({path.name.rpartition("-")[0] for path in self._written()})
        html_page.write_index(
            self._folder,
            "Images while training",
            self._metadata,
            ("step", "name", *(self._titles[kind] for kind in KINDS)),
            [
                (str(int(name[:8])), name[9:], *(f"{name}-{k}.png" for k in KINDS))
                for name in written
            ],
            self._titles.values(),
        )

    def _written(self) -> Iterable[Path]:
        paths = (self._folder / html_page.IMAGE_FOLDER).glob("*.png")
        return [path for path in paths if _NAME.fullmatch(path.name)]
