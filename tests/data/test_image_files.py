import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2p_graph.data.decode_check import verifying_session
from p2p_graph.data.image_files import (
    SourceImage,
    find_entries,
    find_images,
    output_names,
)
from p2p_graph.data.usable_images import usable_images
from p2p_graph.utils.errors import UserError

WIDTH, HEIGHT = 40, 24


def noise(width=WIDTH, height=HEIGHT, channels=3):
    """A blocky image that no codec compresses to a few bytes."""
    blocks = np.random.default_rng(1).integers(0, 256, (height // 4 + 1, width // 4 + 1, channels))
    return np.uint8(blocks.repeat(4, axis=0).repeat(4, axis=1)[:height, :width])


def encoded(file_format, mode="RGB", image=None, **options):
    memory = io.BytesIO()
    image = Image.fromarray(noise()) if image is None else image
    image.convert(mode).save(memory, file_format, **options)
    return memory.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values, bits=16, interlaced=False):
    """A PNG of 16 bits a channel, or an interlaced one: Pillow writes neither."""
    height, width, channels = values.shape
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    passes = [*passes, (1, 0, 2, 1)] if interlaced else [(0, 0, 1, 1)]
    rows = []
    for top, left, down, right in passes:
        part = values[top::down, left::right].astype(">u2" if bits == 16 else np.uint8)
        rows += [b"\0" + row.tobytes() for row in part if row.size]
    kind = {1: 0, 3: 2}[channels]
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"".join(rows)))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def fill(folder, *names, data=b""):
    for name in names:
        (folder / name).write_bytes(data)


def found(folder):
    return [path.name for path in find_images(folder)]


def check(folder, pairs=True, skip_bad=False):
    with verifying_session() as verify:
        entries = find_entries(folder, None)
        return usable_images(entries, folder, verify, pairs=pairs, skip_bad=skip_bad)


def problem_line(folder, pairs=True):
    """The line that reports the only image in a folder."""
    with pytest.raises(UserError) as caught:
        check(folder, pairs)
    first, line = str(caught.value).splitlines()
    assert first.startswith(f"1 of 1 image in {folder} cannot be used")
    assert "--skip_bad" in first
    return line


def test_numbers_are_sorted_by_number(folder):
    fill(folder, "10.png", "9.png", "100.png", "1.png", "08.png")
    assert found(folder) == ["1.png", "08.png", "9.png", "10.png", "100.png"]


def test_equal_numbers_are_sorted_by_name(folder):
    fill(folder, "2.jpg", "1.png", "01.png", "1.jpg")
    assert found(folder) == ["01.png", "1.jpg", "1.png", "2.jpg"]


def test_one_name_that_is_no_number_sorts_by_name(folder):
    fill(folder, "10.png", "9.png", "b.png", "1.png", "B.png")
    assert found(folder) == ["1.png", "10.png", "9.png", "B.png", "b.png"]


@pytest.mark.parametrize("stem", ["²", "-1", "1.5", "1e3"])
def test_names_that_are_not_decimal_numbers(folder, stem):
    fill(folder, "10.png", "9.png", f"{stem}.png")
    assert found(folder) == sorted(["10.png", "9.png", f"{stem}.png"])


def test_suffixes_of_any_case_are_mixed(folder):
    names = ["1.jpg", "2.JPG", "3.jpeg", "4.Jpeg", "5.png", "6.PNG"]
    fill(folder, *reversed(names))
    assert found(folder) == names


def test_other_files_are_not_images(folder):
    fill(folder, "a.png", "b.gif", "c.txt", "d.png.txt", "png", ".png", "e.webp", "f.jpgx")
    (folder / "g.png").mkdir()
    assert found(folder) == ["a.png"]


def test_folders_inside_are_ignored(folder):
    (folder / "more").mkdir()
    fill(folder, "a.png", "more/b.png")
    assert find_images(folder) == [folder / "a.png"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text("x"), "is not a folder"),
        (lambda path: path.mkdir(), "holds no images (.jpg, .jpeg, .png)"),
        (lambda path: (path.mkdir(), fill(path, "a.txt")), "holds no images"),
        (
            lambda path: [(path / name).mkdir(parents=True) for name in ("val", "train")],
            "holds folders but no images: name one of them (train, val)",
        ),
    ],
    ids=["missing", "a file", "empty", "no image", "folders"],
)
def test_folder_that_cannot_be_used(make, message, tmp_path):
    path = tmp_path / "data"
    make(path)
    for function in (find_images, check):
        with pytest.raises(UserError) as caught:
            function(path)
        assert str(caught.value).startswith(f"input_dir {path} {message}")
        assert "\n" not in str(caught.value)


