import zipfile

import numpy as np
import pytest

from p2p_graph.data.image_files import SourceImage
from p2p_graph.data.packed.npz_archives import archive_images, choose_arrays, load_arrays
from p2p_graph.utils.errors import UserError

N, HEIGHT, WIDTH = 5, 6, 8


def open_archive(path, names, single):
    return load_arrays(path, choose_arrays(path, names, single=single))


@pytest.fixture
def arrays(rng):
    return [rng.integers(0, 256, (N, HEIGHT, WIDTH, 3), np.uint8) for _ in range(2)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "maps.npz"


def refusal(path, names=None, *, single=False):
    with pytest.raises(UserError) as caught:
        archive_images(path, names, single=single)
    message = str(caught.value)
    assert message.count(str(path)) == 1
    assert "\n" not in message
    return message


def test_two_arrays(path, arrays):
    np.savez(path, *arrays)
    images = archive_images(path, None, single=False)
    first = path / "00000"
    assert images[0] == SourceImage(
        first, WIDTH, HEIGHT, False, first, 0, ("arr_0", "arr_1"), channels=(3, 3)
    )
    assert [image.position for image in images] == list(range(N))
    assert images[4].path.stem == "00004"


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_integers_are_read_as_bytes(path, arrays, kind, save, monkeypatch):
    # In three chunks.
    monkeypatch.setattr("p2p_graph.data.packed.npz_archives._CHUNK", 2 * HEIGHT * WIDTH * 3 * 8)
    save(path, *(array.astype(kind) for array in arrays))
    for found, expected in zip(open_archive(path, None, False), arrays, strict=True):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)
        assert isinstance(found, np.memmap) == (kind == np.uint8 and save == np.savez)


def test_fractions_are_read_as_float32(path, arrays, monkeypatch):
    """Also after chunks of integers."""
    monkeypatch.setattr("p2p_graph.data.packed.npz_archives._CHUNK", HEIGHT * WIDTH * 3 * 8)
    a = arrays[0].astype(np.float64)
    a[3, 1, 2, 0] = 1.5
    np.savez(path, a, arrays[1])
    found, other = open_archive(path, None, False)
    assert (found.dtype, other.dtype) == (np.float32, np.uint8)
    np.testing.assert_array_equal(found, a)
    assert all(image.is_16_bit for image in archive_images(path, None, single=False))


@pytest.mark.parametrize("shape", [(N, HEIGHT, WIDTH), (N, HEIGHT, WIDTH, 1)])
def test_grey(path, rng, shape):
    grey = rng.integers(0, 256, shape, np.uint8)
    np.savez(path, grey, grey)
    found, _ = open_archive(path, None, False)
    np.testing.assert_array_equal(found, grey.reshape(N, HEIGHT, WIDTH, 1))


@pytest.mark.parametrize("names", [("inputs", "targets"), ("A", "B"), ("input", "target")])
def test_usual_names_in_any_order(path, arrays, names):
    a, b = arrays
    np.savez(path, **{names[1]: b, names[0]: a, "more": np.zeros(3)})
    found = open_archive(path, None, False)
    np.testing.assert_array_equal(found[0], a)
    np.testing.assert_array_equal(found[1], b)


def test_given_names(path, arrays):
    a, b = arrays
    np.savez(path, photos=b, labels=a)
    assert "photos, labels" in refusal(path)
    found = open_archive(path, "labels, photos", False)
    np.testing.assert_array_equal(found[0], a)
    np.testing.assert_array_equal(found[1], b)


def test_one_array_of_single_images(path, arrays):
    np.savez(path, photos=arrays[0])
    [image, *_] = archive_images(path, None, single=True)
    assert image.target is None
    assert "must hold two arrays" in refusal(path)


def test_one_of_two_arrays_must_be_named(path, arrays):
    np.savez(path, *arrays)
    assert "this task takes single images: name one (--arrays A)" in refusal(path, single=True)
    [found] = open_archive(path, "arr_1", True)
    np.testing.assert_array_equal(found, arrays[1])


