"""Decoding, scaling and jitter against NumPy; batches are a function of seed and position."""

import io
import threading

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tifffile
from PIL import Image, ImageChops

from p2p_graph.config.options import Options
from p2p_graph.data.image_sources import list_images
from p2p_graph.data.input_graph import StepShare, TrainingInputs, translation_batches
from p2p_graph.imaging.image_arrays import read_rgb

LEVEL = 2 / 255  # between two neighbouring 8-bit levels in [-1, 1]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def write(folder, name, values, **options):
    Image.fromarray(np.uint8(values)).save(folder / name, **options)


def write_16_bit(folder, name, values):
    """A PNG of 16 bits a channel."""
    with tf.Graph().as_default(), tf.Session() as session:
        data = session.run(tf.image.encode_png(tf.constant(values, tf.uint16)))
    (folder / name).write_bytes(data)


def noise(rng, *shape):
    return rng.integers(0, 256, shape, np.uint8)


def list_folder(folder, config):
    options = config.replace(input_dir=str(folder))
    return list_images(options.data.source, single=options.data.task.is_single)


def translated(folder, config):
    """All batches of `translation_batches`."""
    images = list_folder(folder, config)
    batches = []
    with tf.Graph().as_default(), tf.Session() as session:
        task, scaling = config.data.task, config.data.scaling
        dataset = translation_batches(images, task, scaling, config.data.batches.batch_size)
        next_batch = tf.data.make_one_shot_iterator(dataset).get_next()
        while True:
            try:
                batches.append(session.run(next_batch))
            except tf.errors.OutOfRangeError:
                return batches


def single(folder, **options):
    """The inputs of the one image in a folder, which is 16 pixels wide and not scaled."""
    config = Options.of(crop_size=16, inputs_only=True, **options)
    [(_, inputs)] = translated(folder, config)
    return inputs[0]


def streams(folder, config, *parts, share=None):
    """Training batches: for each (first step, count), a `Batch` of all images, concatenated."""
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = TrainingInputs(
            list_folder(folder, config), config.data, config.run.seed, on_cpu=True, share=share
        )
        next_batch = inputs.next_batch()
        for step, count in parts:
            inputs.start(session, step)
            batches = [session.run(next_batch) for _ in range(count)]
            yield type(batches[0])(*map(np.concatenate, zip(*batches, strict=True)))


def stream(folder, config, count, step=0):
    [batch] = streams(folder, config, (step, count))
    return batch


def as_values(image):
    """An 8-bit image in [-1, 1]."""
    return np.asarray(image, np.float64) / 255 * 2 - 1


def area(image, size):
    """Scales by the average over each new pixel's area, written from that definition.

    `size` is the new height and width, or one number for both.
    """

    def weights(old, size):
        edges = np.arange(size + 1) * old / size
        starts = np.maximum(edges[:-1, None], np.arange(old))
        ends = np.minimum(edges[1:, None], np.arange(old) + 1)
        return np.maximum(ends - starts, 0) * size / old

    (height, width), sizes = image.shape[:2], np.broadcast_to(size, 2)
    rows = np.tensordot(weights(height, sizes[0]), image, 1)
    return np.tensordot(weights(width, sizes[1]), rows, (1, 1)).swapaxes(0, 1)


def lab(rgb):
    """Converts sRGB in [0, 1] to Lab scaled to about [-1, 1], by CIE's formulas for D65."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    xyz = linear @ to_xyz.T
    ratio = xyz / to_xyz.sum(axis=1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    lightness, a, b = (
        116 * f[..., 1] - 16,
        500 * (f[..., 0] - f[..., 1]),
        200 * (f[..., 1] - f[..., 2]),
    )
    return np.stack([lightness / 50 - 1, a / 110, b / 110], axis=-1)


# Decoding


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "P", "1"])
def test_png_is_decoded_as_pillow_does(folder, rng, mode):
    image = Image.fromarray(noise(rng, 16, 16, 3)).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(noise(rng, 16, 16)))
    image.save(folder / "1.png")
    np.testing.assert_allclose(single(folder), as_values(image.convert("RGB")), atol=1e-6)


def test_palette_with_transparency(folder, rng):
    image = Image.fromarray(noise(rng, 16, 16, 3)).convert("P")
    image.save(folder / "1.png", transparency=3)
    np.testing.assert_allclose(single(folder), as_values(image.convert("RGB")), atol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_decoded_as_pillow_does(folder, mode, progressive):
    left, right = (30, 160, 220), (200, 90, 10)
    values = np.repeat([[left] * 8 + [right] * 8], 16, axis=0)
    image = Image.fromarray(np.uint8(values)).convert(mode)
    image.save(folder / "1.jpg", quality=98, subsampling=0, progressive=progressive)
    with Image.open(folder / "1.jpg") as image:
        expected = as_values(image.convert("RGB"))
    np.testing.assert_allclose(single(folder), expected, atol=4 * LEVEL)


def test_cmyk_without_adobe_s_marker(folder):
    """It stores ink, where Adobe's files store its inverse: TensorFlow and `read_rgb` know both."""
    values = np.repeat([[(30, 160, 220)] * 8 + [(200, 90, 10)] * 8], 16, axis=0)
    image = ImageChops.invert(Image.fromarray(np.uint8(values)).convert("CMYK"))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=98, subsampling=0)
    contents = stream.getvalue()
    first = contents.index(b"\xff\xee")
    end = first + 2 + int.from_bytes(contents[first + 2 : first + 4], "big")
    (folder / "1.jpg").write_bytes(contents[:first] + contents[end:])
    np.testing.assert_allclose(single(folder), as_values(values), atol=4 * LEVEL)
    np.testing.assert_allclose(read_rgb(folder / "1.jpg"), values, atol=4)


def test_jpeg_named_png(folder):
    write(folder, "1.png", np.full((16, 16, 3), (30, 160, 220)), format="JPEG", quality=98)
    expected = np.broadcast_to(as_values((30, 160, 220)), (16, 16, 3))
    np.testing.assert_allclose(single(folder), expected, atol=4 * LEVEL)


