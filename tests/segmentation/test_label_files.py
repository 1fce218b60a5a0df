"""Files of true labels: which file belongs to an image, and what is read from it."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from p2p_graph.data.image_files import output_names
from p2p_graph.imaging.palettes import CITYSCAPES, Palette
from p2p_graph.segmentation import label_files
from p2p_graph.utils.errors import UserError

PHOTO = "aachen_000000_000019_leftImg8bit"
STEM = "aachen_000000_000019"
# The train id of each id from 0 to 33 (cityscapesScripts' table).
TRAIN_IDS = [
    *(255, 255, 255, 255, 255, 255, 255),  # unlabelled, car itself, border, static, dynamic, ground
    *(0, 1, 255, 255),  # road, sidewalk, parking, rail track
    *(2, 3, 4, 255, 255, 255),  # building, wall, fence, guard rail, bridge, tunnel
    *(5, 255, 6, 7),  # pole, group of poles, traffic light, traffic sign
    *(8, 9, 10, 11, 12),  # vegetation, terrain, sky, person, rider
    *(13, 14, 15, 255, 255, 16, 17, 18),  # car, truck, bus, caravan, trailer, train, ...
]
TWO = Palette("two", {"a": (255, 0, 0), "b": (0, 0, 255)}, ((0, 0, 0),))


def write(path, values, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8), mode).save(path)
    return path


def touch(*paths):
    for path in paths:
        write(path, [[0]])


@pytest.mark.parametrize("name", [PHOTO, STEM])
@pytest.mark.parametrize("end", ["_gtFine_labelTrainIds", "_gtFine_labelIds", "_gtFine_color", ""])
def test_suffixes(tmp_path, name, end):
    """Cityscapes' photos and labels may keep their suffixes."""
    touch(tmp_path / f"{STEM}{end}.png")
    assert label_files.find(tmp_path, [name]) == {name: tmp_path / f"{STEM}{end}.png"}


@pytest.mark.parametrize("stem", ["x" * 243, "é" * 100])
def test_long_names(tmp_path, stem):
    """Results have shortened names; those of other programs may have long ones."""
    touch(tmp_path / f"{stem}.png")
    for name in (stem, *output_names([tmp_path / f"{stem}.jpg"])):
        assert label_files.find(tmp_path, [name]) == {name: tmp_path / f"{stem}.png"}


def test_nested_folders(tmp_path):
    """gtFine has a folder for each city."""
    paths = {
        f"{city}_000000_00000{n}_leftImg8bit": tmp_path
        / ("train" if n else "val")
        / city
        / f"{city}_000000_00000{n}_gtFine_labelIds.png"
        for city in ("aachen", "ulm")
        for n in range(3)
    }
    touch(*paths.values(), tmp_path / "train" / "ulm" / "ulm_9_gtFine_labelIds.png")
    assert label_files.find(tmp_path, list(paths)) == paths


def test_best_of_several_kinds(tmp_path):
    """Train ids come before ids, ids before colours, in any folder and any order."""
    ends = ("_gtFine_labelTrainIds", "_gtFine_labelIds", "_gtFine_color", "")
    paths = [
        tmp_path / folder / f"{STEM}{end}.png" for folder, end in zip("dcba", ends, strict=True)
    ]
    touch(*paths, tmp_path / f"{STEM}_gtFine_instanceIds.png")
    for path in paths:
        assert label_files.find(tmp_path, [PHOTO]) == {PHOTO: path}
        path.unlink()


def test_other_files_are_no_labels(tmp_path):
    (tmp_path / f"{STEM}_gtFine_polygons.json").write_text("{}")
    (tmp_path / f"{STEM}.txt").write_text("0")
    touch(tmp_path / f"{STEM}_gtFine_instanceIds.png")
    with pytest.raises(UserError, match=r"no labels NAME\.png for 1 of 1 image in"):
        label_files.find(tmp_path, [PHOTO])


def test_missing_labels_are_listed(tmp_path):
    touch(tmp_path / "b.png")
    with pytest.raises(UserError) as error:
        label_files.find(tmp_path, ["a", "b", PHOTO])
    first, *rest = str(error.value).splitlines()
    assert first == f"no labels NAME.png for 2 of 3 images in labels_dir {tmp_path}:"
    assert rest == ["  a", f"  {PHOTO}"]


