"""Checks that every image file can be decoded and used, before any work starts."""

import concurrent.futures
import io
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from p2p_graph.data.image_files import CORRUPT, MISMATCH, ODD_WIDTH, Entry, Problem, SourceImage
from p2p_graph.utils.errors import UserError, shortened_list

# How the last part of a complete file begins and ends: a JPEG's last scan, all of a PNG.
_ENDS = {"JPEG": (b"\xff\xda", b"\xff\xd9"), "PNG": (b"IHDR", b"IEND\xaeB`\x82")}
_MANY = 5000  # images; larger sets take long enough for a progress bar


def usable_images(
    entries: Sequence[Entry], where: object, *, pairs: bool, skip_bad: bool
) -> list[SourceImage]:
    """Decodes every image once, and lists the usable ones.

    Args:
      entries: the images, at least one.
      where: folder or manifest that names the images, for messages.
      pairs: whether an image without a partner is a pair, two halves side by side.
      skip_bad: whether unusable images are left out and reported on stderr, instead of an error.

    Raises:
      UserError: images are unusable; the message lists the first 20, one a line.
    """
    good, bad = check_images(entries, pairs=pairs)
    if bad:
        count = f"{len(bad)} of {len(entries)} images in {where} cannot be used"
        if not skip_bad:
            remedy = "mend or remove them, or leave them out with --skip_bad"
            raise UserError(f"{count}; {remedy}:", *bad)
        if not good:
            raise UserError(f"{count}, so no image remains:", *bad)
        print(f"{count}, continuing without them:\n{shortened_list(bad)}", file=sys.stderr)
    return good


def check_images(entries: Sequence[Entry], *, pairs: bool) -> tuple[list[SourceImage], list[str]]:
    """Decodes every image once.

    Args:
      entries: the images.
      pairs: as in `usable_images`.

    Returns:
      The usable images, and one line for each unusable one: its path and the reason.
    """
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        checks: Iterable[SourceImage | Problem] = pool.map(
            lambda entry: check_image(*entry, pairs=pairs), entries
        )
        if len(entries) > _MANY:
            checks = tqdm(checks, "checking", len(entries), disable=not sys.stderr.isatty())
        results = list(checks)
    good = [result for result in results if isinstance(result, SourceImage)]
    bad = [
        f"{entry[0]}: {why.text}"
        for entry, why in zip(entries, results, strict=True)
        if isinstance(why, Problem)
    ]
    return good, bad


def check_image(
    path: Path, partner: Path | Problem | None, *, pairs: bool
) -> SourceImage | Problem:
    """Decodes an image and its partner; returns the usable image, or its problem."""
    if isinstance(partner, Problem):
        return partner
    image = _check_file(path, pairs and not partner)
    if partner is None or isinstance(image, Problem):
        return image
    other = _check_file(partner, pairs=False)
    if isinstance(other, Problem):
        return Problem(other.kind, f"has the partner {partner}, which {other.text}")
    if (image.width, image.height) != (other.width, other.height):
        return Problem(
            MISMATCH,
            f"is {image.width}x{image.height} pixels, its partner {partner} "
            f"{other.width}x{other.height}",
        )
    return image._replace(is_16_bit=image.is_16_bit or other.is_16_bit, target=partner)


def _check_file(path: Path, pairs: bool) -> SourceImage | Problem:
    """Decodes an image file; returns the usable image, or its problem."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return Problem(CORRUPT, "has a name that is not UTF-8")
    try:
        contents = path.read_bytes()
        with Image.open(io.BytesIO(contents)) as image:
            kind = "JPEG" if image.format == "MPO" else image.format
            width, height = image.size
            if kind == "PNG":
                # Pillow's decoder does not verify every checksum.
                with Image.open(io.BytesIO(contents)) as again:
                    again.verify()
            # A JPEG is decoded at 1/8 of its size, which reads all of it in half the time.
            image.draft(None, (1, 1))
            image.load()
    except FileNotFoundError:
        return Problem(CORRUPT, "does not exist")
    except UnidentifiedImageError:
        return Problem(CORRUPT, "is not an image" if contents else "is empty")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return Problem(CORRUPT, f"cannot be decoded: {error}")
    if kind not in _ENDS:
        return Problem(CORRUPT, f"is {kind}, neither JPEG nor PNG")
    last_part, end = _ENDS[kind]
    if contents.rfind(end) < contents.rfind(last_part):
        return Problem(CORRUPT, "cannot be decoded: it is cut off")
    if pairs and width < 2:
        return Problem(ODD_WIDTH, f"is {width} pixel wide, too narrow for two halves")
    if pairs and width % 2:
        return Problem(ODD_WIDTH, f"is {width} pixels wide: two equal halves need an even width")
    # Pillow does not report a PNG's bit depth; byte 24 holds it.
    return SourceImage(path, width, height, is_16_bit=kind == "PNG" and contents[24] == 16)
