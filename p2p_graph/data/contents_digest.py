"""A fingerprint of what images hold, wherever they lie and whatever they are called."""

import hashlib
from collections.abc import Iterator, Sequence

from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.packed.npz_archives import load_arrays
from p2p_graph.data.packed.tfrecord_shards import stored_files
from p2p_graph.imaging.image_arrays import read_contents
from p2p_graph.utils.errors import UserError


def contents_digest(images: Sequence[SourceImage]) -> str:
    """SHA-256 of images in any order, in hexadecimal digits: files' bytes, or archives' values.

    Args:
      images: the images; files and shards with the same files give the same digest.

    Raises:
      UserError: a file cannot be read.
    """
    return hashlib.sha256(b"".join(sorted(map(_digest_of, images)))).hexdigest()


def _digest_of(image: SourceImage) -> bytes:
    parts = [hashlib.sha256(part).digest() for part in _contents(image)]
    return hashlib.sha256(f"{image.orientations}".encode() + b"".join(parts)).digest()


def _contents(image: SourceImage) -> Iterator[bytes]:
    """What is stored of an image: that of A, or of a pair side by side, of B, of further inputs."""
    if image.arrays:
        for array in load_arrays(image.path.parent, image.arrays):
            values = array[image.position]
            yield f"{values.dtype} {values.shape}".encode() + values.tobytes()
    elif image.position is not None:
        yield from stored_files(image)
    else:
        for path in image.columns:
            try:
                yield read_contents(path)
            except UserError as error:
                raise UserError(f"{path} {error}") from None
