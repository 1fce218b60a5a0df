"""Arrays in .npy and TIFF files: what is read of them, and what is refused."""

import concurrent.futures
import io
import struct
import sys

import numpy as np
import pytest
import tifffile

from p2p_graph.imaging import array_files, preview
from p2p_graph.imaging.array_files import (
    MISSING,
    as_bytes,
    as_values,
    decode_array,
    encode_npy,
    save_npy,
    structure_of,
)
from p2p_graph.utils.errors import UserError


def npy(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def tiff(values, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, **options)
    return stream.getvalue()


CONTIG = {"photometric": "minisblack", "planarconfig": "contig"}
KINDS = ["u1", "<u2", ">u2", "<f2", "<f4", ">f4", "<f8"]


def values_of(kind, rng, *shape):
    values = rng.random(shape)
    dtype = np.dtype(kind)
    return (values * np.iinfo(dtype).max if dtype.kind == "u" else values).astype(dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4, 7])
def test_arrays_are_read_as_they_were_saved(rng, kind, channels):
    values = values_of(kind, rng, 12, 9, *[channels][: channels is not None])
    wanted = values[..., None] if channels is None else values
    files = [npy(values), npy(np.asfortranarray(values))]
    if np.dtype(kind) != np.float16:
        form = CONTIG if (channels or 1) > 1 else {"photometric": "minisblack"}
        order = ">" if kind.startswith(">") else "<"
        files += [
            tiff(values, byteorder=order, **form),
            tiff(values, byteorder=order, compression="zlib", **form),
            tiff(values, byteorder=order, photometric="minisblack"),  # rows as pages, if any
        ]
    for contents in files:
        found = decode_array(contents)
        assert found.dtype == (np.dtype(kind).newbyteorder("=") if "u" in kind else np.float32)
        np.testing.assert_array_equal(found, wanted.astype(found.dtype))


@pytest.mark.parametrize("options", [{"planarconfig": "separate"}, {}, {"metadata": None}])
def test_channels_in_planes_or_pages_come_last(rng, options):
    values = rng.integers(0, 256, (5, 20, 30), np.uint8)
    found = decode_array(tiff(values, photometric="minisblack", **options))
    np.testing.assert_array_equal(found, np.moveaxis(values, 0, 2))


def test_a_smaller_copy_beside_the_image_is_not_read(rng):
    values = rng.integers(0, 256, (64, 64, 4), np.uint8)
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(values, **CONTIG)
        writer.write(values[::2, ::2], subfiletype=1, **CONTIG)
    np.testing.assert_array_equal(decode_array(stream.getvalue()), values)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"", "is empty"),
        (b"GIF89a", "is neither a NumPy array nor TIFF"),
        (npy(np.zeros((4, 4, 2), np.uint8))[:-1], "cannot be decoded: its header says uint8"),
        (npy(np.zeros((4, 4, 2), np.uint8)) + b"0", "cannot be decoded: its header says uint8"),
        (npy(np.zeros((4, 4, 2), np.uint8))[:30], "cannot be decoded: "),
        (npy(np.zeros(4, np.uint8)), "has the shape [4]"),
        (npy(np.zeros((0, 4, 1), np.uint8)), "has the shape [0, 4, 1]"),
        (npy(np.zeros((2, 4, 4, 1), np.uint8)), "has the shape [2, 4, 4, 1]"),
        (npy(np.zeros((4, 4, 2000), np.uint8)), "has 2000 channels, more than 1024"),
        (npy(np.zeros((4, 4, 2), np.int64)), "holds values of the type int64"),
        (npy(np.zeros((4, 4, 2), bool)), "holds values of the type bool"),
        (npy(np.array([[{}]])), "holds values of the type object"),
        (npy(np.full((4, 4, 2), np.nan, np.float32)), "not finite"),
        (npy(np.full((4, 4, 2), np.inf)), "not finite"),
        (npy(np.full((4, 4, 2), 1.5)), "holds values in 1.5..1.5"),
        (npy(np.full((4, 4, 2), -1e-3, np.float32)), "holds values in -0.001..-0.001"),
        (tiff(np.zeros((4, 4, 2), np.complex64), **CONTIG), "type complex64"),
        (tiff(np.zeros((4, 4), np.uint8), photometric="miniswhite"), "of the kind MINISWHITE"),
        (
            tiff(
                np.zeros((4, 4), np.uint8),
                photometric="palette",
                colormap=np.zeros((3, 256), np.uint16),
            ),
            "of the kind PALETTE",
        ),
        (tiff(np.zeros((2, 3, 16, 16), np.uint8), photometric="minisblack"), "with the axes QQYX"),
        (tiff(np.zeros((16, 16, 4), np.uint8), **CONTIG)[:-200], "cannot be decoded: "),
        (b"II*\0" + struct.pack("<I", 8), "holds 0 images"),
        (b"II*\0" + b"\xff" * 40, "holds 0 images"),
    ],
)
def test_what_is_no_image_is_refused(contents, words):
    with pytest.raises(UserError) as caught:
        decode_array(contents)
    [message] = caught.value.args
    assert words in message
    assert "\n" not in message


def edited(contents, tags, change):
    """A TIFF file whose directory's entries of these tags are changed."""
    contents = bytearray(contents)
    start = struct.unpack_from("<I", contents, 4)[0]
    for place in range(struct.unpack_from("<H", contents, start)[0]):
        entry = start + 2 + 12 * place
        if struct.unpack_from("<H", contents, entry)[0] in tags:
            struct.pack_into("<I", contents, entry + 4, change)
    return bytes(contents)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_strips_that_are_missing_are_no_zeros(rng, compression):
    values = rng.integers(1, 256, (32, 32, 5), np.uint8)
    whole = tiff(values, rowsperstrip=4, compression=compression, **CONTIG)
    np.testing.assert_array_equal(decode_array(whole), values)
    with pytest.raises(UserError, match=r"cannot be decoded: .*Strip\w+ count"):
        decode_array(edited(whole, (273, 279), 4))  # offsets and sizes of 4 strips of 8


