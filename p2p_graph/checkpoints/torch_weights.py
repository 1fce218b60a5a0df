"""The weights of junyanz's PyTorch networks, as native arrays and back.

https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py: `UnetGenerator`,
`NLayerDiscriminator` (basic, n_layers) and `PixelDiscriminator` with batch normalisation. A `.pth`
file of that program is a state dictionary, from names such as `model.model.0.weight` to tensors.

A convolution's filter is [C_out, C_in, k, k] there and [k, k, C_in, C_out] here; a transposed one's
[C_in, C_out, k, k] and [k, k, C_out, C_in]. A decoder's inputs are the skip connection and the
level above there, in the other order here.
"""

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from p2p_graph.utils.atomic_write import atomic_write
from p2p_graph.utils.errors import UserError, printable, why_not_written
from p2p_graph.utils.outside_files import damage_reported, open_regular

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

MISSING = "PyTorch files need the package torch: pip install -c constraints.txt -e '.[torch]'"
FEWEST_LEVELS = 5  # of UnetGenerator
_MOST_LEVELS, _MOST_LAYERS = 16, 11
_INNER_CONV = re.compile(r"model\.model\.1\.model\.(3\.model\.)*1\.weight")
_UNUSED = (
    "running_mean",
    "running_var",
    "num_batches_tracked",
)  # batches have their own statistics


class _Module(NamedTuple):
    """A layer's part of a state dictionary.

    Attributes:
      key: its name there.
      scope: the scope of its variables here.
      kind: "conv" or "norm".
      bias: whether the convolution has a bias there.
      normed: whether normalisation follows, which takes out any bias.
      halves: whether its inputs are two halves in another order.
    """

    key: str
    scope: str
    kind: str = "conv"
    bias: bool = False
    normed: bool = False
    halves: bool = False


def _generator(levels: int) -> Iterator[_Module]:
    """The modules of a UnetGenerator, each level's encoder and decoder."""
    yield _Module("model.model.0", "generator/encoder_1/conv")
    yield _Module("model.model.3", "generator/decoder_1/deconv", bias=True, halves=True)
    block = "model.model.1.model"
    for level in range(2, levels):
        encoder, decoder = f"generator/encoder_{level}", f"generator/decoder_{level}"
        yield _Module(f"{block}.1", f"{encoder}/conv", normed=True)
        yield _Module(f"{block}.2", f"{encoder}/batchnorm", "norm")
        yield _Module(f"{block}.5", f"{decoder}/deconv", normed=True, halves=True)
        yield _Module(f"{block}.6", f"{decoder}/batchnorm", "norm")
        block = f"{block}.3.model"
    yield _Module(f"{block}.1", f"generator/encoder_{levels}/conv")
    yield _Module(f"{block}.3", f"generator/decoder_{levels}/deconv", normed=True)
    yield _Module(f"{block}.4", f"generator/decoder_{levels}/batchnorm", "norm")


def _n_layers(count: int) -> Iterator[_Module]:
    """The modules of an NLayerDiscriminator with `count` layers between the first and the last."""
    yield _Module("model.0", "discriminator/layer_1/conv", bias=True)
    for number in range(1, count + 1):
        index, scope = 3 * number - 1, f"discriminator/layer_{number + 1}"
        yield _Module(f"model.{index}", f"{scope}/conv", normed=True)
        yield _Module(f"model.{index + 1}", f"{scope}/batchnorm", "norm")
    last = f"discriminator/layer_{count + 2}/conv"
    yield _Module(f"model.{3 * count + 2}", last, bias=True)


def _pixel() -> Iterator[_Module]:
    """The modules of a PixelDiscriminator."""
    yield _Module("net.0", "discriminator/layer_1/conv", bias=True)
    yield _Module("net.2", "discriminator/layer_2/conv", normed=True)
    yield _Module("net.3", "discriminator/layer_2/batchnorm", "norm")
    yield _Module("net.5", "discriminator/layer_3/conv")


