"""Small models to serve."""

import numpy as np
import pytest
from PIL import Image

from p2p_graph.config.options_file import save_options
from p2p_graph.imaging.palettes import FACADES
from p2p_graph.serving.served_models import load_models

from ..inference.test_formats import make_run


def png(image, path=None):
    import io

    contents = io.BytesIO()
    Image.fromarray(image).save(contents, "PNG")
    if path is not None:
        path.write_bytes(contents.getvalue())
    return contents.getvalue()


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A run of labels to photos, with test images, and one that takes photos."""
    from p2p_graph.config.options import Options

    root = tmp_path_factory.mktemp("serving")
    rng = np.random.default_rng(3)
    colours = np.array(list(FACADES.classes.values()), np.uint8)
    for kind in ("train", "test"):
        (root / "facades" / kind).mkdir(parents=True)
        for number in range(2):
            labels = np.repeat(np.repeat(colours[rng.integers(0, 12, (4, 4))], 8, 0), 8, 1)
            photo = rng.integers(0, 256, (32, 32, 3), np.uint8)
            pair = np.concatenate([photo, labels], axis=1)
            png(pair, root / "facades" / kind / f"{number}.png")
    options = {"crop_size": 32, "levels": 3, "ngf": 4}
    data = {"input_dir": str(root / "facades" / "train"), "which_direction": "BtoA"}
    make_run(root / "facades_BtoA", **options, **data)
    make_run(root / "photos", **options, which_direction="AtoB")
    save_options(Options.of(**options, **data), root / "facades_BtoA")
    return root


@pytest.fixture(scope="session")
def models(runs):
    return load_models([runs / "facades_BtoA", runs / "photos"], device="cpu")
