import numpy as np
import pytest

from p2p_graph.utils import memory
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported


def test_arrays_that_fit():
    found = memory.allocate([3, 2], np.float32)
    assert (found.shape, found.dtype) == ((3, 2), np.float32)
    assert memory.allocate([0], np.uint8).size == 0


@pytest.mark.parametrize("shape", [[10**14], [2**40, 2**40], [10**30]])
def test_arrays_that_no_machine_holds(shape):
    refused = pytest.raises(UserError, match=r"^maps takes [\d,.]+ GB of memory")
    with refused, damage_reported("maps", "an array"):
        memory.allocate(shape, np.uint8)


def test_what_is_needed_besides():
    free = memory.available()
    if free is None:
        pytest.skip("this system does not tell")
    assert memory.allocate([8], np.uint8, besides=free // 2).size == 8
    with pytest.raises(UserError, match="GB are free"):
        memory.allocate([8], np.uint8, besides=2 * free)