@pytest.mark.parametrize("depth", [1, 3])
def test_16_bits_keep_their_precision(folder, rng, depth):
    values = rng.integers(0, 2**16, (16, 16, depth), np.uint16)
    values[0, :4, 0] = [0x8000, 0x8001, 0x80FF, 0x8100]  # the first and the last are 8-bit levels
    write_16_bit(folder, "1.png", values)
    inputs = single(folder)
    expected = np.broadcast_to(values / 65535 * 2 - 1, (16, 16, 3))
    np.testing.assert_allclose(inputs, expected, atol=2e-7)
    assert (np.diff(inputs[0, :4, 0]) > 0).all()


def test_16_bits_leave_other_images_alone(folder, rng):
    write(folder, "1.png", noise(rng, 16, 16, 3))
    alone = single(folder)
    write_16_bit(folder, "2.png", rng.integers(0, 2**16, (16, 16, 3)))
    config = Options.of(crop_size=16, inputs_only=True, batch_size=2)
    [(_, both)] = translated(folder, config)
    np.testing.assert_allclose(both[0], alone, rtol=0, atol=2e-7)


@pytest.mark.parametrize("top", [255, 65535])
def test_range(folder, top):
    values = np.zeros((16, 16, 3), np.uint16)
    values[:8] = top
    if top > 255:
        write_16_bit(folder, "1.png", values)
    else:
        write(folder, "1.png", values)
    inputs = single(folder)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs[:8], 1)
    np.testing.assert_array_equal(inputs[8:], -1)


@pytest.mark.parametrize("is_16_bit", [False, True])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_halves(folder, rng, direction, is_16_bit):
    values = noise(rng, 16, 32, 3)
    if is_16_bit:
        write_16_bit(folder, "1.png", np.uint16(values) * 257)
    else:
        write(folder, "1.png", values)
    [(_, inputs, targets)] = translated(folder, Options.of(crop_size=16, which_direction=direction))
    halves = [as_values(values[:, :16]), as_values(values[:, 16:])]
    if direction == "BtoA":
        halves.reverse()
    np.testing.assert_allclose(inputs[0], halves[0], atol=1e-6)
    np.testing.assert_allclose(targets[0], halves[1], atol=1e-6)


# Scaling


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (64, 64, 16),  # boxes of 4x4
        (32, 80, 16),  # boxes of 2x5
        (16, 16, 16),
        (8, 8, 16),  # every pixel four times
        (256, 256, 284),
        (37, 51, 16),
        (19, 7, 32),
    ],
)
def test_scaling_averages_areas(folder, rng, height, width, size):
    values = noise(rng, height, width, 3)
    write(folder, "1.png", values)
    [(_, inputs)] = translated(folder, Options.of(crop_size=size, levels=2, inputs_only=True))
    assert inputs.shape == (1, size, size, 3)
    np.testing.assert_allclose(inputs[0], area(as_values(values), size), atol=4e-5)


def test_scaling_down_is_the_mean_of_boxes(folder, rng):
    values = noise(rng, 64, 128, 3)
    write(folder, "1.png", values)
    [(_, inputs, targets)] = translated(folder, Options.of(crop_size=16))
    boxes = as_values(values).reshape(16, 4, 32, 4, 3).mean((1, 3))
    np.testing.assert_allclose(inputs[0], boxes[:, :16], atol=4e-5)
    np.testing.assert_allclose(targets[0], boxes[:, 16:], atol=4e-5)


def nearest(image, size):
    """The pixel in which each new pixel's centre lies."""
    rows, columns = (np.int64((np.arange(size) + 0.5) * n / size) for n in image.shape[:2])
    return image[rows][:, columns]


def bilinear(image, size):
    """Each new pixel's centre, between the four centres around it; without a wider filter."""
    for axis in (0, 1):
        count = image.shape[axis]
        positions = (np.arange(size) + 0.5) * count / size - 0.5
        low = np.floor(positions)
        share = np.reshape(positions - low, (-1, 1, 1) if axis == 0 else (1, -1, 1))
        ends = [np.clip(np.int64(low + i), 0, count - 1) for i in (0, 1)]
        first, second = (image.take(end, axis=axis) for end in ends)
        image = first * (1 - share) + second * share
    return image


def bicubic(image, size):
    """Pillow's, of float values, as it resizes images that PyTorch's transforms get."""
    channels = [
        Image.fromarray(channel).resize((size, size), Image.Resampling.BICUBIC)
        for channel in np.float32(image).transpose(2, 0, 1)
    ]
    return np.clip(np.stack(channels, axis=2), -1, 1)


@pytest.mark.parametrize(
    ("resize", "oracle"), [("nearest", nearest), ("bilinear", bilinear), ("bicubic", bicubic)]
)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (10, 12), (37, 51)])
def test_other_interpolations(folder, rng, resize, oracle, height, width):
    values = noise(rng, height, width, 3)
    write(folder, "1.png", values)
    config = Options.of(crop_size=32, levels=2, inputs_only=True, resize=resize)
    [(_, inputs)] = translated(folder, config)
    np.testing.assert_allclose(inputs[0], oracle(as_values(values), 32), atol=4e-5)
    if resize == "nearest":
        made = np.rint((inputs[0] + 1) * 127.5).astype(int)
        found, known = ({tuple(c) for c in p.reshape(-1, 3)} for p in (made, values))
        assert found <= known


@pytest.mark.parametrize("cache_mb", [0, 100])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_targets_are_scaled_their_own_way(folder, rng, direction, cache_mb):
    values = noise(rng, 20, 40, 3)
    write(folder, "1.png", values)
    config = Options.of(
        crop_size=32, jitter="none", flip=False, resize="nearest", resize_targets="bilinear",
        which_direction=direction, cache_mb=cache_mb,
    )  # fmt: skip
    halves = np.split(as_values(values), 2, axis=1)
    inputs, targets = halves if direction == "AtoB" else halves[::-1]
    for batch in (stream(folder, config, 1), translated(folder, config)[0]):
        np.testing.assert_allclose(batch[1], [nearest(inputs, 32)], atol=4e-5)
        np.testing.assert_allclose(batch[2], [bilinear(targets, 32)], atol=4e-5)


