"""Image files, single and in folders."""

from hypothesis import strategies as st

from . import valid_files
from .binary_strategies import crafted_pngs
from .strategies import Files, damaged_file

_files = st.one_of(
    damaged_file(valid_files.images()),
    damaged_file({k: v for k, v in valid_files.images().items() if k.endswith((".png", ".jpg"))}),
    crafted_pngs(),
    st.sampled_from(sorted(valid_files.images().items())).map(lambda named: (named[1], named[0])),
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


def test_folder_of_images(fuzz_files):
    names = st.sampled_from(
        (
            *(
                "1.png",
                "2.png",
                "3.jpg",
                "10.png",
                "a.jpeg",
                "a.png",
                "b.PNG",
                "1.PNG",
                "٣.png",
                "².png",
            ),
            *(
                "a\nb.png",
                "\udcff.png",
                "é.png",
                "[a].png",
                ".png",
                " .png",
                "a.png.jpg",
                "notes.txt",
            ),
            *("9" * 200 + ".png", "-.png", "sub/1.png", "x" * 250 + ".png", "9" * 251 + ".png"),
        )
    )
    one = st.tuples(names, _files)

    def case(found):
        named = {name: contents for name, (contents, _) in found}
        return Files(tuple(named.items()), (), "; ".join(note for _, (_, note) in found))

    cases = st.lists(one, min_size=1, max_size=4).map(case)
    fuzz_files("image folder", cases, "image_readers:image_folder")
