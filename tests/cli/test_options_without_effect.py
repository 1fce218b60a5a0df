"""Options that change nothing beside others: training says so, and gives the same bits."""

import pytest

from .common import TINY, assert_equal_bits, call, succeeded, tensors

_OF_D = ("--ndf", 3, "--discriminator", "patch16", "--unconditional", "--discriminator_bias", "all")
_OF_D += ("--target_first", "--gan_loss", "lsgan", "--d_scale", 0.5, "--updates", "fresh")


@pytest.mark.parametrize(
    ("cause", "flags", "told"),
    [
        (("--inpaint", "center"), ("--which_direction", "BtoA"), "which_direction has"),
        (
            ("--jitter", "none"),
            ("--crop_from", 1, "--resize_first"),
            "crop_from, resize_first have",
        ),
        (("--jitter", "shrink"), ("--crop_from", 1, "--resize_first"), "resize_first have"),
        (("--split", 1), ("--split_seed", 1), "split_seed has"),
        (("--dropout", 0), ("--no_dropout_in_use",), "in_use has"),
        (
            ("--generator", "pooled", "--levels", 4, "--crop_size", 16),
            ("--no_bottleneck_norm", "--skip_activation", "lrelu"),
            "bottleneck_norm, skip_activation have",
        ),
        (("--unconditional",), ("--target_first",), "target_first has"),
        (("--gan_weight", 0), _OF_D, "gan_loss, d_scale, updates have"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_the_same_bits_and_a_note(data, tmp_path, cause, flags, told):
    weights = []
    for number, more in enumerate(((), flags)):
        folder = tmp_path / str(number)
        run = ("--input_dir", data / "train", *TINY, "--max_steps", 2, "--output_dir", folder)
        printed = succeeded(call("train", *run, *cause, *more)).stdout
        assert (f"{told} no effect with {cause[0][2:]}" in printed) == bool(more)
        weights.append(tensors(folder))
    assert_equal_bits(*weights)
