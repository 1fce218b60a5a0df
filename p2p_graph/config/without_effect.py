"""Options of training that change nothing beside other ones."""

from collections.abc import Mapping
from typing import Any

from p2p_graph.config.options import DEFAULTS

_OF_DISCRIMINATOR = (
    "ndf",
    "discriminator",
    "conditional",
    "discriminator_bias",
    "target_first",
    "gan_loss",
    "d_scale",
    "updates",
)


def without_effect(flat: Mapping[str, Any]) -> list[str]:
    """Lists options that differ from their defaults and change nothing.

    Args:
      flat: the options of a training run, by flat name.

    Returns:
      One entry for each cause, "crop_from has no effect with jitter none".
    """
    causes = (
        (flat["inpaint"] != "none", f"inpaint {flat['inpaint']}", ("which_direction",)),
        (flat["jitter"] != "crop", f"jitter {flat['jitter']}", ("crop_from", "resize_first")),
        (flat["split"] == 1, "split 1", ("split_seed",)),
        # Its levels have an effect in translation, which may have another rate.
        (flat["dropout"] == 0, "dropout 0", ("dropout_in_use",)),
        (flat["generator"] == "pooled", "generator pooled", ("bottleneck_norm", "skip_activation")),
        (not flat["conditional"], "unconditional", ("target_first",)),
        (flat["gan_weight"] == 0, "gan_weight 0", _OF_DISCRIMINATOR),
    )
    found = []
    for is_so, cause, names in causes:
        changed = [name for name in names if is_so and flat[name] != DEFAULTS[name]]
        if changed:
            have = "has" if len(changed) == 1 else "have"
            found.append(f"{', '.join(changed)} {have} no effect with {cause}")
    return found
