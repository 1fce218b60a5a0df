"""What a folder of results says of its translation, and how that begins and ends.

options.json is the record. It names the weights, and is written before the images, so that an image
in the folder is one of the record's weights and options. The page is written last. Of a translation
in shards, each shard leaves a file in `shards/` when it is done; the last one writes the page.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from p2p_graph.config.options_file import (
    FREE_FIELDS,
    OPTIONS_FILE,
    read_options,
    read_record,
)
from p2p_graph.config.output_folder import one_at_a_time
from p2p_graph.config.resumed_options import differences
from p2p_graph.imaging import preview
from p2p_graph.imaging.array_files import ARRAY_SUFFIX
from p2p_graph.inference.folder.failed_images import FAILED_FILE, FailedImage
from p2p_graph.inference.folder.written_files import is_whole
from p2p_graph.pages import html_page
from p2p_graph.utils import file_lock
from p2p_graph.utils.atomic_write import remove, write_json
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, why_not_written
from p2p_graph.utils.outside_files import damage_reported, read_json

GRID_FILE = "grid.png"
SHARD_FOLDER = "shards"
LAST_FILES = (html_page.INDEX_FILE, GRID_FILE, FAILED_FILE)  # of a translation
WRITTEN = (*LAST_FILES, html_page.IMAGE_FOLDER, SHARD_FOLDER)
# Of the files of an image, of whatever options.
ALL_ENDINGS = tuple(
    f"-{kind}{suffix}" for kind in preview.KINDS for suffix in (".png", ARRAY_SUFFIX)
)
# Options that change no image, nor which images there are.
_FREE = {*FREE_FIELDS} - {"max_steps", "aspect_ratio", "output_bits", "inputs_only"}
# Of these, what the shard that ends last writes for all, so that each must ask for the same.
_OF_ALL_SHARDS = {"grid", "sample_count", "page_limit"}
_EARLIER = "earlier_images"  # of `RECORD_FIELDS`
_ADVICE = "name another folder, or remove this one"


class Made(NamedTuple):
    """What decides the images of a translation, and which there are.

    Attributes:
      options: by flat name.
      weights: the result of `weights_digest`.
      on: "CPU" or "GPU".
      images: the result of `names_digest`.
    """

    options: Mapping[str, Any]
    weights: str
    on: str
    images: str


class Ended(NamedTuple):
    """What came of all images of a translation: how many are done, and which failed."""

    done: int
    failed: Sequence[FailedImage]


class ResultsFolder(NamedTuple):
    """The folder that a translation, or a shard of one, writes into.

    Attributes:
      path: an existing folder, which is claimed.
      made: what the translation is made by.
      save: writes options.json, with values of `RECORD_FIELDS`.
      part: the shard's number, from 1 on, and the number of shards; None without.
      endings: of the names of an image's files, as in "-outputs.png".
    """

    path: Path
    made: Made
    save: Callable[[Mapping[str, str]], None]
    part: tuple[int, int] | None
    endings: Sequence[str]

    def files_of(self, name: str) -> list[Path]:
        """The files of an image."""
        images = self.path / html_page.IMAGE_FOLDER
        return [images / f"{name}{ending}" for ending in self.endings]

    def is_done(self, name: str) -> bool:
        """Whether all files of an image are there, and whole."""
        return all(map(is_whole, self.files_of(name)))

    def is_there(self, name: str) -> bool:
        """Whether all files of an image are there: failed images have none."""
        return all(path.exists() for path in self.files_of(name))

    def refuse_other(self) -> None:
        """Refuses a folder that holds another translation.

        Raises:
          UserError: its images are of other weights, options or images, or of another number of
            shards, or it does not say so.
        """
        if not (self.path / OPTIONS_FILE).exists():
            return
        record, made = read_record(self.path), self.made
        where = f"output_dir {self.path} holds images"
        if "weights" not in record:
            raise UserError(
                f"{where} of which its {OPTIONS_FILE} does not say by which weights they were "
                f"made: {_ADVICE}"
            )
        if record["weights"] != made.weights:
            raise UserError(f"{where} that were made by another checkpoint: {_ADVICE}")
        if record.get("made_on") != made.on:
            raise UserError(f"{where} that were made on a {record.get('made_on')}: {_ADVICE}")
        free = _FREE - _OF_ALL_SHARDS if self.part else _FREE
        changed = differences(read_options(self.path), made.options, self.path, free)
        if changed:
            raise UserError(
                f"{where} that were made with other options: {'; '.join(changed)}: {_ADVICE}"
            )
        if record.get("images") != made.images:
            raise UserError(
                f"{where} of another list of images ({record.get('images', '').partition(' ')[0]} "
                f"then, {made.images.partition(' ')[0]} now): {_ADVICE}"
            )
        shards = record.get("shards")
        if self.part and shards != str(self.part[1]):
            was = "without --shard" if shards is None else f"with --shard I/{shards}"
            raise UserError(f"{where} that were made {was}, not I/{self.part[1]}: {_ADVICE}")

    @contextlib.contextmanager
    def begun(self, names: Iterable[str], step: int, *, keeps_done: bool) -> Iterator[None]:
        """Prepares the folder: within the context, images may be written.

        Args:
          names: of the images whose files are removed first. Otherwise an interrupted translation
            would leave images of two checkpoints side by side, and one without targets the targets
            of other images.
          step: of the checkpoint.
          keeps_done: whether the other images stay; `refuse_other` has found nothing then.

        Raises:
          UserError: the folder cannot be written, or the shard is at work already.
        """
        record = {"weights": self.made.weights, "made_on": self.made.on}
        record |= {"images": self.made.images, "trained_steps": str(step)}
        with contextlib.ExitStack() as stack:
            try:
                if self.part is None:
                    self._begin_alone(names, record, keeps_done=keeps_done)
                else:
                    stack.enter_context(self._shard_begun(names, record, self.part))
            except OSError as error:
                named = f"{error.filename}: " if error.filename else ""
                raise UserError(
                    f"output_dir {self.path} cannot be written: {named}{why_not_written(error)}"
                ) from None
            yield

    def _begin_alone(
        self, names: Iterable[str], record: dict[str, str], *, keeps_done: bool
    ) -> None:
        # First: the folder is known as this program's by it. Until the images of the same names are
        # removed, it does not say of which weights they are.
        unknown = () if keeps_done else ("weights",)
        is_known = keeps_done and (self.path / OPTIONS_FILE).exists()
        has_earlier = is_known and _EARLIER in read_record(self.path)
        self.save({name: value for name, value in record.items() if name not in unknown})
        self._remove_ending()
        remove(self.path / SHARD_FOLDER)
        self._remove_images(names)
        if not keeps_done:
            images = (self.path / html_page.IMAGE_FOLDER).iterdir()
            has_earlier = any(html_page.is_translated(path.name) for path in images)
        self.save(record | ({_EARLIER: "left"} if has_earlier else {}))

    @contextlib.contextmanager
    def _shard_begun(
        self, names: Iterable[str], record: dict[str, str], part: tuple[int, int]
    ) -> Iterator[None]:
        number, count = part
        with one_at_a_time(self.path):
            self.refuse_other()
            if not (self.path / OPTIONS_FILE).exists():
                self.save({**record, "shards": str(count)})
            (self.path / SHARD_FOLDER).mkdir(exist_ok=True)
        with file_lock.held(self.path / SHARD_FOLDER / f"{number}-of-{count}.lock"):
            with one_at_a_time(self.path):
                self._mark(number).unlink(missing_ok=True)
                self._remove_ending()
            self._remove_images(names)
            yield

    def forget_earlier(self) -> None:
        """Drops from options.json that images of an earlier translation were left."""
        record = read_record(self.path)
        if record.pop(_EARLIER, None):
            self.save(record)

    def _mark(self, number: int) -> Path:
        """The file that says that a shard is done."""
        assert self.part is not None
        return self.path / SHARD_FOLDER / f"{number}-of-{self.part[1]}.json"

    def _remove_ending(self) -> None:
        """Removes what is written last: without the page, the translation is not finished."""
        for name in LAST_FILES:
            (self.path / name).unlink(missing_ok=True)

    def _remove_images(self, names: Iterable[str]) -> None:
        images = self.path / html_page.IMAGE_FOLDER
        images.mkdir(exist_ok=True)
        if any(images.iterdir()):
            for name in names:
                for ending in ALL_ENDINGS:
                    (images / f"{name}{ending}").unlink(missing_ok=True)

    @contextlib.contextmanager
    def ended(self, own: Ended) -> Iterator[Ended | None]:
        """Records that a translation is done; within the context, the page may be written.

        Args:
          own: what came of the images of this process.

        Yields:
          What came of all images; None if other shards are not done yet.
        """
        if self.part is None:
            yield own
            return
        number, count = self.part
        with one_at_a_time(self.path):
            write_json(self._mark(number), {"done": own.done, "failed": own.failed})
            marks = [self._mark(each) for each in range(1, count + 1)]
            missing = sum(not mark.exists() for mark in marks)
            if missing:
                print(f"shard {number} of {count} is done; {counted(missing, 'shard')} to go")
                yield None
                return
            found = list(map(_read_mark, marks))
            failed = sorted(image for mark in found for image in mark.failed)
            yield Ended(sum(mark.done for mark in found), failed)


def _read_mark(path: Path) -> Ended:
    """Reads what a shard has left when it was done."""
    with damage_reported(
        path, f"the record of a shard ({path.stem}), which running it again mends"
    ):
        record = read_json(path)
        return Ended(int(record["done"]), [FailedImage(*image) for image in record["failed"]])
