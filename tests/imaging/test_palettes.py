"""Label images' colours: classes read off images, palettes read from files, and what fits."""

import io
import os

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from p2p_graph.imaging import palettes
from p2p_graph.imaging.palettes import CITYSCAPES, FACADES, Palette
from p2p_graph.utils.errors import UserError

# In the order of train ids (Cordts et al. 2016, Table 4, less what is not evaluated).
TRAIN_IDS = """
    road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain,
    sky, person, rider, car, truck, bus, train, motorcycle, bicycle
"""
BUILT_IN = pytest.mark.parametrize("palette", [CITYSCAPES, FACADES], ids=["cityscapes", "facades"])


def nearest_slowly(palette, pixel):
    """The first of the nearest colours; the number of classes for all that are ignored."""
    best = None
    for number, colour in enumerate([*palette.classes.values(), *palette.ignored]):
        distance = sum((int(p) - c) ** 2 for p, c in zip(pixel, colour, strict=True))
        if best is None or distance < best[0]:
            best = distance, number
    return min(best[1], len(palette.classes))


def label_image(palette, rng, size=256):
    """Rectangles one over another, as facades have them."""
    colours = list(palette.classes.values())
    image = np.empty((size, size, 3), np.uint8)
    image[:] = colours[0]
    for _ in range(40):
        top, left = rng.integers(0, size - 20, 2)
        height, width = rng.integers(8, 80, 2)
        image[top : top + height, left : left + width] = colours[rng.integers(len(colours))]
    return image


def compressed(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=75)
    with Image.open(file) as pil_image:
        return np.asarray(pil_image)


def photo(rng, size=256):
    """Soft colours, and noise as a camera's."""
    soft = gaussian_filter(rng.normal(size=(size, size, 3)), (10, 10, 0))
    return np.uint8(np.clip(120 + 50 * soft / soft.std() + rng.normal(0, 4, soft.shape), 0, 255))


@BUILT_IN
def test_nearest_colours(rng, palette):
    image = rng.integers(0, 256, (12, 17, 3), np.uint8)
    wanted = [[nearest_slowly(palette, pixel) for pixel in row] for row in image]
    ids = palette.class_ids(image)
    assert ids.dtype == np.int64
    assert ids.tolist() == wanted
    assert len(set(ids.ravel().tolist())) > 6


@BUILT_IN
def test_every_colour_is_its_own(palette):
    colours = np.uint8([[*palette.classes.values(), *palette.ignored]])
    classes = len(palette.classes)
    wanted = [*range(classes), *[classes] * len(palette.ignored)]
    assert palette.class_ids(colours).tolist() == [wanted]
    assert palette.coverage(colours) == 1
    assert len(np.unique(colours[0], axis=0)) == colours.shape[1]


def test_of_two_as_near_the_first_is_taken():
    pixel = np.uint8([[[101, 100, 100]]])
    near, far = (100, 100, 100), (102, 100, 100)
    assert Palette("x", {"a": near, "b": far}).class_ids(pixel) == 0
    assert Palette("x", {"b": far, "a": near}).class_ids(pixel) == 0
    assert Palette("x", {"c": (0, 0, 0), "b": far, "a": near}).class_ids(pixel) == 1
    assert Palette("x", {"c": (0, 0, 0), "b": far}, (near,)).class_ids(pixel) == 1


def test_ignored_colours_are_no_class():
    palette = Palette("x", {"a": (0, 0, 0), "b": (255, 0, 0)}, ((0, 255, 0), (0, 0, 255)))
    image = np.uint8([[[0, 250, 0], [9, 0, 9], [0, 0, 200], [200, 0, 0]]])
    assert palette.class_ids(image).tolist() == [[2, 0, 2, 1]]


def test_cityscapes_classes_are_in_the_order_of_train_ids():
    assert list(CITYSCAPES.classes) == [name.strip() for name in TRAIN_IDS.split(",")]
    assert len(CITYSCAPES.classes) == 19
    assert CITYSCAPES.classes["road"] == (128, 64, 128)
    assert CITYSCAPES.classes["rider"] == (255, 0, 0)
    assert CITYSCAPES.classes["bicycle"] == (119, 11, 32)
    assert (0, 0, 0) in CITYSCAPES.ignored


def test_facades_has_twelve_classes():
    assert len(FACADES.classes) == 12
    assert FACADES.ignored == ()


