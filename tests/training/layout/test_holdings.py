"""Which step is gone back to: the newest whose parts are all alive."""

from __future__ import annotations

import pytest

from orchestrator.training.layout.holdings import Holding, newest, table_of
from orchestrator.training.layout.protocol import StateLost


def held(steps: int, epoch: int, size: int, *parts: int) -> Holding:
    return Holding(steps, epoch, size, {part: {} for part in parts})


def name(*workers: list[Holding]) -> tuple[int, ...]:
    return newest(table_of(holdings).tolist() for holdings in workers).name


NEW = held(0, 0, 1, 0)


def test_new_workers_alone_begin_with_the_first_parameters() -> None:
    assert name([NEW], [NEW]) == (0, 0, 1)


def test_the_live_state_is_taken_where_all_have_it() -> None:
    assert name([held(7, 2, 2, 0, 1), held(7, 2, 2, 0)], [held(7, 2, 2, 1)], [NEW]) == (7, 2, 2)


def test_a_step_that_not_all_have_is_given_up_for_the_one_before() -> None:
    one, other = [held(4, 2, 3, 0, 2), held(5, 2, 3, 0)], [held(4, 2, 3, 1, 0), held(5, 2, 3, 1)]
    assert name(one, other) == (4, 2, 3)


def test_of_one_step_the_newest_layout_counts() -> None:
    assert name([held(4, 2, 1, 0), held(4, 3, 2, 0)], [held(4, 3, 2, 1)]) == (4, 3, 2)


def test_parts_of_different_layouts_do_not_fit_together() -> None:
    with pytest.raises(StateLost, match="gone"):
        name([held(4, 2, 2, 0)], [held(4, 3, 2, 1)])


def test_first_parameters_are_no_substitute_for_what_was_trained() -> None:
    with pytest.raises(StateLost, match="gone"):
        name([held(4, 2, 2, 0)], [NEW])


def test_all_who_hold_a_part_are_known() -> None:
    chosen = newest(table_of(each).tolist() for each in ([held(1, 1, 2, 0, 1)], [held(1, 1, 2, 1, 0)]))
    assert chosen.holders == ((0, 1), (0, 1))
