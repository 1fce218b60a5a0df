"""Metrics against other programs' own functions, where these are installed (the extra `peers`).

    python -m pytest tests/metrics/test_metric_peers.py -s

prints the largest relative difference of each metric, as docs/METRICS.md has them.
"""

import importlib

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from p2p_graph.metrics.color_histogram import histogram_intersections, lab_histograms
from p2p_graph.metrics.feature_moments import FeatureMoments
from p2p_graph.metrics.fid import frechet_distance
from p2p_graph.metrics.kid import kid
from p2p_graph.metrics.l1 import l1
from p2p_graph.metrics.label_scores import confusion_matrix, label_scores
from p2p_graph.metrics.psnr import psnr
from p2p_graph.metrics.ssim import ssim

CLASSES = 19  # of Cityscapes


def smooth(rng, size=(96, 128, 3)):
    """A photo-like image: smooth areas and some noise."""
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    image = np.asarray(small.resize(size[1::-1], Image.Resampling.BICUBIC), float)
    return np.uint8(np.clip(image + rng.normal(0, 8, size), 0, 255))


def report(metric, peer, pairs, most):
    """Prints and checks the largest relative difference of (ours, the peer's) figures."""
    largest = max(abs(ours - theirs) / abs(theirs) for ours, theirs in pairs)
    print(f"| {metric} | {peer} | {largest:.1e} |")
    assert largest < most


@pytest.fixture
def pairs(rng):
    return [(smooth(rng), smooth(rng)) for _ in range(8)]


def test_images_against_scikit_image(pairs):
    report(
        "PSNR",
        "scikit-image",
        [(psnr(*p), peak_signal_noise_ratio(*p[::-1])) for p in pairs],
        1e-12,
    )
    given = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    found = [
        (ssim(*p), structural_similarity(*p, data_range=255, channel_axis=2, **given))
        for p in pairs
    ]
    report("SSIM", "scikit-image", found, 1e-3)
    roots = [
        (np.sqrt(255**2 / 10 ** (psnr(*p) / 10)), mean_squared_error(*p) ** 0.5) for p in pairs
    ]
    report("root of the mean squared error", "scikit-image", roots, 1e-12)


def test_l1_against_numpy(pairs):
    found = [(l1(*p), np.abs(p[0].astype(float) - p[1]).mean() / 127.5) for p in pairs]
    report("L1", "NumPy", found, 1e-12)


def test_histograms_against_numpy_and_scikit_image(pairs):
    """Of Lab by scikit-image: its values may lie in a neighbouring bin."""
    figures = histogram_intersections(
        *(np.sum([lab_histograms(p[i]) for p in pairs], 0) for i in (0, 1))
    )
    found = []
    edges = {"l": np.arange(101), "a": np.arange(-128, 129), "b": np.arange(-128, 129)}
    for channel, (name, bins) in enumerate(edges.items()):
        shares = []
        for i in (0, 1):
            values = np.stack([rgb2lab(p[i])[..., channel] for p in pairs]).ravel()
            counts = np.histogram(values.clip(bins[0], bins[-1]), bins)[0]
            shares.append(counts / counts.sum())
        found.append((figures[f"histogram_{name}"], np.minimum(*shares).sum()))
    report("histogram intersection", "NumPy, Lab by scikit-image", found, 2e-3)


@pytest.fixture
def features(rng):
    """Features of two sets of 300 images, 64 of each."""
    mixing = rng.normal(0, 0.3, (64, 64))
    return tuple(
        np.abs(rng.normal(shift, 1, (300, 64)) @ mixing).astype(np.float32) for shift in (0, 0.2)
    )


def moments_of(values):
    moments = FeatureMoments(values.shape[1])
    moments.add(values)
    return moments


def test_fid_against_torch_fidelity(features):
    pytest.importorskip("torch_fidelity")
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    statistics = [
        {"mu": v.mean(0, np.float64), "sigma": np.cov(v.astype(float), rowvar=False)}
        for v in features
    ]
    [wanted] = fid_statistics_to_metric(*statistics, verbose=False).values()
    found = frechet_distance(*map(moments_of, features))
    report("FID", "torch-fidelity", [(found, wanted)], 1e-9)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of SciPy, by its use of sqrtm
def test_fid_against_clean_fid(features):
    pytest.importorskip("cleanfid")
    from cleanfid.fid import frechet_distance as clean_distance

    statistics = [(v.mean(0, np.float64), np.cov(v.astype(float), rowvar=False)) for v in features]
    (mean_1, cov_1), (mean_2, cov_2) = statistics
    wanted = clean_distance(mean_1, cov_1, mean_2, cov_2)
    found = frechet_distance(*map(moments_of, features))
    report("FID", "clean-fid", [(found, wanted)], 1e-9)


def test_kid_against_torch_fidelity(features):
    """Over all images: random subsets would differ."""
    torch_fidelity = pytest.importorskip("torch_fidelity")
    import torch
    from torch_fidelity.metric_kid import kid_features_to_metric

    of_all = kid_features_to_metric(
        *(torch.from_numpy(values.astype(float)) for values in features),
        kid_subsets=1,
        kid_subset_size=300,
        verbose=False,
        rng_seed=0,
    )
    wanted = of_all[torch_fidelity.KEY_METRIC_KID_MEAN]
    found = kid(*features, subsets=1, subset_size=300).mean
    report("KID", "torch-fidelity", [(found, wanted)], 1e-9)


def test_label_scores_against_cityscapes(rng, tmp_path):
    """By the data set's own program: class IoU, and its average over classes."""
    pytest.importorskip("cityscapesscripts")
    program = importlib.import_module("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    from cityscapesscripts.helpers.labels import trainId2label

    truth = rng.integers(0, CLASSES + 1, (3, 40, 60))
    predicted = np.where(
        rng.random(truth.shape) < 0.6, truth, rng.integers(0, CLASSES, truth.shape)
    )
    predicted = np.minimum(predicted, CLASSES - 1)  # the program wants a class of every pixel
    ids = np.array([*(trainId2label[i].id for i in range(CLASSES)), 0], np.uint8)
    program.args.evalLabels = [label.id for label in program.labels if label.id >= 0]
    program.args.evalInstLevelScore = False
    program.args.evalPixelAccuracy = False
    theirs = program.generateMatrix(program.args)
    for number, kinds in enumerate(zip(predicted, truth, strict=True)):
        paths = [tmp_path / f"{number}-{kind}.png" for kind in ("predicted", "truth")]
        for path, values in zip(paths, kinds, strict=True):
            Image.fromarray(ids[values]).save(path)
        program.evaluatePair(*map(str, paths), theirs, {}, {}, program.args)
    scores = [program.getIouScoreForLabel(int(i), theirs, program.args) for i in ids[:CLASSES]]
    ours = sum(confusion_matrix(p, t, CLASSES) for p, t in zip(predicted, truth, strict=True))
    found = label_scores(ours)["class_iou"]
    report("class IoU", "cityscapesScripts", [(found, np.mean(scores))], 1e-12)