def test_large_images(rng):
    """More pixels than are processed at once."""
    image = rng.integers(0, 256, (700, 400, 3), np.uint8)
    parts = np.split(image, 7)
    assert image[..., 0].size > palettes._PIXELS_AT_ONCE > parts[0][..., 0].size
    ids = CITYSCAPES.class_ids(image)
    assert ids.shape == (700, 400)
    np.testing.assert_array_equal(
        ids, np.concatenate([CITYSCAPES.class_ids(part) for part in parts])
    )
    shares = [CITYSCAPES.coverage(part) for part in parts]
    assert CITYSCAPES.coverage(image) == pytest.approx(np.mean(shares), rel=1e-12)


def test_coverage_is_the_share_of_pixels_near_a_colour():
    palette = Palette("x", {"a": (0, 0, 0), "b": (255, 0, 0)}, ((0, 255, 0),))
    near, far = [[0, 0, 12], [243, 0, 0], [4, 247, 8]], [[0, 0, 13], [8, 8, 8], [128, 0, 0]]
    assert palette.coverage(np.uint8([near])) == 1
    assert palette.coverage(np.uint8([far])) == 0
    assert palette.coverage(np.uint8([near, far])) == 0.5


@BUILT_IN
def test_labels_fit_even_as_jpeg(rng, palette):
    images = [label_image(palette, rng) for _ in range(3)]
    assert [palette.coverage(image) for image in images] == [1, 1, 1]
    assert min(palette.coverage(compressed(image)) for image in images) > 0.4
    palette.check_coverage(images, "targets")
    palette.check_coverage([compressed(image) for image in images], "targets")
    read = [palette.class_ids(compressed(image)) == palette.class_ids(image) for image in images]
    assert np.mean(read) > 0.9


@BUILT_IN
def test_photos_and_other_labels_do_not_fit(rng, palette):
    noise = rng.integers(0, 256, (64, 64, 3), np.uint8)
    other = label_image(Palette("x", {"a": (40, 200, 60), "b": (200, 40, 200)}), rng)
    for image in (photo(rng), noise, other):
        with pytest.raises(UserError) as error:
            palette.check_coverage([image, image], "inputs")
        assert "\n" not in str(error.value)
        expected = (
            f"palette {palette.name} does not fit the inputs: {palette.coverage(image):.0%} of"
        )
        assert str(error.value).startswith(expected)
        assert "--palette" in str(error.value)


def test_a_built_in_palette_does_not_fit_the_others_labels(rng):
    with pytest.raises(UserError, match="palette facades does not fit the targets"):
        FACADES.check_coverage([label_image(CITYSCAPES, rng)], "targets")


def test_coverage_is_of_all_images_together():
    palette = Palette("x", {"a": (0, 0, 0), "b": (255, 0, 0)})
    fits, other = (np.full((4, 4, 3), value, np.uint8) for value in (0, 100))
    palette.check_coverage([fits, other, other, other], "targets")
    with pytest.raises(UserError, match="20% of their pixels"):
        palette.check_coverage([fits, other, other, other, other], "targets")


@BUILT_IN
def test_found_by_name(palette):
    assert palettes.load(palette.name) is palette


@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_found_in_a_file(tmp_path, bom):
    path = tmp_path / "mine.csv"
    text = "class,red,green,blue\nsea, 0,0,255\n land ,0,128,0\n,0,0,0\n  ,9,9,9\n"
    path.write_text(bom + text, encoding="utf-8")
    wanted = Palette("mine.csv", {"sea": (0, 0, 255), "land": (0, 128, 0)}, ((0, 0, 0), (9, 9, 9)))
    assert palettes.load(str(path)) == wanted
    assert list(palettes.load(str(path)).classes) == ["sea", "land"]


