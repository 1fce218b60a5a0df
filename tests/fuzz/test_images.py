"""Image files, single and in folders."""

from hypothesis import strategies as st

from . import valid_files
from .binary_strategies import crafted_pngs, npy_files
from .strategies import Files, damaged_file

_valid = valid_files.images()
_files = st.one_of(
    damaged_file(_valid),
    damaged_file({name: _valid[name] for name in _valid if name.endswith((".png", ".jpg"))}),
    crafted_pngs(),
    st.sampled_from(sorted(_valid)).map(lambda name: (_valid[name], name)),
)
_NAMES = (
    *("1.png", "2.png", "3.jpg", "10.png", "a.jpeg", "a.png", "b.PNG", "1.PNG", "٣.png", "².png"),
    *("a\nb.png", "\udcff.png", "é.png", "[a].png", ".png", " .png", "a.png.jpg", "notes.txt"),
    *("9" * 200 + ".png", "-.png", "sub/1.png", "x" * 250 + ".png", "9" * 251 + ".png"),
)


def test_image_file(fuzz_files):
    names = st.sampled_from(("image.png", "image.jpg", "image.jpeg", "image.PNG"))
    cases = st.builds(
        lambda name, found, pairs: Files(((name, found[0]),), (pairs,), found[1]),
        names,
        _files,
        st.booleans(),
    )
    fuzz_files("image", cases, "image_readers:image_file")


def test_array_file(fuzz_files):
    valid = valid_files.arrays()
    of_numpy = {name: valid[name] for name in valid if name.endswith(".npy")}

    def case(found):
        contents, suffix = found
        return Files(((f"image{suffix}", contents),), (), f"{contents[:200]!r}")

    damaged = st.sampled_from(sorted(valid)).flatmap(
        lambda name: st.tuples(
            damaged_file({name: valid[name]}).map(lambda found: found[0]), st.just(name[-4:])
        )
    )
    crafted = npy_files(of_numpy).map(lambda found: (found[0], ".npy"))
    whole = st.sampled_from(sorted(valid)).map(lambda name: (valid[name], name[-4:]))
    fuzz_files("array", st.one_of(damaged, crafted, whole).map(case), "image_readers:array_file")


def test_folder_of_images(fuzz_files):
    names = st.sampled_from(_NAMES)
    one = st.tuples(names, _files)

    def case(found):
        named = {name: contents for name, (contents, _) in found}
        return Files(tuple(named.items()), (), "; ".join(note for _, (_, note) in found))

    cases = st.lists(one, min_size=1, max_size=4).map(case)
    fuzz_files("image folder", cases, "image_readers:image_folder")
