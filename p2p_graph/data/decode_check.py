"""Decodes image files by the input graph's operations, before a run and after its errors."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from p2p_graph.data.decode import decode_rgb
from p2p_graph.data.image_files import Entry, SourceImage
from p2p_graph.data.packed import tfrecord_shards
from p2p_graph.data.usable_images import EncodedImage, Verify, check_images, decode_contents
from p2p_graph.imaging import image_arrays
from p2p_graph.utils import signals
from p2p_graph.utils.cores import available_cores
from p2p_graph.utils.counted import counted
from p2p_graph.utils.errors import UserError, one_line_reason
from p2p_graph.utils.file_names import SHARD_SUFFIX
from p2p_graph.utils.hidden_stderr import hidden_stderr
from p2p_graph.utils.outside_files import damage_reported

# What the input graph raises for an image that has gone or changed since it was checked.
IMAGE_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.DataLossError,
)

# A JPEG is decoded at 1/8 of its size, libjpeg's least, which reads all of the file in less time.
_SHRINKING = 8
_TOGETHER = 32  # JPEGs in a `Session.run` call, whose cost is a third of that of a small JPEG


@contextlib.contextmanager
def verifying_session() -> Iterator[Verify]:
    """Opens a session that decodes files by the operations of `data.decode`.

    libjpeg's messages, which name no file, are hidden meanwhile.

    Yields:
      A function that any thread may call.
    """
    config = tf.ConfigProto(device_count={"GPU": 0})
    # The process's own threads are left to sessions that come later.
    config.use_per_session_threads = True
    config.inter_op_parallelism_threads = available_cores()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    graph = _decoding_graph()
    with tf.Session(graph=graph.graph, config=config) as session, hidden_stderr():
        decode_one = {
            kind: session.make_callable(size, [graph.file]) for kind, size in graph.sizes.items()
        }
        decode_many = session.make_callable(graph.sizes_of_many, [graph.files])
        yield lambda images: _verify(images, decode_one, decode_many)


class _DecodingGraph(NamedTuple):
    """A graph that decodes files to the shapes of their images.

    Attributes:
      graph: holds what follows.
      file: string scalar, a file's contents.
      sizes: int32 [3], height, width and channels of `file`, by format and whether it has 16 bits;
        of a JPEG at 1/8 of its size.
      files: string [_TOGETHER], contents of JPEG files.
      sizes_of_many: int32 [_TOGETHER, 3], of `files`.
    """

    graph: tf.Graph
    file: tf.Tensor
    sizes: Mapping[tuple[str, bool], tf.Tensor]
    files: tf.Tensor
    sizes_of_many: tf.Tensor


@functools.cache  # always the same, and building it takes longer than checking a few images
def _decoding_graph() -> _DecodingGraph:
    with signals.held(), tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        file = tf.placeholder(tf.string, [])
        files = tf.placeholder(tf.string, [_TOGETHER])
        sizes = {
            ("PNG", False): tf.shape(decode_rgb(file, tf.uint8)),
            ("PNG", True): tf.shape(decode_rgb(file, tf.uint16)),
            ("JPEG", False): tf.shape(_decode_small(file)),
        }
        sizes_of_many = tf.stack([tf.shape(_decode_small(one)) for one in tf.unstack(files)])
    graph.finalize()
    return _DecodingGraph(graph, file, sizes, files, sizes_of_many)


def _decode_small(contents: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(contents, channels=3, ratio=_SHRINKING)


def _verify(
    images: Sequence[EncodedImage],
    decode_one: dict[tuple[str, bool], Callable[[Any], Any]],
    decode_many: Callable[[Any], Any],
) -> list[str | None]:
    """Decodes images, all in one call if they are many JPEGs and none is bad."""
    if len(images) == _TOGETHER and all(image.structure.kind == "JPEG" for image in images):
        contents = np.array([image.contents for image in images], object)
        wanted = [_wanted_size(image) for image in images]
        with contextlib.suppress(tf.errors.InvalidArgumentError):
            if decode_many(contents).tolist() == wanted:
                return [None] * len(images)
    return [_verify_one(image, decode_one) for image in images]


def _verify_one(
    image: EncodedImage, decode_one: dict[tuple[str, bool], Callable[[Any], Any]]
) -> str | None:
    decode = decode_one[image.structure.kind, image.structure.is_16_bit]
    try:
        if decode(image.contents).tolist() == _wanted_size(image):
            return None
    except tf.errors.InvalidArgumentError:
        reason = image_arrays.why_not_decodable(image.contents, image.structure)
        return reason or "cannot be decoded: TensorFlow refuses its image data"
    return image_arrays.WRONG_SIZE


def _wanted_size(image: EncodedImage) -> list[int]:
    """Height, width and channels of the decoded image."""
    ratio = _SHRINKING if image.structure.kind == "JPEG" else 1
    return [-(-image.structure.height // ratio), -(-image.structure.width // ratio), 3]


@contextlib.contextmanager
def image_errors_named(images: Sequence[SourceImage]) -> Iterator[None]:
    """Turns errors of the input graph into the one line of `unreadable_image`."""
    try:
        yield
    except IMAGE_ERRORS as error:
        raise unreadable_image(error, images) from None


def unreadable_image(error: Exception, images: Sequence[SourceImage]) -> UserError:
    """Puts one of `IMAGE_ERRORS` into one line.

    The graph's errors name no file: the images are decoded again to find it.

    Args:
      error: what the input graph raised.
      images: that the graph reads.
    """
    reason = next(_changed(images), None) or one_line_reason(error)
    return UserError(f"an image can no longer be read: {reason}")


def why_unreadable(image: SourceImage) -> str | None:
    """Decodes an image again; gives what is wrong with it, or None."""
    return next(_changed([image]), None)


def _changed(images: Sequence[SourceImage]) -> Iterator[str]:
    """The images that are not what they were, or cannot be decoded: their paths and the reasons."""
    if images and images[0].position is None:
        return _changed_files(images)
    if images and images[0].path.parent.suffix == SHARD_SUFFIX:
        return _changed_records(images)
    return iter(())


def _changed_files(images: Sequence[SourceImage]) -> Iterator[str]:
    """The files that are not what they were: their paths and the reasons."""
    entries = [Entry(image.path, image.target) for image in images]
    entries += [Entry(path) for image in images for path in image.more]
    with verifying_session() as verify:
        usable, bad = check_images(
            entries, verify, pairs=False, upright=any(image.orientations for image in images)
        )
    yield from bad
    now = {image.path: image for image in usable}
    for image in images:
        found = now.get(image.path, image)
        was_16_bit = found.is_16_bit if image.more else image.is_16_bit
        before = (image.width, image.height, was_16_bit)
        if (found.width, found.height, found.is_16_bit) != before:
            yield (
                f"{image.path} was {image.width}x{image.height} pixels, "
                f"and is {found.width}x{found.height}{' of 16 bits' * found.is_16_bit}"
            )
        further = [now[path] for path in image.more if path in now]
        for other in further:
            if (other.width, other.height) not in (
                (image.width, image.height),
                (image.width // 2, image.height),
            ):
                yield (
                    f"{other.path} is {other.width}x{other.height} pixels, and no longer as large "
                    f"as {image.path}"
                )
        channels = [found.channels_of(column) for column in range(1 + bool(image.target))]
        channels += [other.channels_of(0) for other in further]
        for column, (path, count) in enumerate(zip(image.columns, channels, strict=False)):
            if image.path in now and count != image.channels_of(column):
                was = counted(image.channels_of(column), "channel")
                yield f"{path} was an array of {was}, and has {count or 'none'}"


def _changed_records(images: Sequence[SourceImage]) -> Iterator[str]:
    """The images in shards that cannot be decoded: their paths and the reasons."""
    with verifying_session() as verify:
        for image in images:
            try:
                with damage_reported(image.path, "a record"):
                    files = tfrecord_shards.stored_files(image)
            except FileNotFoundError:
                yield f"{image.path.parent} does not exist"
                continue
            except UserError as error:
                yield str(error)
                continue
            try:
                for contents in filter(None, files):
                    decode_contents(contents, verify)
            except UserError as error:
                yield f"{image.path} {error}"