def test_columns_in_another_order(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("id,blue,red,class,green\r\n7,1,2,a,3\r\n8,4,5,b,6\r\n")
    assert palettes.load(str(path)) == Palette("mine.csv", {"a": (2, 3, 1), "b": (5, 6, 4)})


def test_as_many_classes_as_there_may_be(tmp_path):
    path = tmp_path / "many.csv"
    rows = "".join(f"c{n},{n},0,0\n" for n in range(255))
    path.write_text("class,red,green,blue\n" + rows)
    palette = palettes.load(str(path))
    assert len(palette.classes) == 255
    image = np.zeros((1, 256, 3), np.uint8)
    image[0, :, 0] = np.arange(256)
    assert palette.class_ids(image).tolist() == [[*range(255), 254]]


NUMBERS = "red, green and blue must be whole numbers from 0 to 255"
BAD = {
    "empty": ("", "has no column class: the first line must be class,red,green,blue"),
    "no class": ("class,red,green,blue\n,1,2,3\n", "must have 2 to 255 classes, not 0"),
    "one class": ("class,red,green,blue\na,1,2,3\n", "must have 2 to 255 classes, not 1"),
    "no class column": ("red,green,blue\n1,2,3\n4,5,6\n", "has no column class"),
    "no column": ("class,red,green\na,1,2\nb,3,4\n", "has no column blue"),
    "no header": ("a,1,2,3\nb,4,5,6\n", "has no column class: the first line must be class,red"),
    "short row": ("class,red,green,blue\na,1,2,3\nb,4\n", f"line 3: {NUMBERS}"),
    "too large": ("class,red,green,blue\na,1,2,256\n", f"line 2: {NUMBERS}"),
    "below 0": ("class,red,green,blue\na,1,-2,3\n", f"line 2: {NUMBERS}"),
    "a fraction": ("class,red,green,blue\na,1.5,2,3\n", f"line 2: {NUMBERS}"),
    "no number": ("class,red,green,blue\na,,2,3\n", f"line 2: {NUMBERS}"),
    "after a blank line": ("class,red,green,blue\n\n\na,1,2,3\nb,x,0,0\n", f"line 5: {NUMBERS}"),
    "a class twice": (
        "class,red,green,blue\na,1,2,3\na ,4,5,6\n",
        "line 3: class a is defined twice",
    ),
    "a colour twice": ("class,red,green,blue\na,1,2,3\nb,1,2,3\n", "has a colour twice"),
    "ignored, too": ("class,red,green,blue\na,1,2,3\nb,4,5,6\n,4,5,6\n", "has a colour twice"),
    "not UTF-8": (b"class,red,green,blue\n\xff\xfe,1,2,3\n", "cannot be read as CSV"),
    "an image": (b"\x89PNG\r\n\x1a\n\0\0\0", "cannot be read as CSV"),
    "a huge field": ("class,red,green,blue\n" + "a" * 140_000, "cannot be read as CSV"),
    "too many": (
        "class,red,green,blue\n" + "".join(f"c{n},{n},0,0\n" for n in range(256)),
        "must have 2 to 255 classes, not 256",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files(tmp_path, kind):
    contents, expected = BAD[kind]
    path = tmp_path / "bad.csv"
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    with pytest.raises(UserError) as error:
        palettes.load(str(path))
    message = str(error.value)
    assert message.startswith(f"palette {path}")
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["nowhere.csv", "Cityscapes", ""])
def test_no_such_palette(name):
    with pytest.raises(UserError) as error:
        palettes.load(name)
    assert "palette must be one of cityscapes, facades or a CSV file" in str(error.value)
    assert str(error.value).endswith(f"; there is no file {name!r}")


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"class,red,green,blue\na," + b"9" * 5000 + b",0,0\n", "whole numbers from 0 to 255"),
        (b"class,red,green,blue\na," + b"0" * 5000 + b"7,0,0\n", "2 to 255 classes, not 1"),
        (b"class,red,green,blue\n" + b"a" * 200_000 + b",1,2,3\n", "field larger than field limit"),
        (b"class,red,green,blue\n\xff,1,2,3\n", "can't decode byte 0xff"),
        (bytes(2**20 + 1), "has more than 1048576 bytes"),
    ],
    ids=["digits", "zeros", "field", "bytes", "size"],
)
def test_damaged_palettes(tmp_path, contents, reason):
    path = tmp_path / "p.csv"
    path.write_bytes(contents)
    with pytest.raises(UserError, match=f"^palette .*{reason}") as caught:
        palettes.load(str(path))
    assert len(str(caught.value)) < 300


def test_palettes_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    for name, reason in {
        "/dev/zero": "is a device, not a regular file",
        str(tmp_path / "fifo"): "is a FIFO, not a regular file",
        str(tmp_path): "is a folder, not a regular file",
        str(tmp_path / "loop"): "Too many levels of symbolic links",
        str(tmp_path / "gone"): "is a link that leads nowhere",
        "": "must be one of cityscapes, facades or a CSV file",
        "a\0b": "must be one of cityscapes, facades or a CSV file",
    }.items():
        with pytest.raises(UserError, match=f"^palette .*{reason}"):
            palettes.load(name)