def test_targets_of_lab_are_scaled_their_own_way(folder, rng):
    """The targets are the ab channels."""
    values = noise(rng, 20, 20, 3)
    write(folder, "1.png", values)
    config = Options.of(
        crop_size=32, lab_colorization=True, resize="nearest", resize_targets="bilinear"
    )
    [(_, inputs, targets)] = translated(folder, config)
    expected = lab(values / 255)
    np.testing.assert_allclose(inputs[0], nearest(expected[..., :1], 32), atol=1e-4)
    np.testing.assert_allclose(targets[0], bilinear(expected[..., 1:], 32), atol=1e-4)


@pytest.mark.parametrize("cache_mb", [0, 100])
def test_scaling_twice(folder, rng, cache_mb):
    """To 32 and then to 36, as in the deblurring article, and cropped in the corner."""
    values = noise(rng, 20, 40, 3)
    write(folder, "1.png", values)
    config = Options.of(
        crop_size=32, scale_size=36, crop_from=4, resize="bilinear", resize_first=True, flip=False,
        cache_mb=cache_mb,
    )  # fmt: skip
    batch = stream(folder, config, 1)
    for half, found in zip(np.split(values, 2, axis=1), batch[1:], strict=True):
        expected = bilinear(bilinear(as_values(half), 32), 36)[4:, 4:]
        np.testing.assert_allclose(found, [expected], atol=4e-5)


@pytest.mark.parametrize("cache_mb", [0, 100])
def test_shrinking_enlarges_by_repeating_and_scales_back(folder, rng, cache_mb):
    values = noise(rng, 20, 40, 3)
    write(folder, "1.png", values)
    config = Options.of(
        crop_size=32, scale_size=36, jitter="shrink", resize="bilinear", flip=False,
        cache_mb=cache_mb,
    )  # fmt: skip
    batch = stream(folder, config, 2)
    for half, found in zip(np.split(values, 2, axis=1), batch[1:], strict=True):
        expected = bilinear(nearest(as_values(half), 36), 32)
        np.testing.assert_allclose(found, [expected] * 2, atol=4e-5)
    [(_, inputs, _)] = translated(folder, config)
    expected = bilinear(as_values(values[:, :20]), 32)
    np.testing.assert_allclose(inputs[0], expected, atol=4e-5)


def test_training_scales_256_to_286_as_the_reference(folder, rng):
    values = noise(rng, 256, 512, 3)
    write(folder, "1.png", values)
    batch = stream(folder, Options.of(flip=False), 1)
    scaled = [area(as_values(half), 286) for half in np.split(values, 2, axis=1)]
    windows = np.lib.stride_tricks.sliding_window_view(scaled[0][..., 0], (4, 4))
    [[top, left]] = np.argwhere(
        np.isclose(windows, batch.inputs[0, :4, :4, 0], atol=4e-5).all((2, 3))
    )
    for values, half in zip((batch.inputs, batch.targets), scaled, strict=True):
        crop = half[top : top + 256, left : left + 256]
        np.testing.assert_allclose(values[0], crop, atol=4e-5)


# Jitter

SCALE, CROP = 16, 12  # offsets 0..4
OFFSETS = SCALE - CROP + 1


def read_coordinates(batch):
    """Reads offsets and mirroring from crops of images whose values are their coordinates.

    Checks that inputs and targets show the same rectangle.
    """
    inputs, targets = (np.round((x + 1) / 2 * 255).astype(int) for x in batch[1:])
    np.testing.assert_array_equal(targets[..., :2], 255 - inputs[..., :2])
    rows, columns = inputs[..., 0] // 16, inputs[..., 1] // 16
    tops, lefts, mirrored = rows[:, 0, 0], columns.min((1, 2)), columns[:, 0, 0] > columns[:, 0, 1]
    grid = np.arange(CROP)
    np.testing.assert_array_equal(rows, (tops[:, None] + grid)[:, :, None] + 0 * rows)
    across = lefts[:, None] + np.where(mirrored[:, None], grid[::-1], grid)
    np.testing.assert_array_equal(columns, across[:, None] + 0 * columns)
    return tops, lefts, mirrored


@pytest.fixture
def coordinates(folder):
    """Three images: red is the row, green is the column, the other half is their negative."""
    rows, columns = np.indices((SCALE, SCALE)) * 16
    for i in range(3):
        half = np.stack([rows, columns, np.full_like(rows, i)], axis=2)
        other = np.stack([255 - rows, 255 - columns, np.full_like(rows, i)], axis=2)
        write(folder, f"{i}.png", np.concatenate([half, other], axis=1))
    return folder


def test_jitter_is_the_same_for_both_halves_and_uniform(coordinates):
    config = Options.of(crop_size=CROP, scale_size=SCALE, batch_size=50)
    batch = stream(coordinates, config, 60)
    tops, lefts, mirrored = read_coordinates(batch)
    count = len(tops)
    assert count == 3000
    # Four standard deviations of the binomial distribution.
    positions = np.bincount(OFFSETS * tops + lefts, minlength=OFFSETS**2)
    assert len(positions) == OFFSETS**2
    share = 1 / OFFSETS**2
    assert np.abs(positions - count * share).max() < 4 * np.sqrt(count * share * (1 - share))
    assert abs(mirrored.sum() - count / 2) < 4 * np.sqrt(count / 4)
    # Neither depends on the other.
    for offsets in (tops, lefts):
        assert abs(np.corrcoef(offsets, mirrored)[0, 1]) < 4 / np.sqrt(count)