def test_several_labels_of_one_image_are_refused(tmp_path):
    """Labels of other kinds and of other images do not matter."""
    paths = [tmp_path / folder / f"{name}.png" for folder in "xy" for name in ("a", "b")]
    better = tmp_path / "z" / "b_gtFine_labelIds.png"
    touch(*paths, better, tmp_path / "c.png")
    with pytest.raises(UserError) as error:
        label_files.find(tmp_path, ["a", "b", "c"])
    first, *rest = str(error.value).splitlines()
    assert first.startswith("several labels for 1 of 3 images in labels_dir")
    assert rest == [f"  {paths[0]}, {paths[2]}"]
    assert label_files.find(tmp_path, ["b", "c"]) == {"b": better, "c": tmp_path / "c.png"}


def test_many_missing_labels(tmp_path):
    with pytest.raises(UserError, match="25 of 25 images") as error:
        label_files.find(tmp_path, [f"{n}" for n in range(25)])
    assert str(error.value).splitlines()[-2:] == ["  19", "  ... and 5 more"]


def test_no_such_folder(tmp_path):
    touch(tmp_path / "a.png")
    for path in (tmp_path / "nowhere", tmp_path / "a.png"):
        with pytest.raises(UserError) as error:
            label_files.find(path, ["a"])
        what = "is not a folder" if path.exists() else "does not exist"
        assert str(error.value) == f"labels_dir {path} {what}"


@pytest.mark.parametrize("name", ["a", f"{STEM}_gtFine_labelTrainIds"])
def test_ids_are_read_unchanged(tmp_path, name):
    values = np.arange(256).reshape(8, 32)
    found = label_files.read(write(tmp_path / f"{name}.png", values), CITYSCAPES)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, values)


def test_label_ids_become_train_ids(tmp_path):
    """Ids 0 to 33 are cityscapesScripts'; a licence plate's -1 is written as 255."""
    assert len(TRAIN_IDS) == 34
    path = write(tmp_path / f"{STEM}_gtFine_labelIds.png", [[*range(34), 34, 255]])
    found = label_files.read(path, CITYSCAPES)
    assert found.dtype == np.int64
    assert found.tolist() == [[*TRAIN_IDS, 255, 255]]
    names = list(CITYSCAPES.classes)
    assert [names[found[0, n]] for n in (7, 17, 24, 26, 33)] == [
        *("road", "pole", "person", "car", "bicycle")
    ]


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("palette", [CITYSCAPES, TWO], ids=["cityscapes", "two"])
def test_coloured_files(tmp_path, rng, alpha, palette):
    colours = np.uint8([*palette.classes.values(), *palette.ignored])
    ids = rng.integers(0, len(colours), (7, 9))
    values = colours[ids]
    if alpha:
        values = np.concatenate([values, rng.integers(0, 256, (7, 9, 1), np.uint8)], 2)
    path = write(tmp_path / f"{STEM}_gtFine_color.png", values)
    found = label_files.read(path, palette)
    np.testing.assert_array_equal(found, ids.clip(max=len(palette.classes)))


def test_files_with_a_palette_hold_ids(tmp_path):
    """PASCAL VOC has such files; their colours are for people."""
    image = Image.fromarray(np.uint8([[0, 1, 1, 15]]))
    image.putpalette([n * 3 % 256 for n in range(768)])
    image.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as written:
        assert written.mode == "P"
    assert label_files.read(tmp_path / "a.png", TWO).tolist() == [[0, 1, 1, 15]]


def test_files_with_a_palette_of_the_classes_colours_are_read_by_them(tmp_path, rng):
    colours = np.uint8([*TWO.classes.values()])
    ids = rng.integers(0, len(colours), (6, 8))
    image = Image.fromarray(colours[ids]).quantize(len(colours))
    image.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as written:
        assert written.mode == "P"
    assert label_files.read(tmp_path / "a.png", TWO).tolist() == ids.tolist()
    swapped = Image.fromarray((1 - ids).astype(np.uint8))
    swapped.putpalette([*colours[1], *colours[0]])
    swapped.save(tmp_path / "b.png")
    assert label_files.read(tmp_path / "b.png", TWO).tolist() == ids.tolist()
    swapped.putpalette([*colours[1], 1, 2, 3])
    swapped.save(tmp_path / "b.png")
    assert label_files.read(tmp_path / "b.png", TWO).tolist() == (1 - ids).tolist()