def test_grey_beside_color(path, arrays):
    np.savez(path, arrays[0], arrays[1][..., :1])
    assert [array.shape[3] for array in open_archive(path, None, False)] == [3, 1]


def test_black_images_are_images(path, arrays):
    np.savez(path, arrays[0], np.zeros_like(arrays[1]))
    assert len(archive_images(path, None, single=False)) == N


def test_a_member_whose_local_header_is_longer(path, arrays):
    """Zip programs may pad it: the data then begin later than the central directory says."""
    np.savez(path.with_name("plain.npz"), *arrays)
    with (
        zipfile.ZipFile(path.with_name("plain.npz")) as plain,
        zipfile.ZipFile(path, "w") as padded,
    ):
        for name in plain.namelist():
            info = zipfile.ZipInfo(name)
            info.extra = b"\xfe\xca\x08\x00" + bytes(8)
            padded.writestr(info, plain.read(name))
    for found, expected in zip(open_archive(path, None, False), arrays, strict=True):
        assert isinstance(found, np.memmap)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("change", "message_part"),
    [
        (lambda a, b: (a,), "must hold two arrays, inputs and targets: it holds arr_0"),
        (lambda a, b: (), "it holds nothing"),
        (lambda a, b: (a, b[:4]), "of one size, not arr_0 [5, 6, 8, 3] and arr_1 [4, 6, 8, 3]"),
        (lambda a, b: (a, b[:, :4]), "equally many images of one size"),
        (lambda a, b: (a, b[..., :0]), "arr_1 must hold images"),
        (lambda a, b: (a[:0], b[:0]), "arr_0 must hold images"),
        (lambda a, b: (a, b.astype(str)), "arr_1 must hold images"),
        (lambda a, b: (a, np.array([{}])), "arr_1 must hold images"),
        (lambda a, b: (np.asfortranarray(a), b), "Fortran"),
        (lambda a, b: (a / 127.5 - 1, b), "arr_0 must have values in 0..255, not -"),
        (lambda a, b: (a / 255, b), "not 0..1: multiply by 255"),
        (lambda a, b: (a // 128, b), "arr_0 must have values in 0..255, not 0..1"),
        (lambda a, b: (a, (b // 128).astype(np.float32)), "arr_1 must have values in 0..255, not"),
        (lambda a, b: (a > 99, b), "arr_0 must hold images"),
        (lambda a, b: (a + 1.0, b), "not 1.0..256.0"),
        (lambda a, b: (np.where(a == a.max(), np.nan, a), b), "values in 0..255, not nan"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_arrays(path, arrays, change, message_part):
    np.savez(path, *change(*arrays))
    assert message_part in refusal(path)


@pytest.mark.parametrize(
    ("names", "message_part"),
    [
        ("arr_0,arr_9", "has no array 'arr_9': it holds arr_0, arr_1"),
        ("arr_0", "must name 2"),
        ("", "has no array ''"),
    ],
)
def test_bad_names(path, arrays, names, message_part):
    np.savez(path, *arrays)
    assert message_part in refusal(path, names)


def test_bad_files(path, arrays):
    assert "does not exist" in refusal(path)
    path.write_bytes(b"no archive")
    assert "cannot be read as an .npz archive" in refusal(path)
    np.savez(path, *arrays)
    path.write_bytes(path.read_bytes()[:-40])
    assert "cannot be read as an .npz archive" in refusal(path)
    path.unlink()
    path.mkdir()
    assert "is a folder, not a regular file" in refusal(path)


@pytest.mark.parametrize("where", [200, 1200, -300])
def test_damage_in_a_compressed_archive(path, arrays, where):
    np.savez_compressed(path, *arrays)
    contents = bytearray(path.read_bytes())
    contents[where] ^= 0xFF
    path.write_bytes(contents)
    refusal(path)
