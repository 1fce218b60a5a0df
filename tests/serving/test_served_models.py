"""What is drawn for a model, its palette and its examples."""

import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from p2p_graph.config.data_options import ImageSource
from p2p_graph.config.options import Options
from p2p_graph.config.options_file import save_options
from p2p_graph.data.image_sources import names_digest
from p2p_graph.imaging.palettes import CITYSCAPES, FACADES
from p2p_graph.inference.export import export
from p2p_graph.serving.drawn_inputs import PEN
from p2p_graph.serving.served_models import load_models
from p2p_graph.utils.errors import UserError

from ..inference.test_formats import make_run
from .conftest import png


def labels_of(palette, rng):
    colours = np.array(list(palette.classes.values()), np.uint8)
    return np.repeat(np.repeat(colours[rng.integers(0, len(colours), (4, 4))], 8, 0), 8, 1)


def edges(rng):
    image = np.full((32, 32, 3), 255, np.uint8)
    image[rng.integers(0, 32, 40), rng.integers(0, 32, 40)] = 0
    return image


@pytest.mark.parametrize(
    ("kind", "palette", "draw"),
    [
        ("labels", FACADES, lambda rng: labels_of(FACADES, rng)),
        ("labels", CITYSCAPES, lambda rng: labels_of(CITYSCAPES, rng)),
        ("edges", PEN, edges),
        ("photo", None, lambda rng: rng.integers(0, 256, (32, 32, 3), np.uint8)),
    ],
    ids=["facades", "cityscapes", "edges", "photo"],
)
def test_the_kind_by_the_examples(runs, tmp_path, kind, palette, draw):
    rng = np.random.default_rng(4)
    for number in range(3):
        pair = [draw(rng), rng.integers(0, 256, (32, 32, 3), np.uint8)]
        png(np.concatenate(pair, axis=1), tmp_path / f"{number}.png")
    [model] = load_models([runs / "photos"], device="cpu", examples=str(tmp_path))
    assert (model.kind, model.palette) == (kind, palette)
    assert len(model.examples) == 3