def test_jitter_differs_between_positions_and_seeds(coordinates):
    config = Options.of(crop_size=CROP, scale_size=SCALE, batch_size=30)
    drawn = [
        np.stack(read_coordinates(stream(coordinates, config.replace(seed=seed), 2)))
        for seed in (0, 1)
    ]
    first, second = np.split(drawn[0], 2, axis=1)
    assert not np.array_equal(first, second)
    assert not np.array_equal(*drawn)
    # Images of one batch have crops of their own.
    assert len({tuple(cut) for cut in first.T}) > 10


def test_no_flip_never_mirrors_and_crops_the_same(coordinates):
    config = Options.of(crop_size=CROP, scale_size=SCALE, batch_size=50)
    tops, lefts, mirrored = read_coordinates(stream(coordinates, config, 4))
    plain = read_coordinates(stream(coordinates, config.replace(flip=False), 4))
    assert not plain[2].any()
    np.testing.assert_array_equal(plain[0], tops)
    # The crop is taken after mirroring: in the unmirrored image it lies on the other side.
    expected = np.where(mirrored, SCALE - CROP - lefts, lefts)
    np.testing.assert_array_equal(plain[1], expected)


def test_crops_from_the_second_row_on(coordinates):
    config = Options.of(crop_size=CROP, scale_size=SCALE, batch_size=50, crop_from=1, flip=False)
    tops, lefts, _ = read_coordinates(stream(coordinates, config, 8))
    for offsets in (tops, lefts):
        assert set(offsets) == set(range(1, SCALE - CROP + 1))


def test_crop_from_with_crops_of_the_full_image(coordinates):
    config = Options.of(crop_size=SCALE, scale_size=SCALE, flip=False, crop_from=1)
    assert stream(coordinates, config, 1).inputs.shape == (1, SCALE, SCALE, 3)


def test_crop_of_the_full_image(coordinates):
    config = Options.of(crop_size=SCALE, scale_size=SCALE, flip=False, batch_size=6)
    inputs = stream(coordinates, config, 1).inputs
    np.testing.assert_allclose(inputs[..., :2], np.broadcast_to(inputs[0, ..., :2], (6, 16, 16, 2)))


# Channels


