"""Archives of images and of statistics (.npz), and of data sets (.tar.gz)."""

from hypothesis import strategies as st

from . import valid_files
from .binary_strategies import moments_arrays, npz_archives, tar_archives
from .strategies import Files, damaged_file, damaged_in_folder


def test_images_npz(fuzz_files):
    archives = st.one_of(
        damaged_file(valid_files.npz()),
        npz_archives(("arr_0", "arr_1"), valid_files.npy()),
        npz_archives(("A", "B"), valid_files.npy()),
        npz_archives(("arr_0",), valid_files.npy()),
    )
    names = st.sampled_from((None, None, None, "arr_0,arr_1", "A,B", "arr_0", "x,x", "", ",", "é"))
    cases = st.builds(
        lambda found, names, single: Files((("images.npz", found[0]),), (names, single), found[1]),
        archives,
        names,
        st.booleans(),
    )
    fuzz_files("images.npz", cases, "image_readers:npz_images")


def test_statistics_npz(fuzz_files):
    valid = valid_files.moments()
    arrays = {
        name.removesuffix(".npy"): contents
        for name, contents in valid_files.unzipped(valid_files.savez(valid)).items()
    }
    cases = st.one_of(
        damaged_in_folder("statistics.npz", {"statistics.npz": valid_files.savez(valid)}),
        moments_arrays(valid).map(
            lambda changed: Files((("statistics.npz", valid_files.savez(changed)),), (), "arrays")
        ),
        npz_archives(tuple(arrays), arrays).map(
            lambda found: Files((("statistics.npz", found[0]),), (), found[1])
        ),
    )
    fuzz_files("statistics.npz", cases, "image_readers:moments_npz")


def test_tar_archive(fuzz_files):
    cases = st.one_of(
        damaged_in_folder("facades.tar.gz", valid_files.tar_archives()),
        tar_archives().map(lambda found: Files((("facades.tar.gz", found[0]),), (), found[1])),
    )
    fuzz_files("tar archive", cases, "download_readers:tar_archive")