@pytest.fixture(scope="module")
def exported(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    flags = {"checkpoint": str(runs / "facades_BtoA"), "output_dir": str(folder), "seed": 3}
    export({**flags, "format": "litert,litert-int8-weights"})
    return folder


def test_an_exported_model(runs, exported, rng):
    files = [exported / name for name in ("generator.tflite", "generator_int8_weights.tflite")]
    plain, small = load_models(files, device="cpu")
    [model] = load_models([runs / "facades_BtoA"], device="cpu")
    wanted = {**model.described(), "name": "generator", "fixed_seed": 3}
    assert plain.described() == wanted
    labels = png(labels_of(FACADES, rng))
    made = model.generator(labels, seed=3).astype(int)
    found = plain.generator(labels)
    assert (found.dtype, found.shape) == (np.uint8, (32, 32, 3))
    np.testing.assert_allclose(found, made, atol=1)
    np.testing.assert_array_equal(plain.generator(labels, seed=3), found)
    assert 0 < np.abs(small.generator(labels) - made).mean() < 12
    with pytest.raises(UserError, match="has the dropout masks of seed 3 alone"):
        plain.generator(labels, seed=4)
    with pytest.raises(UserError, match="the image is not an image"):
        plain.generator(b"none")


def test_exported_models_that_are_none(exported, tmp_path, monkeypatch):
    alone = tmp_path / "generator.tflite"
    contents = (exported / "generator.tflite").read_bytes()
    alone.write_bytes(contents)
    with pytest.raises(UserError, match=r"is no model in a folder that tools/export\.py wrote"):
        load_models([alone], device="cpu")
    for name in ("export.json", "options.json"):
        shutil.copy(exported / name, tmp_path)
    for damaged in (b"", contents[: len(contents) // 2], b"none" * 99):
        alone.write_bytes(damaged)
        with pytest.raises(UserError, match=r"generator\.tflite is damaged: write it again"):
            load_models([alone], device="cpu")
    alone.unlink()
    with pytest.raises(UserError, match=r"generator\.tflite does not exist"):
        load_models([alone], device="cpu")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(UserError, match="needs the package ai-edge-litert: pip install"):
        load_models([exported / "generator.tflite"], device="cpu")


def test_a_palette_beside_the_images(runs, tmp_path):
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "palette.csv").write_text("class,red,green,blue\na,1,2,3\nb,4,5,6\n")
    run = make_run(tmp_path / "run", crop_size=32, levels=3)
    data = str(tmp_path / "data" / "train")
    save_options(Options.of(crop_size=32, levels=3, ngf=2, ndf=1, input_dir=data), run)
    [model] = load_models([run], device="cpu")
    assert (model.kind, dict(model.palette.classes)) == ("labels", {"a": (1, 2, 3), "b": (4, 5, 6)})
    assert model.examples == []
    [model] = load_models([run], device="cpu", palette="facades")
    assert model.palette == FACADES


def save_pairs(folder, count, colour):
    folder.mkdir(parents=True)
    for number in range(count):
        png(np.full((32, 64, 3), colour, np.uint8), folder / f"{number}.png")


def test_images_that_were_moved_with_the_run(runs, tmp_path, capsys):
    """Also seen from the run's best checkpoint; without the images, a line says so."""
    was, now = tmp_path / "was", tmp_path / "now"
    save_pairs(was / "data" / "train", 2, (1, 2, 3))
    record = {"images": names_digest(ImageSource(str(was / "data" / "train")), single=False)}
    (was / "data" / "palette.csv").write_text("class,red,green,blue\na,1,2,3\nb,4,5,6\n")
    for folder in ("run", "run/best"):
        run = make_run(was / folder, crop_size=32, levels=3)
        paths = {"input_dir": str(was / "data" / "train"), "output_dir": str(was / "run")}
        save_options(Options.of(crop_size=32, levels=3, ngf=2, ndf=1, **paths), run, record)
    # A copy of the run in another project.
    save_pairs(tmp_path / "other" / "data" / "train", 3, (7, 8, 9))
    (tmp_path / "other" / "data" / "palette.csv").write_text(
        "class,red,green,blue\nc,7,8,9\nd,4,5,6\n"
    )
    shutil.copytree(was / "run", tmp_path / "other" / "run")
    [model] = load_models([tmp_path / "other" / "run"], device="cpu")
    assert list(model.palette.classes) == ["a", "b"]
    # The project moved, and the other one in its place.
    was.rename(now)
    shutil.copytree(tmp_path / "other", was)
    for model in load_models([now / "run", now / "run" / "best"], device="cpu"):
        assert list(model.palette.classes) == ["a", "b"]
    assert capsys.readouterr().out == ""
    (now / "data").rename(now / "other")
    shutil.rmtree(was)
    [model] = load_models([now / "run"], device="cpu")
    assert (model.kind, model.palette) == ("photo", None)
    assert f"note: {now / 'run'} was trained on {paths['input_dir']}, which is not there" in (
        capsys.readouterr().out
    )


def test_names_are_unique(runs, tmp_path):
    names = [model.name for model in load_models([runs / "photos"] * 3, device="cpu")]
    assert names == ["photos", "photos-2", "photos-3"]


def test_refusals(runs, tmp_path):
    with pytest.raises(UserError, match=r"examples .*none does not exist"):
        load_models([runs / "photos"], device="cpu", examples=str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"examples .* holds no images"):
        load_models([runs / "photos"], device="cpu", examples=str(tmp_path))
    with pytest.raises(UserError, match=r"checkpoint .*none does not exist"):
        load_models([tmp_path / "none"], device="cpu")
    run = make_run(tmp_path / "bands", crop_size=32, input_channels=5)
    with pytest.raises(UserError, match=r"bands takes or gives other images than those of one"):
        load_models([run], device="cpu")
    run = make_run(tmp_path / "two", crop_size=32, input_channels="3+1")
    with pytest.raises(UserError, match=r"two takes or gives other images than those of one"):
        load_models([run], device="cpu")


def test_examples_are_inputs(runs):
    """Of pairs the half that the model takes, at its size."""
    [model] = load_models([runs / "facades_BtoA"], device="cpu")
    with Image.open(runs / "facades" / "test" / "0.png") as pair:
        right = np.asarray(pair)[:, 32:]
    import io

    with Image.open(io.BytesIO(model.examples[0])) as example:
        np.testing.assert_array_equal(np.asarray(example), right)


def test_photos_to_labels_take_photos(runs, tmp_path):
    """Though a palette lies beside the images of training."""
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "palette.csv").write_text("class,red,green,blue\na,1,2,3\nb,4,5,6\n")
    photo = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    png(photo, tmp_path / "data" / "train" / "1.png")
    run = make_run(tmp_path / "run", crop_size=32, levels=3)
    data = str(tmp_path / "data" / "train")
    save_options(Options.of(crop_size=32, levels=3, ngf=2, ndf=1, input_dir=data), run)
    [model] = load_models([run], device="cpu")
    assert (model.kind, model.palette, len(model.examples)) == ("photo", None, 1)