def written_with(folder, name, mode, rng):
    """Writes an image of 8x8 pixels in one of Pillow's modes; returns its RGBA, [8, 8, 4]."""
    image = Image.fromarray(noise(rng, 8, 8, 4)).convert(mode)
    if mode == "P":
        image.info["transparency"] = bytes(range(256))
    image.save(folder / name, **({"transparency": bytes(range(256))} if mode == "P" else {}))
    with Image.open(folder / name) as found:
        return np.asarray(found.convert("RGBA"))


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "L", "LA", "P"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_of_png_files(folder, rng, mode, channels):
    rgba = written_with(folder, "1.png", mode, rng)
    config = Options.of(crop_size=8, levels=2, inputs_only=True, input_channels=channels)
    [(_, inputs)] = translated(folder, config)
    assert inputs.shape == (1, 8, 8, channels)
    luma = np.round(rgba[..., :3] @ [0.299, 0.587, 0.114])[..., None]
    expected = {1: luma, 3: rgba[..., :3], 4: rgba}[channels]
    np.testing.assert_allclose(inputs[0], as_values(expected), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_of_jpeg_files(folder, rng, channels):
    write(folder, "1.jpg", noise(rng, 8, 8, 3), quality=95)
    values = as_values(tf.io.decode_jpeg((folder / "1.jpg").read_bytes()).numpy())
    config = Options.of(crop_size=8, levels=2, inputs_only=True, input_channels=channels)
    [(_, inputs)] = translated(folder, config)
    luma = (values @ [0.299, 0.587, 0.114])[..., None]
    expected = {1: luma, 3: values, 4: np.concatenate([values, np.ones((8, 8, 1))], 2)}
    np.testing.assert_allclose(inputs[0], expected[channels], atol=LEVEL / 2 + 1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_of_16_bits(folder, rng, channels):
    values = rng.integers(0, 1 << 16, (8, 8, 4))
    write_16_bit(folder, "1.png", values)
    config = Options.of(crop_size=8, levels=2, inputs_only=True, input_channels=channels)
    [(_, inputs)] = translated(folder, config)
    luma = (values[..., :3] @ [0.299, 0.587, 0.114])[..., None]
    expected = {1: luma, 3: values[..., :3], 4: values}[channels] / 65535 * 2 - 1
    np.testing.assert_allclose(inputs[0], expected, atol=1e-5)


@pytest.mark.parametrize("cache", [{"cache_mb": 0}, {"cache_as": "bytes"}, {"cache_as": "values"}])
@pytest.mark.parametrize(("inputs", "targets"), [(1, 3), (4, 1), (3, 4), (4, 4)])
def test_halves_of_other_channels(folder, rng, inputs, targets, cache):
    rgba = noise(rng, 8, 16, 4)
    write(folder, "1.png", rgba)
    config = Options.of(
        crop_size=8, scale_size=8, levels=2, flip=False, which_direction="BtoA",
        input_channels=inputs, target_channels=targets, **cache,
    )  # fmt: skip
    batch = stream(folder, config, 1)
    for found, half, count in (
        (batch.inputs, rgba[:, 8:], inputs), (batch.targets, rgba[:, :8], targets)
    ):  # fmt: skip
        luma = np.round(half[..., :3] @ [0.299, 0.587, 0.114])[..., None]
        expected = {1: luma, 3: half[..., :3], 4: half}[count]
        np.testing.assert_allclose(found[0], as_values(expected), atol=1e-6)


# Images that are not square


@pytest.fixture
def wide(folder):
    """Three images of 20x30: red is the row, green is the column, the other half is negative."""
    rows, columns = np.indices((20, 30)) * 8
    for i in range(3):
        half = np.stack([rows, columns, np.full_like(rows, i)], axis=2)
        write(folder, f"{i}.png", np.concatenate([half, 255 - half], axis=1))
    return folder


@pytest.mark.parametrize("cache", [{"cache_mb": 0}, {"cache_as": "bytes"}, {"cache_as": "values"}])
def test_windows_that_are_not_square(wide, cache):
    config = Options.of(crop_size="12x24", scale_size="20x30", levels=2, batch_size=50, **cache)
    batch = stream(wide, config, 24)
    assert batch.inputs.shape == (1200, 12, 24, 3)
    inputs, targets = (np.round((x + 1) / 2 * 255).astype(int) for x in batch[1:])
    np.testing.assert_array_equal(targets, 255 - inputs)
    rows, columns = inputs[..., 0] // 8, inputs[..., 1] // 8
    tops, lefts, mirrored = rows[:, 0, 0], columns.min((1, 2)), columns[:, 0, 0] > columns[:, 0, 1]
    np.testing.assert_array_equal(rows, (tops[:, None] + np.arange(12))[..., None] + 0 * rows)
    across = lefts[:, None] + np.where(mirrored[:, None], np.arange(24)[::-1], np.arange(24))
    np.testing.assert_array_equal(columns, across[:, None] + 0 * columns)
    # All 9 x 7 offsets, about equally often (four standard deviations), mirrored or not.
    counts = np.bincount(7 * tops + lefts, minlength=63)
    assert len(counts) == 63
    assert np.abs(counts - 1200 / 63).max() < 4 * np.sqrt(1200 / 63)
    assert abs(mirrored.sum() - 600) < 4 * np.sqrt(300)


def test_crops_of_one_row_of_places(wide):
    config = Options.of(
        crop_size="20x24", scale_size="20x30", levels=2, batch_size=40, crop_from=2, flip=False
    )
    inputs = stream(wide, config, 2).inputs
    lefts = np.round((inputs[:, 0, 0, 1] + 1) / 2 * 255 / 8).astype(int)
    assert set(lefts) == set(range(2, 7))
    assert (inputs[:, 0, 0, 0] == -1).all()  # the first row of the image


@pytest.mark.parametrize("jitter", ["none", "shrink", "crop"])
def test_scaling_to_a_size_that_is_not_square(folder, rng, jitter):
    values = noise(rng, 48, 80, 3)
    write(folder, "1.png", values)
    size = {"none": "16x32", "crop": "16x32", "shrink": "48x40"}[jitter]
    config = Options.of(crop_size="16x32", scale_size=size, levels=2, jitter=jitter, flip=False)
    batch = stream(folder, config, 1)
    for found, half in zip(batch[1:], np.split(values, 2, axis=1), strict=True):
        np.testing.assert_allclose(found[0], area(as_values(half), (16, 32)), atol=4e-5)


@pytest.mark.parametrize("kind", ["center", "white30"])
def test_the_hole_of_an_image_that_is_not_square(folder, kind):
    write(folder, "1.png", np.zeros((20, 40, 3)))
    config = Options.of(crop_size="20x40", levels=2, inpaint=kind)
    [(_, inputs, targets)] = translated(folder, config)
    assert (targets == -1).all()
    rows, columns = {
        "center": (slice(5, 15), slice(10, 30)),
        "white30": (slice(7, 13), slice(14, 26)),
    }[kind]
    expected = np.full((20, 40, 3), -1.0)
    expected[rows, columns] = 1
    np.testing.assert_array_equal(inputs[0], expected)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_images_at_their_own_sizes(folder, rng, direction):
    sizes = [(9, 17), (32, 16), (21, 21)]
    written = [noise(rng, height, 2 * width, 3) for height, width in sizes]
    for number, values in enumerate(written):
        write(folder, f"{number}.png", values)
    config = Options.of(
        crop_size="original", scale_size="original", levels=2, mode="test",
        which_direction=direction,
    )  # fmt: skip
    batches = translated(folder, config)
    for (index, *parts), values in zip(batches, written, strict=True):
        halves = np.split(as_values(written[int(index[0])]), 2, axis=1)
        np.testing.assert_array_equal(values, written[int(index[0])])
        for part, half in zip(parts, halves if direction == "AtoB" else halves[::-1], strict=True):
            np.testing.assert_allclose(part[0], half, atol=1e-6)


# Separate folders for A and B


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("is_16_bit", [False, True])
@pytest.mark.parametrize("cache_mb", [0, 100])
def test_two_folders_equal_two_halves(tmp_path, rng, direction, is_16_bit, cache_mb):
    values = [noise(rng, 20, 40, 3) for _ in range(5)]
    folders = {name: tmp_path / name for name in ("together", "a", "b")}
    for path in folders.values():
        path.mkdir()
    for i, image in enumerate(values):
        write(folders["together"], f"{i}.png", image)
        write(folders["a"], f"{i}.png", image[:, :20])
        if is_16_bit:
            write_16_bit(folders["b"], f"{i}.png", np.uint16(image[:, 20:]) * 257)
        else:
            write(folders["b"], f"{i}.png", image[:, 20:])
    config = Options.of(crop_size=16, scale_size=18, which_direction=direction, cache_mb=cache_mb)
    apart = config.replace(target_dir=str(folders["b"]))
    wanted, found = stream(folders["together"], config, 7), stream(folders["a"], apart, 7)
    for name in ("inputs", "targets"):
        # The same value rounds differently from 16 bits and from 8.
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=2e-6)
    [(*_, first), *_] = translated(folders["a"], apart)
    [(*_, second), *_] = translated(folders["together"], config)
    np.testing.assert_allclose(first, second, atol=2e-6)


# Arrays and further inputs


def write_array(folder, name, values):
    """A .npy or TIFF file, of [H, W, C]."""
    if name.endswith(".npy"):
        np.save(folder / name, values)
    else:
        tifffile.imwrite(folder / name, values, photometric="minisblack", planarconfig="contig")


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
@pytest.mark.parametrize("cache", [{"cache_mb": 0}, {"cache_as": "bytes"}, {"cache_as": "values"}])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_arrays(tmp_path, rng, suffix, cache, kind):
    """Inputs of five channels, targets of two, in windows and mirrored alike."""
    largest = 1 if kind is np.float32 else np.iinfo(kind).max
    folders = {name: tmp_path / name for name in ("a", "b")}
    held = {}
    for (name, folder), channels in zip(folders.items(), (5, 2), strict=True):
        folder.mkdir()
        values = rng.random((20, 24, channels)) * largest
        held[name] = (values if largest == 1 else np.rint(values)).astype(kind)
        write_array(folder, f"1{suffix}", held[name])
    config = Options.of(
        crop_size="8x16", scale_size="20x24", levels=2, input_channels=5, target_channels=2,
        target_dir=str(folders["b"]), **cache,
    )  # fmt: skip
    batch = stream(folders["a"], config, 12)
    both = np.concatenate([held["a"], held["b"]], 2).astype(np.float64) / largest * 2 - 1
    windows = {
        (top, left, turn): both[top : top + 8, left : left + 16][:, ::turn]
        for top in range(13)
        for left in range(9)
        for turn in (1, -1)
    }
    found = np.concatenate([batch.inputs, batch.targets], 3)
    places = [
        [place for place, window in windows.items() if np.abs(window - one).max() < 1e-5]
        for one in found
    ]
    assert all(len(place) == 1 for place in places)
    tops, lefts, turns = zip(*(place[0] for place in places), strict=True)
    assert min(len(set(tops)), len(set(lefts)), len(set(turns))) > 1


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("cache_mb", [0, 100])
def test_further_inputs_are_stacked_in_their_order(tmp_path, rng, direction, halves, cache_mb):
    """A grey image, an array of two channels, and deep colours converted to grey."""
    names = ("pairs", "a", "b", "grey", "array", "deep")
    folders = {name: tmp_path / name for name in names}
    for path in folders.values():
        path.mkdir()
    pair, grey, array = noise(rng, 8, 16, 3), noise(rng, 8, 8), noise(rng, 8, 8, 2)
    deep = rng.integers(0, 65536, (8, 8, 3))
    write(folders["pairs"], "1.png", pair)
    write(folders["a"], "1.png", pair[:, :8])
    write(folders["b"], "1.png", pair[:, 8:])
    write(folders["grey"], "1.png", grey)
    write_array(folders["array"], "1.npy", array)
    write_16_bit(folders["deep"], "1.png", deep)
    config = Options.of(
        crop_size=8, scale_size=8, levels=2, flip=False, which_direction=direction,
        cache_mb=cache_mb, input_channels="3+1+2+1",
        more_inputs=[str(folders[name]) for name in ("grey", "array", "deep")],
        target_dir=None if halves else str(folders["b"]),
    )  # fmt: skip
    batch = stream(folders["pairs" if halves else "a"], config, 1)
    luma = deep @ [0.299, 0.587, 0.114] / 65535 * 2 - 1
    sides = [as_values(pair[:, :8]), as_values(pair[:, 8:])]
    source, target = sides if direction == "AtoB" else sides[::-1]
    stacked = [source, as_values(grey)[..., None], as_values(array), luma[..., None]]
    np.testing.assert_allclose(batch.inputs[0], np.concatenate(stacked, 2), atol=1e-5)
    np.testing.assert_allclose(batch.targets[0], target, atol=1e-6)


def test_one_channel_of_an_array_is_repeated_where_three_are_asked_for(tmp_path, rng):
    values = noise(rng, 8, 8)
    write_array(tmp_path, "1.npy", values)
    config = Options.of(crop_size=8, levels=2, inputs_only=True, input_channels=3)
    [(_, inputs)] = translated(tmp_path, config)
    np.testing.assert_allclose(inputs[0], as_values(np.stack([values] * 3, 2)), atol=1e-6)


# Holes


def with_hole(values, kind):
    """The hole of the Torch program (center), or of affinelayer's tool for squares (white30)."""
    values = values.copy()
    size = len(values)
    hole = size // 2 if kind == "center" else int(size * 0.3)
    first = size // 4 if kind == "center" else int(size / 2 - hole / 2)
    values[first : first + hole, first : first + hole] = 1
    return values


@pytest.mark.parametrize("kind", ["center", "white30"])
@pytest.mark.parametrize("is_16_bit", [False, True])
@pytest.mark.parametrize("size", [16, 17, 18, 22, 36])
def test_holes(folder, rng, kind, is_16_bit, size):
    values = noise(rng, size, size, 3)
    if is_16_bit:
        write_16_bit(folder, "1.png", np.uint16(values) * 257)
    else:
        write(folder, "1.png", values)
    config = Options.of(crop_size=16, inpaint=kind)
    [(_, inputs, targets)] = translated(folder, config)
    decoded = as_values(values)
    np.testing.assert_allclose(targets[0], area(decoded, 16), atol=4e-5)
    made = (
        area(with_hole(decoded, kind), 16)
        if kind == "white30"
        else with_hole(area(decoded, 16), kind)
    )
    np.testing.assert_allclose(inputs[0], made, atol=4e-5)
    [(_, inputs)] = translated(folder, config.replace(inputs_only=True))
    np.testing.assert_allclose(inputs[0], area(decoded, 16), atol=4e-5)


@pytest.mark.parametrize("kind", ["center", "white30"])
@pytest.mark.parametrize("cache_mb", [0, 100])
def test_holes_in_training(folder, rng, kind, cache_mb):
    """The hole is centred in the crop (center), or in the image before cropping (white30)."""
    values = noise(rng, 40, 40, 3) // 2
    write(folder, "1.png", values)
    config = Options.of(
        crop_size=32, scale_size=40, inpaint=kind, flip=False, batch_size=20, cache_mb=cache_mb
    )
    batch = stream(folder, config, 1)
    decoded, positions = as_values(values), set()
    for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
        [(top, left)] = [
            (i, j)
            for i in range(9)
            for j in range(9)
            if np.allclose(targets, decoded[i : i + 32, j : j + 32], atol=4e-5)
        ]
        cut = with_hole(decoded, kind)[top : top + 32, left : left + 32]
        expected = cut if kind == "white30" else with_hole(targets, kind)
        np.testing.assert_allclose(inputs, expected, atol=4e-5)
        positions.add((top, left))
    assert len(positions) > 5


# Order


@pytest.fixture
def numbered(folder):
    """Seven pairs of 4x4 pixels, each of another shade."""
    for i in range(7):
        write(folder, f"{i}.png", np.full((4, 8, 3), i * 30))
    return folder


TINY = Options.of(crop_size=4, scale_size=4, flip=False)


def order(folder, config, count, step=0):
    """The images' numbers, read from their paths; checks that the shades agree."""
    batch = stream(folder, config, count, step)
    shades = np.round((batch.inputs[:, 0, 0, 0] + 1) / 2 * 255).astype(int)
    numbers = [int(path.decode().rpartition("/")[2].removesuffix(".png")) for path in batch.paths]
    assert shades.tolist() == [30 * number for number in numbers]
    return numbers


def test_every_epoch_has_every_image_once(numbered):
    numbers = order(numbered, TINY, 7 * 30)
    epochs = [tuple(numbers[i : i + 7]) for i in range(0, len(numbers), 7)]
    assert {tuple(sorted(epoch)) for epoch in epochs} == {tuple(range(7))}
    assert len(set(epochs)) > 25  # of 5040 orders
    assert {epoch[0] for epoch in epochs} == set(range(7))


def test_another_seed_is_another_order(numbered):
    orders = {tuple(order(numbered, TINY.replace(seed=seed), 14)) for seed in range(4)}
    assert len(orders) == 4


@pytest.mark.parametrize("batch_size", [2, 3, 7, 10, 25])
def test_last_batch_is_filled_from_the_next_epoch(numbered, batch_size):
    steps = -(-70 // batch_size)
    numbers = order(numbered, TINY.replace(batch_size=batch_size), steps)
    assert len(numbers) == steps * batch_size
    assert numbers == order(numbered, TINY, len(numbers))


def test_sampling_with_replacement(numbered):
    config = TINY.replace(sampling="replacement")
    numbers = order(numbered, config, 7 * 60)
    counts = np.bincount(numbers, minlength=7)
    assert counts.min() > 35  # of 60 expected; under 4 deviations of 7.2
    assert counts.max() < 85
    epochs = [sorted(numbers[i : i + 7]) for i in range(0, len(numbers), 7)]
    assert [*range(7)] not in epochs[:20]  # each has a chance of 0.6 %
    assert numbers[100:120] == order(numbered, config, 20, step=100)
    assert numbers != order(numbered, config.replace(seed=1), 7 * 60)


def test_one_image(folder):
    write(folder, "0.png", np.zeros((4, 8, 3)))
    assert order(folder, TINY.replace(batch_size=3), 2) == [0] * 6


def test_paths_are_the_files(numbered):
    paths = stream(numbered, TINY, 7).paths
    assert sorted(path.decode() for path in paths) == [str(numbered / f"{i}.png") for i in range(7)]


# Batches are a function of seed and position

COUNT = 10
CONFIGS = {
    # Six of the ten fit into 1 MB as bytes, which are smaller than float32 scaled to 92.
    "bytes": Options.of(crop_size=80, scale_size=92),
    # As float32, five of the ten fit into 1 MB.
    "several sizes": Options.of(crop_size=80, scale_size=92),
    "16 bits": Options.of(crop_size=80, scale_size=92),
    "Lab": Options.of(crop_size=96, scale_size=112, lab_colorization=True),  # six fit
}
CACHED = {"bytes": 6, "several sizes": 5, "16 bits": 5, "Lab": 6}


@pytest.fixture(params=CONFIGS)
def kind(request):
    return request.param


@pytest.fixture
def config(kind):
    return CONFIGS[kind]


@pytest.fixture
def images(folder, rng, kind):
    """Ten images of noise."""
    for i in range(COUNT):
        height = 150 + i if kind == "several sizes" else 160
        values = noise(rng, height, 160 if kind == "Lab" else 320, 3)
        if kind == "16 bits" and i == 4:
            write_16_bit(folder, f"{i}.png", np.uint16(values) * 256 + 7)
        else:
            write(folder, f"{i}.png", values, compress_level=1)
    return folder


def assert_same(batch, expected):
    for values, other in zip(batch, expected, strict=True):
        np.testing.assert_array_equal(values, other)


def test_batch_size_memory_and_start_do_not_matter(images, config):
    expected = stream(images, config.replace(cache_mb=0), 24)
    assert expected.inputs.shape == (
        24,
        *config.data.scaling.crop_size,
        config.data.task.channels[0],
    )
    for cache_mb, cache_as, batch_size in [
        (0, "auto", 8),
        (1, "auto", 1),
        (1, "values", 12),
        (64, "bytes", 3),
        (64, "values", 4),
    ]:
        chosen = config.replace(cache_mb=cache_mb, cache_as=cache_as, batch_size=batch_size)
        steps = 24 // batch_size
        starts = [0, steps - 1, steps // 2]  # each start continues from its step
        parts = [(start, steps - start) for start in starts]
        for start, batch in zip(starts, streams(images, chosen, *parts), strict=True):
            assert_same(batch, [values[start * batch_size :] for values in expected])


@pytest.mark.parametrize(("cache_mb", "cached"), [(0, 0), (1, None), (64, COUNT)])
def test_cached_images_are_not_read_again(images, kind, config, cache_mb, cached):
    chosen = config.replace(cache_mb=cache_mb, batch_size=COUNT)
    originals = stream(images, chosen, 1)
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = TrainingInputs(
            list_folder(images, chosen), chosen.data, chosen.run.seed, on_cpu=True
        )
        next_batch = inputs.next_batch()
        inputs.start(session, 0)
        # Changed files show up in batches, after the prefetched ones, only where not cached.
        for path in images.iterdir():
            with Image.open(path) as image:
                size = image.size
            Image.new("RGB", size).save(path)
        for _ in range(20):
            batch = session.run(next_batch)
    assert set(batch.paths) == set(originals.paths)
    noisy = sum(np.ptp(values) > 0.5 for values in batch.inputs)
    assert noisy == (CACHED[kind] if cached is None else cached)


def test_image_that_is_removed_before_it_is_cached(images, config):
    listing = list_folder(images, config)
    for path in images.iterdir():
        path.unlink()
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = TrainingInputs(listing, config.data, 0, on_cpu=True)
        with pytest.raises(tf.errors.NotFoundError):
            inputs.start(session, 0)
        inputs.close()


def test_close_ends_the_decoding_thread(images, config):
    before = threading.active_count()
    with tf.Graph().as_default():
        TrainingInputs(list_folder(images, config), config.data, 0, on_cpu=True).close()
    assert threading.active_count() == before


def test_processes_read_their_parts_of_each_step(images, config):
    """Together, in the order of their numbers, what one process reads; from any step on."""
    [all_images] = streams(images, config.replace(batch_size=6), (3, 5))
    shares = [StepShare(6, first, own) for first, own in ((0, 2), (2, 3), (5, 1))]
    parts = [next(streams(images, config, (3, 5), share=share)) for share in shares]
    for whole, *divided in zip(all_images, *parts, strict=True):
        steps = [
            values.reshape(5, share.own, *values.shape[1:])
            for values, share in zip(divided, shares, strict=True)
        ]
        np.testing.assert_array_equal(np.concatenate(steps, 1).reshape(whole.shape), whole)


def test_positions_beyond_32_bits(numbered):
    """Positions of a long run exceed 32 bits."""
    step = 2**33
    assert order(numbered, TINY, 7, step) == order(numbered, TINY, 8, step - 1)[1:]
    start = step + -step % 7
    assert sorted(order(numbered, TINY, 7, start)) == list(range(7))


# Lab


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("size", [16, 32])
def test_lab_is_split_before_scaling(folder, rng, direction, size):
    values = noise(rng, size, size, 3)
    write(folder, "1.png", values)
    config = Options.of(crop_size=16, lab_colorization=True, which_direction=direction)
    [(_, inputs, targets)] = translated(folder, config)
    expected = area(lab(values / 255), 16)
    parts = [expected[..., :1], expected[..., 1:]]
    if direction == "BtoA":
        parts.reverse()
    task = config.data.task
    assert list(task.channels) == [part.shape[-1] for part in parts]
    np.testing.assert_allclose(inputs[0], parts[0], atol=2e-4)
    np.testing.assert_allclose(targets[0], parts[1], atol=2e-4)


def test_lab_of_16_bits(folder, rng):
    values = rng.integers(0, 2**16, (16, 16, 3), np.uint16)
    write_16_bit(folder, "1.png", values)
    config = Options.of(crop_size=16, lab_colorization=True)
    [(_, inputs, targets)] = translated(folder, config)
    expected = lab(values / 65535)
    np.testing.assert_allclose(np.concatenate([inputs, targets], 3)[0], expected, atol=2e-4)


def test_ab_channels_of_grey_are_zero(folder):
    write(folder, "1.png", np.tile(np.arange(16) * 17, (16, 1)))
    config = Options.of(crop_size=16, lab_colorization=True)
    [(_, inputs, targets)] = translated(folder, config)
    np.testing.assert_allclose(targets, 0, atol=1e-3)
    np.testing.assert_allclose(inputs[0, 0, [0, -1], 0], [-1, 1], atol=1e-4)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_lab_in_training(folder, rng, direction):
    values = noise(rng, 16, 16, 3)
    write(folder, "1.png", values)
    config = Options.of(
        crop_size=16, scale_size=16, flip=False, lab_colorization=True, which_direction=direction
    )
    batch = stream(folder, config, 1)
    expected = lab(values / 255)
    parts = [batch.inputs, batch.targets] if direction == "AtoB" else [batch.targets, batch.inputs]
    np.testing.assert_allclose(np.concatenate(parts, 3)[0], expected, atol=2e-4)


# Translation


@pytest.mark.parametrize("batch_size", [1, 3, 7, 9])
def test_translation_sees_each_image_once_in_order(numbered, batch_size):
    batches = translated(numbered, TINY.replace(batch_size=batch_size))
    assert [len(batch[0]) for batch in batches] == [
        min(batch_size, 7 - first) for first in range(0, 7, batch_size)
    ]
    indices, inputs, targets = map(np.concatenate, zip(*batches, strict=True))
    assert indices.tolist() == list(range(7))
    assert inputs.shape == targets.shape == (7, 4, 4, 3)
    np.testing.assert_allclose(inputs[:, 0, 0, 0], as_values(np.arange(7) * 30), atol=1e-6)


def test_translation_does_not_jitter(coordinates):
    """Options of jitter have no effect."""
    config = Options.of(crop_size=SCALE, scale_size=40, flip=True, batch_size=3)
    for seed in (0, 1):
        [(_, inputs, _)] = translated(coordinates, config.replace(seed=seed))
        expected = np.indices((SCALE, SCALE)).transpose(1, 2, 0) * 16 / 255 * 2 - 1
        np.testing.assert_allclose(inputs[..., :2], np.stack([expected] * 3), atol=1e-6)


def test_translation_of_inputs_only(folder, rng):
    values = [noise(rng, 16, 17, 3), noise(rng, 20, 16, 3), noise(rng, 9, 9, 3)]
    for i, image in enumerate(values):
        write(folder, f"{i}.png", image)
    batches = translated(folder, Options.of(crop_size=16, inputs_only=True, batch_size=2))
    assert [len(batch) for batch in batches] == [2, 2]
    assert np.concatenate([batch[0] for batch in batches]).tolist() == [0, 1, 2]
    for inputs, image in zip(np.concatenate([b[1] for b in batches]), values, strict=True):
        np.testing.assert_allclose(inputs, area(as_values(image), 16), atol=4e-5)


def test_lab_has_targets_even_with_inputs_only(folder, rng):
    write(folder, "1.png", noise(rng, 16, 16, 3))
    config = Options.of(crop_size=16, lab_colorization=True, inputs_only=True)
    [batch] = translated(folder, config)
    assert len(batch) == 3
