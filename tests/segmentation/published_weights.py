"""Stand-ins for EfficientNet-Lite0's published weights, in PyTorch's names and layouts."""

import numpy as np

# As published: blocks, kernel, stride, expansion, input and output channels.
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


def parameters_of(rng):
    """Random parameters with the names and shapes of PyTorch's file."""
    found = {}

    def layer(conv, norm, shape):
        fan_in = np.prod(shape[1:])
        found[f"{conv}.weight"] = rng.normal(0, (2 / fan_in) ** 0.5, shape)
        found[f"{norm}.weight"] = rng.uniform(0.5, 1.5, shape[0])
        found[f"{norm}.bias"] = rng.normal(0, 0.5, shape[0])
        found[f"{norm}.running_mean"] = rng.normal(0, 0.5, shape[0])
        found[f"{norm}.running_var"] = rng.uniform(0.5, 1.5, shape[0])

    layer("_conv_stem", "_bn0", (32, 3, 3, 3))
    number = 0
    for blocks, kernel, _, expansion, before, after in STAGES:
        for repeat in range(blocks):
            channels = after if repeat else before
            prefix, inner = f"_blocks.{number}.", channels * expansion
            if expansion > 1:
                layer(f"{prefix}_expand_conv", f"{prefix}_bn0", (inner, channels, 1, 1))
            layer(f"{prefix}_depthwise_conv", f"{prefix}_bn1", (inner, 1, kernel, kernel))
            layer(f"{prefix}_project_conv", f"{prefix}_bn2", (after, inner, 1, 1))
            number += 1
    layer("_conv_head", "_bn1", (1280, 320, 1, 1))
    found["_fc.weight"] = np.zeros((1000, 1280))  # of the classifier, which is not used
    return {name: value.astype(np.float32) for name, value in found.items()}
