"""What a worker calls for images, in files, archives and shards, and statistics; see `readers`."""

import contextlib
import dataclasses
import functools
import io
import json
import math
import zipfile

import numpy as np
import tensorflow.compat.v1 as tf
import tifffile

from p2p_graph.config.data_options import ImageSource, ScalingOptions, TaskOptions
from p2p_graph.data.channel_counts import channels_of_data
from p2p_graph.data.dataset_iterators import next_element
from p2p_graph.data.decode import decode_file
from p2p_graph.data.decode_check import image_errors_named, verifying_session
from p2p_graph.data.image_files import Entry, Problem
from p2p_graph.data.image_sources import list_images
from p2p_graph.data.input_graph import translation_batches
from p2p_graph.data.packed import npz_archives, tfrecord_shards
from p2p_graph.data.usable_images import check_image
from p2p_graph.imaging import exif
from p2p_graph.imaging.array_files import decode_array
from p2p_graph.imaging.image_arrays import decode_rgb, opened, read_rgb
from p2p_graph.metrics.feature_moments import FeatureMoments, open_moments_file
from p2p_graph.metrics.fid import frechet_distance
from p2p_graph.preparation.check_data import inspect_images, table
from p2p_graph.preparation.pack_records import RECORD_FILE, pack_records
from p2p_graph.utils.errors import UserError

from ..forked.verdicts import expect, one_line_problem, same_bits
from .damage import damaged

# --- .npz


def npz_images(folder, names, single):
    """Images of an archive are the arrays that NumPy reads, and the checksums are right."""
    path = folder / "images.npz"
    images = npz_archives.archive_images(path, names, single=single)
    chosen = images[0].arrays
    arrays = npz_archives.load_arrays(path, chosen)
    for name, array in zip(chosen, arrays, strict=True):
        wanted = _numpy_array(path, name)
        expect(array.shape[:3] == wanted.shape[:3], "a shape is not NumPy's", wanted.shape)
        wanted = wanted.reshape(array.shape)
        same = np.array_equal(array, wanted.astype(array.dtype))
        exact = array.dtype == np.float32 or np.array_equal(array, wanted)
        expect(same and exact, "values are not NumPy's", name)
        expect(((array >= 0) & (array <= 255)).all(), "values outside of 0..255", name)
    expect(len(images) == len(arrays[0]), "a number of images", len(images))
    source = ImageSource(input_dir=str(path), arrays=names)
    _translate_all(images, source, single)
    table(inspect_images(source, None, single=single)[1])


