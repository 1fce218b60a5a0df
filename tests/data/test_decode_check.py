"""Errors of the input graph name the image that has gone or changed since the check."""

import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.config.options import Options
from p2p_graph.data.dataset_iterators import next_element
from p2p_graph.data.decode_check import image_errors_named
from p2p_graph.data.image_sources import list_images
from p2p_graph.data.input_graph import translation_batches
from p2p_graph.data.packed import tfrecord_shards
from p2p_graph.preparation.pack_records import pack_records
from p2p_graph.utils.errors import UserError

from .damaged_images import joined, png


@pytest.fixture
def folder(tmp_path):
    """Four pairs; the third is of another size."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for number in range(4):
        image = np.random.default_rng(number).integers(0, 256, (16, 32 + 16 * (number == 2), 3))
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def images_of(folder):
    options = Options.of(input_dir=str(folder), crop_size=16, scale_size=16)
    return options, list_images(options.data.source, single=False)


def read_all(options, images):
    with tf.Graph().as_default(), tf.Session() as session:
        task, scaling = options.data.task, options.data.scaling
        batch = next_element(translation_batches(images, task, scaling, 1), session)
        for _ in images:
            session.run(batch)


def refusal(options, images):
    with pytest.raises(UserError) as caught, image_errors_named(images):
        read_all(options, images)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("an image can no longer be read: ")


def test_arrays_and_further_inputs_that_change(tmp_path):
    folders = {}
    for name, shape in (("a", (16, 16, 5)), ("b", (16, 16, 2)), ("more", (16, 16, 3))):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        for number in range(3):
            np.save(folders[name] / f"{number}.npy", np.zeros(shape, np.uint8))
    options = Options.of(
        input_dir=str(folders["a"]), target_dir=str(folders["b"]), crop_size=16, scale_size=16,
        more_inputs=[str(folders["more"])], input_channels="5+3", target_channels=2,
    )  # fmt: skip
    images = list_images(options.data.source, single=False)
    read_all(options, images)
    for name, shape, words in (
        ("a", (16, 16, 2), "was an array of 5 channels, and has 2"),
        ("b", (16, 16, 5), "was an array of 2 channels, and has 5"),
        ("more", (16, 16, 1), "was an array of 3 channels, and has 1"),
        ("more", (20, 20, 3), "is 20x20 pixels, and no longer as large as"),
    ):
        path = folders[name] / "1.npy"
        before = path.read_bytes()
        np.save(path, np.zeros(shape, np.uint8))
        assert refusal(options, images).startswith(f"{path} {words}")
        path.write_bytes(before)


DAMAGE = {
    "removed": (lambda path: path.unlink(), "does not exist"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "a few bytes": (lambda path: path.write_bytes(b"\x89PN"), "is not an image"),
    "text": (lambda path: path.write_text("text"), "is not an image"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:300]), "it is cut off"),
    "too little data": (
        lambda path: path.write_bytes(joined([*png(16, 32, np.random.default_rng(0))[:3],
                                              (b"IEND", b"")])),
        "its image data ends too early",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_image_that_changes_after_the_check(damage, folder):
    options, images = images_of(folder)
    read_all(options, images)
    change, reason = DAMAGE[damage]
    change(folder / "1.png")
    message = refusal(options, images)
    assert message.startswith(f"{folder / '1.png'}: ")
    assert message.endswith(reason)


def test_an_image_of_another_size(folder):
    (folder / "2.png").unlink()
    options, images = images_of(folder)
    Image.new("RGB", (20, 16)).save(folder / "3.png")
    message = refusal(options, images)
    assert message == f"{folder / '3.png'} was 32x16 pixels, and is 20x16"


def test_16_bit_images_name_themselves(folder):
    """Their graph reads the header's bytes, which a file may lack."""
    deep = png(16, 32, np.random.default_rng(0), bits=16)
    (folder / "0.png").write_bytes(joined(deep))
    options, images = images_of(folder)
    read_all(options, images)
    (folder / "3.png").write_bytes(b"\x89PNG\xff")
    assert refusal(options, images) == f"{folder / '3.png'}: is not an image"


def test_an_image_in_a_shard(folder, tmp_path):
    """The shard is replaced by one whose checksums are right, and whose image is not."""
    made = tmp_path / "made"
    _, files = images_of(folder)
    pack_records(Options.of(input_dir=str(folder)).data.source, made, 4, single=False)
    options, images = images_of(made)
    read_all(options, images)
    [shard] = made.glob("*.tfrecord")
    (folder / "1.png").write_bytes(bytes((folder / "1.png").stat().st_size))
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for image in files:
            writer.write(tfrecord_shards.serialize_example(image))
    assert refusal(options, images) == f"{shard / '1.png'} is not an image"
    shutil.rmtree(made)
    assert "does not exist" in refusal(options, images)


def test_errors_that_no_image_explains(folder):
    _, images = images_of(folder)
    error = tf.errors.InvalidArgumentError(None, None, "reason\n more")
    with pytest.raises(UserError, match=r"^an image can no longer be read: reason$"), \
            image_errors_named(images):  # fmt: skip
        raise error
