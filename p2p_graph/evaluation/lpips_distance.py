"""LPIPS: the distance of two images' features, weighted by human judgements.

Zhang, Isola, Efros, Shechtman and Wang 2018, "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric". The authors' package lpips computes it and holds the weights of the judgements.
It would download the network's ImageNet weights: here, a person names the file.
"""

import importlib
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from p2p_graph.metrics.registry import DecodedExample, SetMetric
from p2p_graph.utils.errors import UserError, one_line_reason
from p2p_graph.utils.outside_files import open_regular

_INSTALL = "pip install -c constraints.txt -e '.[lpips]'"
_FIRST_FILTER = "features.0.weight"
# The size of the first filters tells which network a file holds.
_NETWORKS = {11: "alex", 3: "vgg"}

Array = np.ndarray[Any, Any]


def lpips_metric(weights: Path) -> SetMetric:
    """Makes the metric: the mean distance of outputs and targets.

    Args:
      weights: AlexNet's or VGG-16's parameters by name, as torchvision publishes them (.pth).

    Raises:
      UserError: a package is not installed, or the file cannot be read or is of another network.
    """
    distance = _Distance(weights)
    return SetMetric(
        lambda example: np.array([distance(example)]),
        lambda mean: {"lpips": float(mean[0])},
        larger_is_better=False,
    )


class _Distance:
    """LPIPS of one image and its target, version 0.1."""

    def __init__(self, path: Path) -> None:
        try:
            self._torch, package = (importlib.import_module(name) for name in ("torch", "lpips"))
        except ImportError as error:
            raise UserError(
                f"lpips_weights needs {error.name}, which is not installed: {_INSTALL}"
            ) from None
        parameters = self._read(path)
        network = _NETWORKS[parameters[_FIRST_FILTER].shape[-1]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torchvision, by the package's use of it
            self._network = package.LPIPS(net=network, pnet_rand=True, verbose=False)
        self._network.net.load_state_dict(self._renamed(path, parameters))

    def __call__(self, example: DecodedExample) -> float:
        """The distance, at least 0."""
        with self._torch.no_grad():
            return float(self._network(*map(self._tensor, (example.output, example.target))))

    def _tensor(self, image: Array) -> Any:
        """Converts uint8 [H, W, 3 or 1] to [1, 3, H, W] in [-1, 1]."""
        rgb = np.broadcast_to(image, (*image.shape[:2], 3))
        values = rgb.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
        return self._torch.from_numpy(values)

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            with open_regular(path) as file:
                # Only tensors are read: a pickle of anything else is refused.
                found = self._torch.load(file, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise UserError(f"lpips_weights {path} does not exist") from None
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            reason = one_line_reason(error)
            raise UserError(f"lpips_weights {path} cannot be read: {reason}") from None
        first = found.get(_FIRST_FILTER) if isinstance(found, dict) else None
        if first is None or list(first.shape) not in [[64, 3, size, size] for size in _NETWORKS]:
            raise UserError(
                f"lpips_weights {path} is neither AlexNet nor VGG-16: name torchvision's file"
            )
        parameters: dict[str, Any] = found
        return parameters

    def _renamed(self, path: Path, parameters: dict[str, Any]) -> dict[str, Any]:
        """The parameters by the package's names: slice2.3.weight is features.3.weight."""
        wanted = self._network.net.state_dict()
        names = {name: f"features.{name.partition('.')[2]}" for name in wanted}
        for name, source in names.items():
            if source not in parameters or parameters[source].shape != wanted[name].shape:
                raise UserError(f"lpips_weights {path} lacks {source} of the right shape")
        return {name: parameters[source] for name, source in names.items()}
