from pathlib import Path

import pytest

from p2p_graph.config.dataset_recipes import RECIPES, choose, dataset_name
from p2p_graph.config.options import Options
from p2p_graph.utils.errors import UserError

# name: direction, epochs, batch, scale at a crop of 256, mirrored
TABLE = {
    "facades": ("BtoA", 200, 1, 286, True),
    "cityscapes": ("BtoA", 200, 1, 286, True),
    "maps": ("AtoB", 200, 1, 286, True),
    "edges2shoes": ("AtoB", 15, 4, 256, False),
    "edges2handbags": ("AtoB", 15, 4, 256, False),
    "night2day": ("BtoA", 17, 4, 286, True),
    "thermal2color": ("AtoB", 10, 4, 286, True),
    "colorization": ("AtoB", 6, 4, 256, True),
    "inpainting": ("AtoB", 25, 4, 286, True),
}
TASKS = {"colorization": (True, "none"), "inpainting": (False, "center")}  # not of pairs


def test_every_recipe_is_tested():
    assert set(RECIPES) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_options(name):
    direction, epochs, batch, scale, mirror = TABLE[name]
    config = Options.of(**RECIPES[name].options(256))
    assert config.data.task.which_direction == direction
    assert config.length.max_epochs == epochs
    assert config.data.batches.batch_size == batch
    assert config.data.scaling.scale_size == (scale, scale)
    assert config.data.scaling.flip is mirror
    task = config.data.task
    assert (task.lab_colorization, task.inpaint) == TASKS.get(name, (False, "none"))


@pytest.mark.parametrize(("name", "scale"), [("maps", 143), ("edges2shoes", 128)])
def test_scale_follows_the_crop(name, scale):
    config = Options.of(crop_size=128, **RECIPES[name].options(128))
    assert config.data.scaling.scale_size == (scale, scale)


def test_table_cannot_be_changed():
    with pytest.raises(TypeError):
        RECIPES["facades"] = RECIPES["maps"]


@pytest.mark.parametrize("split", ["train", "val", "test", "Train"])
@pytest.mark.parametrize("name", [name for name in TABLE if name not in TASKS])
def test_chosen_by_the_data_sets_folder(name, split):
    assert choose(None, Path("data") / name / split) == name


@pytest.mark.parametrize(
    "folder",
    [
        "data/facades",  # no split
        "data/facades/pairs",
        "data/facades/train/more",
        "data/Facades/train",
        "data/my_facades/train",
        "data/train",
        "data/colorization/train",  # might hold pairs
        "data/inpainting/train",
        "train",
        "/",
        "",
    ],
)
def test_other_folders_have_no_recipe(folder):
    assert choose(None, Path(folder)) == "none"


def test_folder_is_resolved(tmp_path, monkeypatch):
    folder = tmp_path / "maps" / "train"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert choose(None, Path()) == "maps"
    assert choose(None, Path("../train")) == "maps"


@pytest.mark.parametrize("name", ["none", *TABLE])
def test_a_name_overrides_the_folder(name):
    assert choose(name, Path("data/facades/train")) == name


@pytest.mark.parametrize("name", ["Facades", "", "edges"])
def test_unknown_name(name):
    with pytest.raises(UserError) as caught:
        choose(name, Path("data/facades/train"))
    assert str(caught.value).startswith("recipe must be one of ")
    assert repr(name) in str(caught.value)
    assert [known for known in [*TABLE, "none"] if known not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("data/facades/train", "facades"),
        ("data/facades/Val", "facades"),
        ("data/facades", "facades"),
        ("data/mine/test", "mine"),
        ("data/mine/images", "images"),
    ],
)
def test_dataset_name(folder, name):
    assert dataset_name(Path(folder)) == name
