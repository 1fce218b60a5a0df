"""Images and a small network for the tests of segmenters."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def image(rng):
    """Smooth areas of many colours: uint8 [40, 56, 3]."""
    small = rng.integers(0, 256, (8, 9, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((56, 40), Image.Resampling.BICUBIC))


@pytest.fixture
def pointwise(rng):
    """A 1x1 convolution's filters and biases, from 3 channels to 4."""
    filters = rng.normal(size=(4, 3, 1, 1)).astype(np.float32)
    # All scores are equal in the middle of [0, 1], so that a wrong range changes the classes.
    return filters, -0.5 * filters.sum((1, 2, 3))