def read_generator(path: Path) -> tuple[int, Arrays]:
    """Reads a generator's `.pth` file.

    Returns:
      The generator's number of levels, and its weights by native name.

    Raises:
      UserError: the file cannot be read, or holds another network; the message names which one.
    """
    state = _read(path, "generator")
    levels = 1 + sum(bool(_INNER_CONV.fullmatch(key)) for key in state)
    if not FEWEST_LEVELS <= levels <= _MOST_LEVELS:
        raise _other(path, state, "generator")
    return levels, _to_native(state, list(_generator(levels)), path, "generator")


def read_discriminator(path: Path) -> tuple[str, Arrays]:
    """Reads a discriminator's `.pth` file.

    Returns:
      The discriminator's name, as in the option `discriminator`, and its weights by native name.

    Raises:
      UserError: as `read_generator`.
    """
    state = _read(path, "discriminator")
    if "net.0.weight" in state:
        # Its last convolution has no bias there; here it has, as in all discriminators.
        arrays = _to_native(state, list(_pixel()), path, "discriminator")
        return "pixel", {**arrays, "discriminator/layer_3/conv/bias": np.zeros(1, np.float32)}
    convs = sum(array.ndim == 4 for array in state.values())
    if not 3 <= convs <= _MOST_LAYERS:
        raise _other(path, state, "discriminator")
    modules = list(_n_layers(convs - 2))
    return f"n_layers={convs - 2}", _to_native(state, modules, path, "discriminator")


def generator_state(arrays: Mapping[str, Array], levels: int) -> Arrays:
    """A generator's state dictionary.

    Args:
      arrays: its weights by native name, of a U-Net without normalisation in the bottleneck.
      levels: at least `FEWEST_LEVELS`.

    Raises:
      UserError: a layer has a bias that counts and that the network has not there.
    """
    return _to_torch(arrays, list(_generator(levels)))


def discriminator_state(arrays: Mapping[str, Array], layers: int) -> Arrays:
    """A discriminator's state dictionary.

    Args:
      arrays: its weights by native name.
      layers: K of a discriminator n_layers=K; 0 for the pixel discriminator.

    Raises:
      UserError: as `generator_state`.
    """
    return _to_torch(arrays, list(_n_layers(layers) if layers else _pixel()))


def write(path: Path, state: Mapping[str, Array]) -> None:
    """Writes a state dictionary, atomically.

    Raises:
      UserError: the file cannot be written, or torch is not installed.
    """
    torch = _torch()
    contents = io.BytesIO()
    torch.save({key: torch.from_numpy(array) for key, array in state.items()}, contents)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_bytes(contents.getvalue())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {why_not_written(error)}") from None


def check_installed() -> None:
    """Refuses work that needs torch where it is not installed.

    Raises:
      UserError: it is not.
    """
    _torch()


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise UserError(MISSING) from None
    return torch


