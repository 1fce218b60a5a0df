import numpy as np
import pytest

from p2p_graph.utils import checked_allocation
from p2p_graph.utils.errors import UserError
from p2p_graph.utils.outside_files import damage_reported


def test_arrays_that_fit():
    found = checked_allocation.allocate([3, 2], np.float32)
    assert (found.shape, found.dtype) == ((3, 2), np.float32)
    assert checked_allocation.allocate([0], np.uint8).size == 0


@pytest.mark.parametrize("shape", [[10**14], [2**40, 2**40], [10**30]])
def test_arrays_that_no_machine_holds(shape):
    refused = pytest.raises(UserError, match=r"^maps takes [\d,.]+ GB of memory")
    with refused, damage_reported("maps", "an array"):
        checked_allocation.allocate(shape, np.uint8)


def test_what_is_needed_besides():
    free = checked_allocation.available()
    if free is None:
        pytest.skip("this system does not tell")
    assert checked_allocation.allocate([8], np.uint8, besides=free // 2).size == 8
    with pytest.raises(UserError, match="GB are free"):
        checked_allocation.allocate([8], np.uint8, besides=2 * free)