def test_folder_of_many_folders_names_the_first(folder):
    for i in range(30):
        (folder / f"{i:02d}").mkdir()
    with pytest.raises(UserError) as caught:
        find_images(folder)
    assert "18, 19)" in str(caught.value)
    assert "20" not in str(caught.value).partition("(")[2]


@pytest.mark.parametrize(
    ("names", "outputs"),
    [
        (["1.jpg", "2.png"], ["1", "2"]),
        (["1.jpg", "1.png", "2.png"], ["1.jpg", "1.png", "2"]),
        (["a.PNG", "a.png", "A.png"], ["a.PNG", "a.png", "A"]),
        (["a.b.jpg"], ["a.b"]),
        ([], []),
    ],
    ids=str,
)
def test_output_names(names, outputs):
    assert output_names([Path("x") / name for name in names]) == outputs


def test_output_names_are_never_equal():
    names = ["a.jpg", "a.png", "a.png.jpg"]
    assert len(set(output_names([Path(name) for name in names]))) == len(names)


def test_long_output_names():
    """What is added to them fits, characters stay whole, and names stay different."""
    stems = ["x" * 251, "x" * 250 + "y", "é" * 125, "日" * 83, "x" * 200]
    names = output_names([Path(f"{stem}.png") for stem in stems])
    assert [len(name.encode()) for name in names] == [200, 200, 199, 199, 200]
    assert [name[:60] for name in names] == [stem[:60] for stem in stems]
    assert len(set(names)) == len(names)
    assert names[-1] == stems[-1]
    # An image that has another's shortened name.
    names = output_names([Path(f"{stems[0]}.png"), Path(f"{names[0]}.png")])
    assert [name[:6] for name in names] == ["00001_", "00002_"]
    assert max(len(name.encode()) for name in names) == 200


GOOD = {
    "JPEG": (encoded("JPEG"), False),
    "progressive JPEG": (encoded("JPEG", progressive=True), False),
    "grey JPEG": (encoded("JPEG", "L"), False),
    "CMYK JPEG": (encoded("JPEG", "CMYK"), False),
    "two images in a JPEG": (
        encoded("MPO", save_all=True, append_images=[Image.fromarray(noise())]),
        False,
    ),
    # As telephones write a film after the image.
    "JPEG with more behind": (encoded("JPEG") + bytes(9), False),
    "PNG": (encoded("PNG"), False),
    "PNG with more behind": (encoded("PNG") + b"IDAT" * 9, False),
    "grey PNG": (encoded("PNG", "L"), False),
    "grey and alpha PNG": (encoded("PNG", "LA"), False),
    "RGBA PNG": (encoded("PNG", "RGBA"), False),
    "palette PNG": (encoded("PNG", "P"), False),
    "palette PNG with a hole": (encoded("PNG", "P", transparency=0), False),
    "1 bit PNG": (encoded("PNG", "1"), False),
    "interlaced PNG": (png(noise(), bits=8, interlaced=True), False),
    "grey 16-bit PNG": (png(noise(channels=1) * np.uint16(256)), True),
    "RGB 16-bit PNG": (png(noise() * np.uint16(256)), True),
    "interlaced 16-bit PNG": (png(noise() * np.uint16(256), interlaced=True), True),
}


@pytest.mark.parametrize("name", ["1.png", "1.jpg", "1.JPEG"])
@pytest.mark.parametrize("kind", GOOD)
def test_usable(folder, kind, name):
    data, is_16_bit = GOOD[kind]
    fill(folder, name, data=data)
    assert check(folder) == [SourceImage(folder / name, WIDTH, HEIGHT, is_16_bit)]