def _read(path: Path, network: str) -> Arrays:
    """Reads a state dictionary; nothing in the file runs."""
    torch = _torch()
    try:
        with damage_reported(path, "a PyTorch state dictionary"), open_regular(path) as file:
            # PyTorch does not check the sums that its files hold.
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    damaged = archive.testzip()
                if damaged:
                    raise ValueError(f"its part {printable(damaged)} is damaged")
            file.seek(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = _loaded(file, torch)
            if not isinstance(found, dict) or not all(
                isinstance(key, str) and isinstance(value, torch.Tensor)
                for key, value in found.items()
            ):
                raise ValueError("it is no dictionary from names to tensors")
            state = {key: _array(key, value, torch) for key, value in found.items()}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    if state and all(key.startswith("module.") for key in state):  # of DataParallel
        state = {key.removeprefix("module."): array for key, array in state.items()}
    if bad := [key for key, array in state.items() if not np.isfinite(array).all()]:
        raise UserError(f"{path} holds infinite values or NaN in {printable(bad[0])}")
    if reason := _unsupported(state):
        raise UserError(f"{path} holds a {network} with {reason}, which is not supported")
    return state


def _loaded(file: Any, torch: Any) -> Any:
    """Loads tensors, and runs nothing that the file holds.

    Raises:
      ValueError: the file holds something else, or is none of PyTorch's. PyTorch's own message
        advises to run it.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError("it is no file of PyTorch, or holds more than tensors") from None


def _array(key: str, value: Any, torch: Any) -> Array:
    if value.layout != torch.strided or value.is_quantized:
        raise ValueError(f"{printable(key)} is no plain tensor")
    value = value.detach()
    array: Array = (value.float() if value.is_floating_point() else value).numpy()
    return array


def _unsupported(state: Mapping[str, Array]) -> str | None:
    """What a network of junyanz's program, or one like it, has that networks here have not."""
    if any(re.search(r"weight_(orig|u|v|bar)$|parametrizations", key) for key in state):
        return "spectral normalisation"
    if any(".conv_block." in key for key in state):
        return "ResNet blocks"
    is_unet = any(_INNER_CONV.fullmatch(key) for key in state)
    normed = "model.model.1.model.1" if is_unet else "model.2"
    if f"{normed}.bias" in state and f"{normed}.weight" in state:
        return "instance normalisation"
    return None


def _other(path: Path, state: Mapping[str, Array], network: str) -> UserError:
    named = ", ".join(printable(key) for key in list(state)[:3]) or "nothing"
    return UserError(f"{path} does not hold a {network} of junyanz's pix2pix: it has {named}, ...")


def _to_native(
    state: Mapping[str, Array], modules: Sequence[_Module], path: Path, network: str
) -> Arrays:
    """Converts a state dictionary, all of whose entries must be known."""
    arrays: Arrays = {}
    known: set[str] = set()
    for module in modules:
        weight, bias = f"{module.key}.weight", f"{module.key}.bias"
        names = [weight, bias] if module.kind == "norm" or module.bias else [weight]
        for key in names:
            rank = 4 if key == weight and module.kind == "conv" else 1
            if key not in state or state[key].ndim != rank or state[key].dtype != np.float32:
                raise UserError(
                    f"{path} does not hold a {network} of junyanz's pix2pix: {key} is "
                    f"{list(state[key].shape) if key in state else 'missing'}"
                )
        known |= {*names, *(f"{module.key}.{name}" for name in _UNUSED)}
        if module.kind == "norm":
            arrays[f"{module.scope}/scale"] = state[weight]
            arrays[f"{module.scope}/offset"] = state[bias]
            continue
        filters = np.transpose(state[weight], (2, 3, 1, 0))
        arrays[f"{module.scope}/filter"] = _swapped(filters) if module.halves else filters
        if module.bias:
            arrays[f"{module.scope}/bias"] = state[bias]
    if others := sorted(set(state) - known):
        raise UserError(
            f"{path} does not hold a {network} of junyanz's pix2pix: it has {printable(others[0])}"
        )
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _to_torch(arrays: Mapping[str, Array], modules: Sequence[_Module]) -> Arrays:
    """Converts native arrays to a state dictionary."""
    state: Arrays = {}
    for module in modules:
        if module.kind == "norm":
            scale = arrays[f"{module.scope}/scale"]
            state[f"{module.key}.weight"] = scale
            state[f"{module.key}.bias"] = arrays[f"{module.scope}/offset"]
            state[f"{module.key}.running_mean"] = np.zeros_like(scale)
            state[f"{module.key}.running_var"] = np.ones_like(scale)
            state[f"{module.key}.num_batches_tracked"] = np.array(0, np.int64)
            continue
        filters = arrays[f"{module.scope}/filter"]
        filters = _swapped(filters) if module.halves else filters
        state[f"{module.key}.weight"] = np.ascontiguousarray(np.transpose(filters, (3, 2, 0, 1)))
        is_deconv = module.scope.endswith("/deconv")
        zeros = np.zeros(filters.shape[2 if is_deconv else 3], np.float32)
        bias = arrays.get(f"{module.scope}/bias", zeros)
        if module.bias:
            state[f"{module.key}.bias"] = bias
        elif np.any(bias) and not module.normed:
            raise UserError(
                f"{module.scope} has a bias, and junyanz's network has none in this layer"
            )
    return state


def _swapped(filters: Array) -> Array:
    """Swaps the halves of a transposed convolution's input channels, its last dimension."""
    return np.concatenate(np.split(filters, 2, axis=3)[::-1], axis=3)
