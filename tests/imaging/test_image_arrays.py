"""Image operations, against slow versions, and decoding of every kind of file."""

import io
import math
import resource
import struct
import zlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.data import image_pairs
from p2p_graph.imaging import image_arrays
from p2p_graph.utils.errors import UserError

SIZES = [(1, 1), (1, 7), (9, 4), (10, 10), (13, 20)]


@pytest.fixture
def noise(rng):
    return lambda height, width: np.uint8(rng.integers(0, 256, (height, width, 3)))


def test_grayscale(noise):
    image = noise(13, 20)
    found = image_arrays.grayscale(image)
    assert found.shape == image.shape
    assert (found == found[..., :1]).all()
    wanted = image @ [0.299, 0.587, 0.114]
    assert abs(found[..., 0] - wanted).max() <= 0.51


def square(image, pad):
    """The largest square of the middle, or the smallest around it; odd pixels stay at the end."""
    height, width, _ = image.shape
    side = max(height, width) if pad else min(height, width)
    wanted = np.zeros((side, side, 3))
    down, right = (math.floor(abs(side - size) / 2) for size in (height, width))
    for y, x in np.ndindex(side, side):
        row, column = (y - down, x - right) if pad else (y + down, x + right)
        if 0 <= row < height and 0 <= column < width:
            wanted[y, x] = image[row, column]
    return wanted


def slow_average(image, size):
    """Each new pixel from a grid of points on it, `size` a side of each old pixel."""
    fine = image.repeat(size, axis=0).repeat(size, axis=1)
    side = len(image)
    return fine.reshape(size, side, size, side, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("pad", [False, True])
def test_resize_at_the_same_side_only_cuts_or_pads(shape, pad, noise):
    image = noise(*shape)
    side = max(shape) if pad else min(shape)
    found = image_arrays.resized(image, side, pad=pad)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, square(image, pad))


@pytest.mark.parametrize(("shape", "size"), [((9, 6), 3), ((13, 20), 5), ((10, 10), 7)])
@pytest.mark.parametrize("pad", [False, True])
def test_resize_averages_areas(shape, size, pad, noise):
    image = noise(*shape)
    found = image_arrays.resized(image, size, pad=pad)
    assert abs(found - slow_average(square(image, pad), size)).max() <= 0.501


@pytest.mark.parametrize(("shape", "size"), [((9, 6), 3), ((13, 20), 5), ((10, 10), 7)])
def test_resize_averages_as_tensorflow(shape, size, noise):
    image = noise(*shape)
    with tf.Graph().as_default(), tf.Session() as session:
        values = tf.constant(square(image, pad=False), tf.float32)
        wanted = session.run(
            tf.image.resize_images(values, [size, size], tf.image.ResizeMethod.AREA)
        )
    assert abs(image_arrays.resized(image, size) - wanted).max() <= 0.501


def slow_bicubic(values, size):
    """Along the first axis; Keys' kernel with a = -1/2 and the centres of pixels at halves."""

    def weight(x):
        x = abs(x)
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0

    side = len(values)
    rows = []
    for i in range(size):
        position = (i + 0.5) * side / size - 0.5
        weights = np.array([weight(j - position) for j in range(side)])
        rows.append(np.tensordot(weights / weights.sum(), values, 1))
    return np.stack(rows)


@pytest.mark.parametrize(("shape", "size"), [((5, 4), 8), ((7, 9), 12)])
def test_resize_grows_bicubically(shape, size, noise):
    image = noise(*shape)
    found = image_arrays.resized(image, size)
    rows = np.clip(np.rint(slow_bicubic(square(image, pad=False).swapaxes(0, 1), size)), 0, 255)
    wanted = np.clip(slow_bicubic(rows.swapaxes(0, 1), size), 0, 255)
    assert abs(found - wanted).max() <= 1


@pytest.mark.parametrize("shape", [*SIZES, (64, 64), (256, 256)])
def test_blank_agrees_with_training_on_holes(shape, noise):
    image = noise(*shape)
    before = image.copy()
    found = image_arrays.blanked(image)
    np.testing.assert_array_equal(image, before)
    with tf.Graph().as_default(), tf.Session() as session:
        wanted = session.run(image_pairs.with_hole(tf.constant(image), "white30"))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("side", [10, 101, 256])
def test_blank_is_the_references_square(side, noise):
    image = noise(side, side)
    found = image_arrays.blanked(image)
    size = int(side * 0.3)
    offset = int(side / 2 - size / 2)
    image[offset : offset + size, offset : offset + size] = 255
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize(("shape", "sigma"), [((1, 1), 1.0), ((9, 6), 0.5), ((13, 20), 2.3)])
def test_blur(shape, sigma, noise):
    image = noise(*shape)
    height, width = shape
    reach = math.ceil(4 * sigma)
    offsets = range(-reach, reach + 1)
    weights = np.array([math.exp(-((i / sigma) ** 2) / 2) for i in offsets])
    padded = np.pad(np.float64(image), ((reach, reach), (reach, reach), (0, 0)), "symmetric")
    wanted = np.zeros((height, width, 3))
    for y, x in np.ndindex(height, width):
        window = padded[y : y + len(weights), x : x + len(weights)]
        wanted[y, x] = np.einsum("i,j,ijc->c", weights, weights, window) / weights.sum() ** 2
    found = image_arrays.blurred(image, sigma)
    assert found.dtype == np.uint8
    assert abs(found - wanted).max() <= 0.501


