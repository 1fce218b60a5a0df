"""LPIPS, where the authors' package is installed; what is refused, everywhere."""

import sys

import numpy as np
import pytest

from p2p_graph.evaluation.lpips_distance import lpips_metric
from p2p_graph.metrics.registry import DecodedExample
from p2p_graph.utils.errors import UserError

SIZES = ((64, 3, 11), (192, 64, 5), (384, 192, 3), (256, 384, 3), (256, 256, 3))
POSITIONS = (0, 3, 6, 8, 10)  # of AlexNet's convolutions in torchvision's list of layers


@pytest.mark.parametrize("missing", ["torch", "lpips"])
def test_a_missing_package_is_named(monkeypatch, tmp_path, missing):
    for name in ("torch", "lpips"):
        monkeypatch.setitem(sys.modules, name, None if name == missing else sys)
    with pytest.raises(UserError, match=f"lpips_weights needs {missing}, which is not installed"):
        lpips_metric(tmp_path / "alexnet.pth")


@pytest.fixture
def torch():
    pytest.importorskip("lpips")
    return pytest.importorskip("torch")


@pytest.fixture
def alexnet(torch, rng):
    """Random parameters of AlexNet's convolutions, by torchvision's names."""
    found = {}
    for position, (out, into, side) in zip(POSITIONS, SIZES, strict=True):
        scale = (2 / (into * side**2)) ** 0.5
        filters = rng.normal(0, scale, (out, into, side, side)).astype(np.float32)
        found[f"features.{position}.weight"] = torch.from_numpy(filters)
        found[f"features.{position}.bias"] = torch.from_numpy(rng.normal(size=out).astype("f"))
    return found


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torchvision, by the package
def test_distance_is_numpys(torch, alexnet, rng, tmp_path):
    """The first layer's part and the others', with the package's own weights of judgements."""
    import lpips

    torch.save(alexnet, tmp_path / "alexnet.pth")
    metric = lpips_metric(tmp_path / "alexnet.pth")
    output, target = (rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(2))
    found = metric.figures(metric.statistics(DecodedExample("a", output, target)))["lpips"]
    judged = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).lins
    relu, pool = torch.relu, torch.nn.MaxPool2d(3, 2)
    total, images = 0.0, []
    for image in (output, target):
        values = (image / 127.5 - 1 - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
        images.append(torch.from_numpy(values.transpose(2, 0, 1)[None].astype("f")))
    for number, position in enumerate(POSITIONS):
        filters, bias = (alexnet[f"features.{position}.{part}"] for part in ("weight", "bias"))
        stride, padding = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))[number]
        if number in (1, 2):
            images = [pool(x) for x in images]
        images = [
            relu(torch.conv2d(x, filters, bias, stride=stride, padding=padding)) for x in images
        ]
        one, other = (x[0].numpy() / np.sqrt((x[0].numpy() ** 2).sum(0)) for x in images)
        weights = judged[number].model[-1].weight.detach().numpy()[0, :, 0, 0]
        total += np.einsum("c,chw->hw", weights, (one - other) ** 2).mean()
    assert found == pytest.approx(total, rel=1e-3)
    assert metric.statistics(DecodedExample("a", target, target))[0] == 0
    assert not metric.larger_is_better


def test_refuses_other_files(torch, alexnet, tmp_path):
    def refused(contents, words):
        path = tmp_path / "weights.pth"
        torch.save(contents, path)
        with pytest.raises(UserError, match=words) as raised:
            lpips_metric(path)
        assert "\n" not in str(raised.value)

    refused({"conv1.weight": torch.zeros(3)}, "is neither AlexNet nor VGG-16")
    refused([1, 2], "is neither AlexNet nor VGG-16")
    refused(alexnet | {"features.3.bias": torch.zeros(7)}, r"lacks features\.3\.bias of the right")
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(UserError, match="cannot be read"):
        lpips_metric(tmp_path / "text.pth")
    with pytest.raises(UserError, match="does not exist"):
        lpips_metric(tmp_path / "nothing.pth")