def test_planes_that_are_missing_are_no_zeros(rng):
    head = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:0"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
        'Type="uint8" SizeX="32" SizeY="32" SizeC="8" SizeZ="1" SizeT="1"><Channel '
        'ID="Channel:0:0" SamplesPerPixel="1"/><TiffData IFD="0" FirstC="0" PlaneCount="5"/>'
        "</Pixels></Image></OME>"
    )
    planes = rng.integers(1, 256, (5, 32, 32), np.uint8)
    contents = tiff(planes, photometric="minisblack", metadata=None, description=head)
    with pytest.raises(UserError, match=r"cannot be decoded: .*missing"):
        decode_array(contents)
    with pytest.raises(UserError, match=r"cannot be decoded: .*missing"):  # again, not only once
        decode_array(contents)


def test_a_header_that_claims_too_much_is_refused_before_memory_is_taken():
    contents = bytearray(npy(np.zeros((4, 4, 2), np.uint8)))
    contents = contents.replace(b"(4, 4, 2), }" + b" " * 6, b"(99999, 99999, 2), }", 1)
    with pytest.raises(UserError, match=r"is 99999x99999 pixels|cannot be decoded"):
        decode_array(bytes(contents))


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bigtiff", [False, True])
def test_pages_that_lead_in_a_circle(first, order, bigtiff):
    """The last page names one before it as the next, or itself."""
    values = np.zeros((3, 8, 8), np.uint8)
    options = {"photometric": "minisblack", "metadata": None}
    contents = bytearray(tiff(values, byteorder=order, bigtiff=bigtiff, **options))
    with tifffile.TiffFile(io.BytesIO(contents)) as file:
        pages, form = [page.offset for page in file.pages], file.tiff
    [tags] = struct.unpack_from(form.tagnoformat, contents, pages[-1])
    next_page = pages[-1] + form.tagnosize + tags * form.tagsize
    struct.pack_into(form.offsetformat, contents, next_page, pages[first])
    with pytest.raises(UserError, match=r"^cannot be decoded: its pages lead in a circle$"):
        decode_array(bytes(contents))


def test_more_pages_than_an_image_has_channels(monkeypatch):
    contents = tiff(np.zeros((3, 8, 8), np.uint8), photometric="minisblack", metadata=None)
    assert decode_array(contents).shape == (8, 8, 3)
    monkeypatch.setattr(array_files, "_MOST_PAGES", 2)
    with pytest.raises(UserError, match=r"^holds more than 2 pages, not one image$"):
        decode_array(contents)


def test_tiff_without_its_reader(monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(UserError) as caught:
        decode_array(b"II*\0" + b"\0" * 40)
    assert caught.value.args == (MISSING,)


def test_many_threads_read_arrays(rng):
    files = [npy(rng.integers(0, 256, (4, 4, 1 + n % 5), np.uint8)) for n in range(400)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        shapes = [image.shape[2] for image in pool.map(decode_array, files)]
    assert shapes == [1 + n % 5 for n in range(400)]


def test_the_usual_header_needs_no_parser(monkeypatch, rng):
    """NumPy's parser fails at random in several threads."""
    monkeypatch.delattr("p2p_graph.imaging.array_files.read_npy_header")
    for values in (rng.random((3, 4)), rng.random((3, 4, 5)).astype(np.float32)):
        np.testing.assert_array_equal(np.squeeze(decode_array(npy(values))), np.float32(values))
    fortran = np.asfortranarray(rng.integers(0, 256, (3, 4, 5), np.uint8))
    np.testing.assert_array_equal(decode_array(npy(fortran)), fortran)


def test_conversions_and_files(rng, tmp_path):
    deep = rng.integers(0, 65536, (4, 5, 2)).astype(np.uint16)
    np.testing.assert_allclose(as_values(deep), deep / 65535, rtol=1e-6)
    np.testing.assert_array_equal(as_bytes(deep), np.rint(deep / 65535 * 255))
    shallow = rng.integers(0, 256, (4, 5, 2)).astype(np.uint8)
    np.testing.assert_allclose(as_values(shallow), shallow / 255, rtol=1e-6)
    assert as_bytes(shallow) is shallow
    save_npy(tmp_path / "1.npy", as_values(deep))
    assert [path.name for path in tmp_path.iterdir()] == ["1.npy"]
    found = np.load(tmp_path / "1.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(decode_array(encode_npy(found)), as_values(deep))
    structure = structure_of(encode_npy(deep))
    assert (structure.width, structure.height, structure.channels) == (5, 4, 2)
    assert structure.is_16_bit
    assert not structure_of(encode_npy(shallow)).is_16_bit


@pytest.mark.parametrize(
    ("parts", "whole", "shown", "title"),
    [
        ((1,), True, 1, "input"),
        ((3,), True, 3, "input"),
        ((4,), True, 4, "input"),
        ((2,), False, 2, "input, channels 1 to 2 of 2"),
        ((5,), False, 3, "input, channels 1 to 3 of 5"),
        ((3, 1), False, 3, "input, channels 1 to 3 of 4"),
        ((1, 3), False, 1, "input, channel 1 of 4"),
        ((7, 3), False, 3, "input, channels 1 to 3 of 10"),
    ],
)
def test_previews(parts, whole, shown, title):
    assert preview.is_whole(parts) == whole
    assert preview.shown_channels(parts) == shown
    assert preview.titles({"inputs": parts}) == {"inputs": title}
