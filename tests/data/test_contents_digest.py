import shutil

import numpy as np
import pytest
from PIL import Image

from p2p_graph.config.data_options import ImageSource
from p2p_graph.data.contents_digest import contents_digest
from p2p_graph.data.image_sources import list_images
from p2p_graph.preparation.pack_records import pack_records
from p2p_graph.utils.errors import UserError


@pytest.fixture
def values(rng):
    return rng.integers(0, 256, (2, 3, 8, 8, 3), np.uint8)


@pytest.fixture
def folders(tmp_path, values):
    """Folders of inputs and of targets."""
    for name, images in zip(("a", "b"), values, strict=True):
        (tmp_path / name).mkdir()
        for number, image in enumerate(images, 1):
            Image.fromarray(image).save(tmp_path / name / f"{number}.png")
    return tmp_path / "a", tmp_path / "b"


def digest(inputs, targets=None):
    source = ImageSource(
        input_dir=str(inputs), target_dir=None if targets is None else str(targets)
    )
    return contents_digest(list_images(source, single=False))


def test_places_and_names_do_not_matter(folders, tmp_path):
    first = digest(*folders)
    for name, folder in zip(("c", "d"), folders, strict=True):
        shutil.copytree(folder, tmp_path / name)
        for number in (1, 2, 3):
            (tmp_path / name / f"{number}.png").rename(tmp_path / name / f"{number * 7 % 20}.png")
    assert digest(tmp_path / "c", tmp_path / "d") == first


def test_shards_of_the_same_files(folders, tmp_path):
    source = ImageSource(input_dir=str(folders[0]), target_dir=str(folders[1]))
    pack_records(source, tmp_path / "packed", 2, single=False)
    assert digest(tmp_path / "packed") == digest(*folders)


@pytest.mark.parametrize("change", ["an input", "a target", "the partners", "one less", "swapped"])
def test_other_images(folders, change):
    first, (inputs, targets) = digest(*folders), folders
    if change == "an input":
        shutil.copy(inputs / "2.png", inputs / "1.png")
    elif change == "a target":
        shutil.copy(targets / "2.png", targets / "1.png")
    elif change == "the partners":
        (targets / "1.png").rename(targets / "0.png")
        (targets / "2.png").rename(targets / "1.png")
        (targets / "0.png").rename(targets / "2.png")
    elif change == "one less":
        for folder in folders:
            (folder / "3.png").unlink()
    else:
        inputs, targets = targets, inputs
    assert digest(inputs, targets) != first


def test_archives(tmp_path, values):
    found = []
    others = (values, values[::-1], values.swapaxes(2, 3), values[:, :2])
    for number, arrays in enumerate(others):
        path = tmp_path / f"{number}.npz"
        np.savez(path, *arrays)
        found.append(digest(path))
    assert len(set(found)) == len(found)
    np.savez_compressed(tmp_path / "same.npz", inputs=values[0], targets=values[1])
    assert digest(tmp_path / "same.npz") == found[0]


def test_orientation(folders):
    """An image that is turned is another one."""
    images = list_images(ImageSource(input_dir=str(folders[0])), single=True)
    turned = [image._replace(orientations=(6,)) for image in images]
    assert contents_digest(turned) != contents_digest(images)


def test_a_file_that_has_gone(folders):
    images = list_images(ImageSource(input_dir=str(folders[0])), single=True)
    images[1].path.unlink()
    with pytest.raises(UserError, match=r"2\.png does not exist$"):
        contents_digest(images)
