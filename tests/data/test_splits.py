import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.data.splits import hold_out, stratify

FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}
label_lists = st.lists(st.integers(0, 4), max_size=120)


@settings(max_examples=60, deadline=None)
@given(labels=label_lists, seed=st.integers(0, 100))
def test_every_sample_is_in_exactly_one_split(labels: list[int], seed: int) -> None:
    parts = stratify(labels, FRACTIONS, seed)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(labels)))


def test_each_class_is_cut_by_the_same_fractions() -> None:
    labels = [0] * 100 + [1] * 50 + [2] * 10
    parts = stratify(labels, FRACTIONS, 0)
    assert np.bincount(np.array(labels)[parts["train"]]).tolist() == [60, 30, 6]
    assert np.bincount(np.array(labels)[parts["test"]]).tolist() == [20, 10, 2]


def test_the_split_follows_from_the_seed_alone() -> None:
    labels = [number % 3 for number in range(90)]
    first, again, other = (stratify(labels, FRACTIONS, seed)["test"].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


@settings(max_examples=60, deadline=None)
@given(labels=label_lists, data=st.data())
def test_exactly_as_many_are_held_out_as_asked_for(labels: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(labels)))
    held = hold_out(labels, count, 0)
    assert len(set(held.tolist())) == count
    for label in set(labels):
        share = sum(labels[place] == label for place in held.tolist())
        assert abs(share - count * labels.count(label) / len(labels)) < 1


def test_fractions_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        stratify([0], {"train": 0.5}, 0)