def _numpy_array(path, name):
    """An array as zipfile, which compares the checksum, and NumPy read it."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
            return np.load(io.BytesIO(archive.read(member)), allow_pickle=False)
    except Exception as error:
        expect(False, "an array is accepted that zipfile or NumPy refuses", f"{name}: {error!r}")


def _translate_all(images, source, single):
    """Runs every image through the input graph, as translation and training do."""
    task = TaskOptions(inputs_only=single)
    task = dataclasses.replace(task, **channels_of_data(task, source))
    with (
        tf.Graph().as_default(),
        tf.device("/cpu:0"),
        tf.Session() as session,
        image_errors_named(images),
    ):
        batches = translation_batches(images, task, ScalingOptions(crop_size=8), 1)
        batch = next_element(batches, session)
        for number in range(len(images)):
            index, *parts = session.run(batch)
            expect(index == number, "images are in another order", index)
            for part, channels in zip(parts, task.channels, strict=False):
                within = (part >= -1.0001) & (part <= 1.0001)
                is_right = part.shape == (1, 8, 8, channels) and within.all()
                expect(is_right, "values of an image", number)


def moments_npz(folder):
    """Statistics are the arrays that NumPy reads; the distance of a set to itself is 0."""
    path = folder / "statistics.npz"
    with open_moments_file(path) as arrays:
        moments = FeatureMoments.from_arrays(arrays)
        str(arrays["digest"])
    count = _numpy_array(path, "count")
    expect(moments.count == count, "the count is not the file's", moments.count)
    for name in ("mean", "scatter"):
        same = same_bits(getattr(moments, name), _numpy_array(path, name))
        expect(same, "an array is not the file's", name)
    distance = frechet_distance(moments, moments)
    expect(math.isfinite(distance) and distance >= 0, "a distance", distance)


# --- TFRecord shards and packed.json


def shards(folder):
    """Records are those that TensorFlow reads, and every accepted image can be used or named."""
    images = tfrecord_shards.list_packed_images(folder)
    records = [
        tf.train.Example.FromString(record)
        for path in sorted(folder.glob("*.tfrecord"))
        for record in tf.python_io.tf_record_iterator(str(path))
    ]
    expect(len(images) == len(records), "a number of images", (len(images), len(records)))
    for image, record in zip(images, records, strict=True):
        feature = record.features.feature
        name = feature["name"].bytes_list.value[0].decode()
        inside = image.path.name == name and image.path.parent.parent == folder
        expect(inside, "a name leads out of the shard", name)
        sizes = [feature[name].int64_list.value[0] for name in ("width", "height")]
        expect([image.width, image.height] == sizes, "a size is not the record's", image)
        held = [*feature["a"].bytes_list.value, *feature["b"].bytes_list.value]
        held += feature["more"].bytes_list.value
        same = tfrecord_shards.stored_files(image) == [contents for contents in held if contents]
        expect(same, "files are not the record's", image)
    source = ImageSource(input_dir=str(folder))
    images = list_images(source, single=False)
    table(inspect_images(source, None, single=False)[1])
    _translate_all(images, source, single=False)


def repacked(folder, name, change):
    """Packing into a folder with a damaged file gives the shards of an empty folder.

    Args:
      folder: holds a folder of images.
      name: of the file that is damaged; None for packed.json.
      change: the damages of the file, or its new contents.
    """
    source, packed = ImageSource(input_dir=str(folder / "images")), folder / "packed"
    pack_records(source, packed, 1, single=False)
    fresh = _contents_of(packed)
    path = packed / (name or RECORD_FILE)
    is_contents = isinstance(change, bytes)
    path.write_bytes(change if is_contents else damaged(path.read_bytes(), change))
    before = _contents_of(packed)
    try:
        pack_records(source, packed, 1, single=False)
    except UserError:
        expect(_contents_of(packed) == before, "a refusal changes the shards")
        raise
    again = _contents_of(packed)
    # The same record in other white space is left as it is.
    for contents in (fresh, again):
        contents[RECORD_FILE] = json.loads(contents[RECORD_FILE])
    same = all(again.get(name) == contents for name, contents in fresh.items())
    expect(same, "shards differ from new ones", sorted(again))


# --- images


def image_file(folder, pairs):
    """An accepted image decodes, with the size that was found, in Pillow and in the graph alike."""
    [path] = folder.glob("image.*")
    with verifying_session() as verify:
        found = check_image(Entry(path), verify, pairs=pairs, upright=pairs)
    if isinstance(found, Problem):
        expect(not one_line_problem(found.text), "a problem of several lines", found.text)
        with contextlib.suppress(UserError):  # what cannot be used may decode, but without a crash
            read_rgb(path)
        raise UserError(f"{path}: {found.text}")
    contents = path.read_bytes()
    try:
        pixels = decode_rgb(contents)
    except UserError as error:
        expect(False, "an accepted image does not decode in Pillow", str(error))
    turned = functools.partial(exif.upright, orientation=(found.orientations or (exif.UPRIGHT,))[0])
    pixels, size = turned(pixels), (found.height, found.width, 3)
    expect(pixels.shape == size, "Pillow decodes another size", (pixels.shape, size))
    expect(not pairs or found.width % 2 == 0, "a pair has an odd width", size)
    try:
        values = turned(_decoded_in_graph(contents))
    except tf.errors.OpError as error:
        expect(False, "an accepted image does not decode in the graph", str(error)[:300])
    expect(values.shape == size, "TensorFlow decodes another size", (values.shape, size))
    with opened(contents) as image:
        is_plain = image.mode in ("L", "RGB") and image.format == "PNG" and b"gAMA" not in contents
    if is_plain and not found.is_16_bit:
        expect(same_bits(np.rint(values * 255).astype(np.uint8), pixels), "pixels differ", size)


def _decoded_in_graph(contents):
    session, placeholder, decoded = _decoding_graph()
    return session.run(decoded, {placeholder: contents})


@functools.cache
def _decoding_graph():
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        placeholder = tf.placeholder(tf.string, [])
        decoded = decode_file(placeholder)
    return tf.Session(graph=graph), placeholder, decoded


def array_file(folder):
    """An accepted array is what NumPy or tifffile reads, and goes through the graph."""
    [path] = folder.glob("image.*")
    source = ImageSource(input_dir=str(folder))
    [image] = list_images(source, single=True)
    found = decode_array(path.read_bytes())
    size = (image.height, image.width, image.channels[0])
    expect(found.shape == size, "an array has another size", (found.shape, size))
    expect(found.dtype in (np.uint8, np.uint16, np.float32), "a type", found.dtype)
    try:
        wanted = np.load(path) if path.suffix == ".npy" else tifffile.imread(path)
    except Exception as error:
        expect(False, "an array is accepted that its package refuses", repr(error))
    expect(found.size == wanted.size, "an array has other values", wanted.shape)
    if path.suffix == ".npy":
        same = np.array_equal(found, wanted.reshape(size).astype(found.dtype))
        expect(same, "values are not NumPy's", size)
    _translate_all([image], source, single=True)


def image_folder(folder):
    """A folder of images is listed with the bad ones left out, or refused."""
    source = ImageSource(input_dir=str(folder), skip_bad=True)
    images = list_images(source, single=True)
    _translate_all(images, source, single=True)
    table(inspect_images(source, None, single=True)[1])


def _contents_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
