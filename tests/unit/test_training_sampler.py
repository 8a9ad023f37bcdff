"""The order of rows depends on seed and pass alone, and puts like lengths together."""

import random

import pytest

from studio.training.batching.sampler import OrderedSampler, row_order

CHANCE = random.Random(1)
LENGTHS = [CHANCE.randint(10, 500) for _ in range(203)]


def padded(indices: list[int], size: int) -> int:
    """Tokens computed, padding included."""
    batches = [indices[at : at + size] for at in range(0, len(indices), size)]
    return sum(max(LENGTHS[i] for i in batch) * len(batch) for batch in batches)


@pytest.mark.parametrize("grouped", [True, False])
def test_every_row_comes_once_in_each_pass(grouped: bool) -> None:
    for epoch in range(3):
        assert sorted(row_order(LENGTHS, 4, 42, epoch, grouped)) == list(range(203))


@pytest.mark.parametrize("grouped", [True, False])
def test_the_same_seed_and_pass_give_the_same_order_and_others_do_not(grouped: bool) -> None:
    first = row_order(LENGTHS, 4, 42, 1, grouped)
    random.random()  # whatever else draws numbers changes nothing
    assert row_order(LENGTHS, 4, 42, 1, grouped) == first
    assert row_order(LENGTHS, 4, 42, 2, grouped) != first
    assert row_order(LENGTHS, 4, 43, 1, grouped) != first


def test_the_longest_row_is_in_the_first_batch() -> None:
    for epoch in range(4):
        first = row_order(LENGTHS, 4, 42, epoch, True)[:4]
        assert max(LENGTHS[i] for i in first) == max(LENGTHS)


def test_without_padding_the_batch_with_the_most_tokens_comes_first() -> None:
    for epoch in range(4):
        indices = row_order(LENGTHS, 4, 42, epoch, False)
        sizes = [sum(LENGTHS[i] for i in indices[at : at + 4]) for at in range(0, 200, 4)]
        assert sizes[0] == max(sizes)


def test_grouping_saves_padding() -> None:
    grouped, random_ = row_order(LENGTHS, 4, 42, 0, True), row_order(LENGTHS, 4, 42, 0, False)
    assert padded(grouped, 4) < 1.25 * sum(LENGTHS) < padded(random_, 4)


def test_batches_of_two_passes_differ_even_with_few_rows() -> None:
    def batches(epoch: int) -> set[frozenset[int]]:
        indices = row_order(LENGTHS[:40], 4, 42, epoch, True)
        return {frozenset(indices[at : at + 4]) for at in range(0, 40, 4)}

    assert len(batches(0) & batches(1)) < 5


@pytest.mark.parametrize("rows", [1, 3, 4, 5])
def test_few_rows_are_enough(rows: int) -> None:
    assert sorted(row_order(LENGTHS[:rows], 4, 42, 0, True)) == list(range(rows))


def test_a_sampler_goes_on_in_the_middle_of_a_pass_as_if_nothing_had_been() -> None:
    whole = OrderedSampler(LENGTHS, 4, 7, True)
    whole.set_epoch(3)
    read = list(whole)
    fresh = OrderedSampler(LENGTHS, 4, 7, True)
    fresh.set_epoch(3)
    assert list(fresh)[80:] == read[80:]
    assert len(fresh) == len(read)