def test_hand_made_png_has_the_expected_pixels(folder):
    fill(folder, "1.png", data=png(noise(), bits=8, interlaced=True))
    with Image.open(folder / "1.png") as image:
        assert image.info["interlace"] == 1
        np.testing.assert_array_equal(image, noise())


def damaged(data, position):
    return data[:position] + bytes([data[position] ^ 255]) + data[position + 1 :]


JPEG, PNG = encoded("JPEG", quality=95), encoded("PNG")
BAD = {
    "empty": (b"", "is empty"),
    "text": (b"this is no image, whatever its name", "is not an image"),
    "zeros": (bytes(500), "is not an image"),
    "GIF": (encoded("GIF"), "is GIF, neither JPEG nor PNG"),
    "WEBP": (encoded("WEBP"), "is WEBP, neither JPEG nor PNG"),
    "BMP": (encoded("BMP"), "is BMP, neither JPEG nor PNG"),
    "JPEG, its half": (JPEG[: len(JPEG) // 2], "cannot be decoded: "),
    "JPEG, its first bytes": (JPEG[:30], ""),
    "JPEG without its end": (JPEG[:-2], "cannot be decoded: "),
    "progressive JPEG, its half": (
        (lambda data: data[: len(data) // 2])(encoded("JPEG", progressive=True)),
        "cannot be decoded: ",
    ),
    "PNG, its half": (PNG[: len(PNG) // 2], "cannot be decoded: "),
    "PNG, its first bytes": (PNG[:30], ""),
    "PNG without its header's end": (PNG[:20], ""),
    # TensorFlow refuses these; Pillow alone would not.
    "PNG without its last chunk": (PNG[:-12], "cannot be decoded: "),
    "PNG without its last bytes": (PNG[:-20], "cannot be decoded: "),
    "PNG with a wrong checksum": (damaged(PNG, len(PNG) - 13), "cannot be decoded: "),
    "PNG with a wrong byte": (damaged(PNG, len(PNG) // 2), "cannot be decoded: "),
    "PNG with a wrong header": (damaged(PNG, 19), ""),
}


@pytest.mark.parametrize("name", ["1.png", "1.jpg"])
@pytest.mark.parametrize("kind", BAD)
def test_not_usable(folder, kind, name):
    data, message = BAD[kind]
    fill(folder, name, data=data)
    assert problem_line(folder).startswith(f"  {folder / name}: {message}")


@pytest.mark.parametrize(
    ("width", "message"),
    [
        (1, "is 1 pixel wide, too narrow for two halves"),
        (7, "is 7 pixels wide: two equal halves need an even width"),
    ],
)
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_pairs_have_two_equal_halves(folder, width, message, file_format):
    fill(folder, "1.png", data=encoded(file_format, image=Image.fromarray(noise(width))))
    assert problem_line(folder) == f"  {folder / '1.png'}: {message}"
    assert check(folder, pairs=False) == [SourceImage(folder / "1.png", width, HEIGHT, False)]


def test_narrowest_pair(folder):
    fill(folder, "1.png", data=encoded("PNG", image=Image.fromarray(noise(2, 1))))
    assert check(folder) == [SourceImage(folder / "1.png", 2, 1, False)]


@pytest.mark.parametrize(("bad", "left"), [(20, None), (21, "1 more"), (33, "13 more")])
def test_first_twenty_problems_are_listed(folder, bad, left):
    fill(folder, *(f"{i}.png" for i in range(bad)))
    fill(folder, "500.png", data=PNG)
    with pytest.raises(UserError) as caught:
        check(folder)
    first, *lines = str(caught.value).splitlines()
    assert first.startswith(f"{bad} of {bad + 1} images in {folder} cannot be used; ")
    assert lines[:20] == [f"  {folder / f'{i}.png'}: is empty" for i in range(20)]
    assert lines[20:] == ([f"  ... and {left}"] if left else [])


def test_skip_bad_leaves_out_unusable_images(folder, capsys):
    fill(folder, "1.png", "3.png", data=PNG)
    fill(folder, "2.png", "4.jpg", data=b"x")
    assert [image.path.name for image in check(folder, skip_bad=True)] == ["1.png", "3.png"]
    out, err = capsys.readouterr()
    assert out == ""
    first, *lines = err.splitlines()
    assert first == f"2 of 4 images in {folder} cannot be used, continuing without them:"
    assert lines == [f"  {folder / name}: is not an image" for name in ("2.png", "4.jpg")]


def test_skip_bad_is_quiet_without_unusable_images(folder, capsys):
    fill(folder, "1.png", data=PNG)
    assert len(check(folder, skip_bad=True)) == 1
    assert capsys.readouterr() == ("", "")


def test_skip_bad_needs_a_usable_image(folder):
    fill(folder, "1.png", "2.png")
    with pytest.raises(UserError) as caught:
        check(folder, skip_bad=True)
    assert str(caught.value).startswith(f"2 of 2 images in {folder} cannot be used, so no image ")
    assert "--skip_bad" not in str(caught.value)


def test_order_does_not_depend_on_image_size(folder):
    for i in range(40):
        size = 200 if i % 3 == 0 else 4
        fill(folder, f"{i}.png", data=encoded("PNG", image=Image.fromarray(noise(size, size))))
    assert [image.path.stem for image in check(folder)] == [str(i) for i in range(40)]


def test_a_name_that_is_not_utf_8(folder):
    name = b"caf\xe9.png"
    fill(folder, os.fsdecode(name), data=encoded("PNG"))
    assert problem_line(folder).endswith(": has a name that is not UTF-8")


def test_broken_link(folder):
    fill(folder, "1.png", data=encoded("PNG"))
    (folder / "2.png").symlink_to("gone.png")
    (folder / "3.png").symlink_to("1.png")
    with pytest.raises(UserError, match="1 of 3 images") as caught:
        check(folder)
    assert str(caught.value).endswith("/2.png: does not exist")


# Partners in another folder


@pytest.fixture
def targets(tmp_path):
    other = tmp_path / "targets"
    other.mkdir()
    return other


def partners(folder, targets, **options):
    options = {"pairs": False, "skip_bad": False, **options}
    with verifying_session() as verify:
        return usable_images(find_entries(folder, targets), folder, verify, **options)


def test_partners_have_the_same_name_and_any_suffix(folder, targets):
    fill(folder, "1.png", "2.jpg", "10.JPG", data=encoded("PNG"))
    fill(targets, "10.png", "2.jpeg", "3.png", data=encoded("PNG"))
    fill(targets, "1.png", data=png(np.zeros((HEIGHT, WIDTH, 3))))
    assert partners(folder, targets) == [
        SourceImage(folder / "1.png", WIDTH, HEIGHT, True, targets / "1.png"),
        SourceImage(folder / "2.jpg", WIDTH, HEIGHT, False, targets / "2.jpeg"),
        SourceImage(folder / "10.JPG", WIDTH, HEIGHT, False, targets / "10.png"),
    ]


def test_partners_that_do_not_fit(folder, targets, capsys):
    fill(folder, *(f"{name}.png" for name in "abcdef"), "e.jpg", data=encoded("PNG"))
    fill(targets, "a.png", "c.png", "c.jpg", "e.png", data=encoded("PNG"))
    fill(targets, "d.png", data=b"no image")
    fill(targets, "f.png", data=encoded("PNG", image=Image.fromarray(noise(8, 6))))
    twice = f"shares its name with another file in its folder or in {targets}"
    wanted = [
        f"  {folder / 'b.png'}: has no partner in {targets}",
        f"  {folder / 'c.png'}: {twice}",
        f"  {folder / 'd.png'}: has the partner {targets / 'd.png'}, which is not an image",
        f"  {folder / 'e.jpg'}: {twice}",
        f"  {folder / 'e.png'}: {twice}",
        f"  {folder / 'f.png'}: is 40x24 pixels, its partner {targets / 'f.png'} 8x6",
    ]
    with pytest.raises(UserError) as caught:
        partners(folder, targets)
    assert str(caught.value).splitlines()[1:] == wanted
    [image] = partners(folder, targets, skip_bad=True)
    assert image.target == targets / "a.png"
    assert capsys.readouterr().err.splitlines()[1:] == wanted


def test_no_folder_of_partners(folder, tmp_path):
    fill(folder, "1.png", data=encoded("PNG"))
    with pytest.raises(UserError, match=r"^target_dir .*nowhere does not exist"):
        partners(folder, tmp_path / "nowhere")