def test_ids_of_1_and_16_bits(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bit.png")
    assert label_files.read(tmp_path / "bit.png", TWO).tolist() == [[1, 0]]
    ids = np.array([[0, 7, 256, 65535]], np.uint16)
    Image.fromarray(ids).save(tmp_path / "16.png")
    assert label_files.read(tmp_path / "16.png", TWO).tolist() == ids.tolist()
    Image.fromarray(ids).save(tmp_path / "x_gtFine_labelIds.png")
    found = label_files.read(tmp_path / "x_gtFine_labelIds.png", TWO)
    assert found.tolist() == [[255, 0, 255, 255]]


def test_check(tmp_path):
    """All ids must be the palette's, and all colours too."""
    good = [
        write(tmp_path / "ids.png", [[0, 1, 255]]),
        write(tmp_path / "x_gtFine_labelIds.png", [[0, 0, 7]]),
        write(tmp_path / "colours.png", np.uint8([[(255, 0, 0), (0, 0, 255), (0, 0, 0)]])),
    ]
    label_files.check(good, TWO)
    bad = write(tmp_path / "from_one.png", [[0, 1, 2]])
    torn = tmp_path / "torn.png"
    torn.write_bytes(good[0].read_bytes()[:-30])
    with pytest.raises(UserError) as error:
        label_files.check([*good, bad, torn], TWO)
    first, *rest = str(error.value).splitlines()
    assert first.startswith("2 of 5 labels cannot be used; palette two has 2 classes from 0 on")
    assert rest[0] == f"  {bad} has the class 2"
    assert rest[1] == f"  {torn} cannot be decoded: it is cut off"
    void = write(tmp_path / "void.png", [[255, 255]])
    label_files.check([void, *good], TWO)
    with pytest.raises(UserError, match="nor of the other labels, has a class"):
        label_files.check([void], TWO)
    other = write(tmp_path / "green.png", np.full((2, 2, 3), (0, 255, 0)))
    with pytest.raises(UserError, match=r"palette two does not fit the labels .*green.png is one"):
        label_files.check([other], TWO)
    photo = np.full((4, 4, 3), (0, 255, 0), np.uint8)
    pair = write(tmp_path / "pair.png", np.hstack([np.full_like(photo, (255, 0, 0)), photo]))
    with pytest.raises(UserError, match=r"look like pairs, .* 100% of the .* and 0% in the right"):
        label_files.check([pair], TWO)


def huge(width, height):
    """A PNG file whose header claims this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")))
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("cut off", "cannot be decoded: it is cut off"),
        ("empty", "is empty"),
        ("text", "is not an image"),
        ("missing", "does not exist"),
        ("huge", "cannot be decoded: "),
    ],
)
def test_files_that_cannot_be_read(tmp_path, rng, kind, reason):
    path = write(tmp_path / "a.png", rng.integers(0, 19, (40, 50)))
    intact = path.read_bytes()
    path.write_bytes(
        {"cut off": intact[:-300], "text": b"no", "huge": huge(30000, 30000)}.get(kind, b"")
    )
    if kind == "missing":
        path.unlink()
    with pytest.raises(UserError) as error:
        label_files.read(path, CITYSCAPES)
    assert str(error.value).startswith(f"{path} {reason}")
    assert "\n" not in str(error.value)


def test_damage_that_a_decoder_does_not_see(tmp_path, rng):
    """The pixels' checksum is wrong: a decoder may give other classes."""
    path = write(tmp_path / "a.png", rng.integers(0, 19, (64, 64)))
    contents = bytearray(path.read_bytes())
    contents[contents.index(b"IDAT") + 900] ^= 1
    path.write_bytes(contents)
    with pytest.raises(UserError, match=f"^{path} cannot be decoded: its chunk IDAT"):
        label_files.read(path, CITYSCAPES)


def test_only_regular_files(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    (tmp_path / "c.png").mkdir()
    for name, kind in (("a", "a FIFO"), ("b", "a device"), ("c", "a folder")):
        with pytest.raises(UserError, match=f"{name}.png is {kind}, not a regular file"):
            label_files.read(tmp_path / f"{name}.png", CITYSCAPES)
