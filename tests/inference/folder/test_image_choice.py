"""Which images a shard has, and which are left of them."""

import itertools

import pytest

from p2p_graph.inference.folder.image_choice import numbers_of_part, numbers_to_do


def test_a_shard_has_every_nth_image():
    assert numbers_of_part(7, (2, 3), 1, None) == [1, 4]
    assert numbers_of_part(7, None, 1, None) == list(range(7))
    assert numbers_of_part(7, (3, 3), 1, 1) == [2]
    assert numbers_of_part(1, (2, 2), 1, None) == []


@pytest.mark.parametrize(
    ("count", "parts", "size"), [*itertools.product((1, 7, 8), (1, 3), (1, 3))]
)
def test_shards_divide_the_batches_of_all_images(count, parts, size):
    found = [numbers_of_part(count, (part, parts), size, None) for part in range(1, parts + 1)]
    assert sorted(itertools.chain(*found)) == list(range(count))
    batches = {tuple(range(count)[first : first + size]) for first in range(0, count, size)}
    for numbers in found:
        for first in range(0, len(numbers), size):
            assert tuple(numbers[first : first + size]) in batches


def test_a_batch_is_left_out_if_all_of_it_is_done():
    done = {0, 1, 2, 4, 9}
    assert numbers_to_do(range(10), 1, done.__contains__) == [3, 5, 6, 7, 8]
    assert numbers_to_do(range(10), 3, done.__contains__) == [3, 4, 5, 6, 7, 8]
    assert numbers_to_do([0, 1, 4, 5, 8, 9], 2, done.__contains__) == [4, 5, 8, 9]