def test_blur_keeps_a_uniform_image():
    white = np.full((8, 8, 3), 255, np.uint8)
    np.testing.assert_array_equal(image_arrays.blurred(white, 3.0), white)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_16_bit(values):
    """A PNG of 16 bits a channel: grey, or with 3 channels."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2}[channels], 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def encoded(image, kind="PNG", **options):
    memory = io.BytesIO()
    image.save(memory, kind, **options)
    return memory.getvalue()


@pytest.fixture
def read(tmp_path):
    def read(data, name="a.png"):
        (tmp_path / name).write_bytes(data)
        found = image_arrays.read_rgb(tmp_path / name)
        assert found.dtype == np.uint8
        return found

    return read


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_scaled(channels, read, rng):
    values = rng.integers(0, 1 << 16, (5, 7, channels))
    values[0, 0], values[0, 1] = 0, 65535
    found = read(png_16_bit(values))
    assert abs(found - np.broadcast_to(values / 257, (5, 7, 3))).max() <= 1
    assert (found[0, 0] == 0).all()
    assert (found[0, 1] == 255).all()


def test_alpha_is_dropped(read, noise):
    image = noise(5, 7)
    see_through = np.dstack([image, np.zeros((5, 7), np.uint8)])
    np.testing.assert_array_equal(read(encoded(Image.fromarray(see_through))), image)
    see_through = see_through[..., [0, 3]]
    found = read(encoded(Image.fromarray(see_through, "LA")))
    np.testing.assert_array_equal(found, image[..., [0, 0, 0]])


@pytest.mark.parametrize("transparency", [None, 1, b"\0\x80\xff"])
def test_palettes_are_colours(transparency, read):
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    options = {} if transparency is None else {"transparency": transparency}
    np.testing.assert_array_equal(read(encoded(image, **options))[0], np.eye(3) * 255)


def test_one_bit_is_black_or_white(read):
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(read(encoded(image))[0, :, 0], [0, 255])


def test_cmyk_is_converted(read):
    image = Image.new("RGB", (8, 8), (200, 30, 60)).convert("CMYK")
    found = read(encoded(image, "JPEG", quality=95), "a.jpg")
    assert abs(found.astype(int) - [200, 30, 60]).max() < 8


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"text", "is not an image"),
        (encoded(Image.new("RGB", (9, 9)), "GIF"), "is GIF, neither JPEG nor PNG"),
        (encoded(Image.effect_noise((64, 64), 50))[:-900], "cannot be decoded: "),
        (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:-300], "cannot be decoded: "),
    ],
)
def test_files_that_cannot_be_decoded(data, why, read):
    with pytest.raises(UserError, match=why) as caught:
        read(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_png_file(tmp_path, rng, channels, mode):
    image = rng.integers(0, 256, (5, 9, channels), np.uint8)
    path = tmp_path / "1-outputs.png"
    image_arrays.save_png(path, image)
    with Image.open(path) as pil_image:
        assert (pil_image.format, pil_image.mode, pil_image.size) == ("PNG", mode, (9, 5))
        np.testing.assert_array_equal(np.asarray(pil_image).reshape(5, 9, channels), image)


@pytest.mark.parametrize("shape", [(5, 9, 1), (5, 9, 3), (1, 1, 3), (70, 64, 3)])
def test_png_file_of_16_bits(tmp_path, rng, shape):
    image = rng.integers(0, 1 << 16, shape, np.uint16)
    path = tmp_path / "1-outputs.png"
    image_arrays.save_png(path, image)
    with tf.Graph().as_default(), tf.Session() as session:
        decoded = tf.io.decode_png(path.read_bytes(), dtype=tf.uint16)
        np.testing.assert_array_equal(session.run(decoded), image)
    with Image.open(path) as pil_image:  # whose 16 bits are of one channel
        pil_image.verify()
    eight = image_arrays.to_8_bits(image)
    np.testing.assert_array_equal(eight, image // 256)
    np.testing.assert_array_equal(image_arrays.read_rgb(path), eight + np.zeros(3, np.uint8))


def test_a_png_file_appears_in_full_or_not_at_all(tmp_path, noise):
    """The largest size of a file stands for a full disk."""
    path, before = tmp_path / "1-outputs.png", resource.getrlimit(resource.RLIMIT_FSIZE)
    image_arrays.save_png(path, noise(4, 4))
    earlier = path.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        for target in (path, tmp_path / "2-outputs.png"):
            with pytest.raises(OSError, match="File too large"):
                image_arrays.save_png(target, noise(64, 64))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {path.name: earlier}
