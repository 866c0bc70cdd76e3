"""The arrows of the life cycle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base.errors import IllegalMove
from orchestrator.lifecycle.states import ARROWS, TERMINAL, JobState, RunState, check_move


def reachable(start: JobState, *, without: frozenset[JobState] = frozenset()) -> set[JobState]:
    found, frontier = {start}, {start}
    while frontier:
        frontier = {new for old in frontier for new in ARROWS[old]} - found - without
        found |= frontier
    return found


def test_every_state_has_its_arrows() -> None:
    assert set(ARROWS) == set(JobState)


@pytest.mark.parametrize("state", sorted(frozenset(JobState) - {JobState.SUCCEEDED}))
def test_success_can_be_reached_from_everywhere(state: JobState) -> None:
    assert JobState.SUCCEEDED in reachable(state)


@pytest.mark.parametrize("state", sorted(frozenset(JobState) - TERMINAL))
def test_every_state_that_is_not_terminal_can_be_cancelled(state: JobState) -> None:
    assert ARROWS[state] & {JobState.CANCELLING, JobState.CANCELLED}


def test_success_is_final_and_other_ends_lead_only_back_into_the_queue() -> None:
    assert ARROWS[JobState.SUCCEEDED] == frozenset()
    assert ARROWS[JobState.FAILED] == ARROWS[JobState.CANCELLED] == {JobState.QUEUED}


def test_what_holds_slots_never_becomes_cancelled_without_cancelling() -> None:
    holding = {JobState.STARTING, JobState.RUNNING, JobState.RESIZING, JobState.RECOVERING}
    assert all(JobState.CANCELLED not in ARROWS[state] for state in holding)


def test_a_job_runs_only_after_it_was_started() -> None:
    before = reachable(JobState.QUEUED, without=frozenset({JobState.STARTING}))
    assert JobState.RUNNING not in before
    assert JobState.RECOVERING not in before


@given(st.sampled_from(JobState), st.sampled_from(JobState))
def test_a_move_is_allowed_exactly_where_there_is_an_arrow(old: JobState, new: JobState) -> None:
    if new in ARROWS[old]:
        check_move("j", old, new)
    else:
        with pytest.raises(IllegalMove, match="not an arrow"):
            check_move("j", old, new)


@given(st.lists(st.sampled_from(JobState), max_size=30))
def test_a_walk_that_obeys_the_arrows_never_leaves_success(wishes: list[JobState]) -> None:
    state, ended = JobState.QUEUED, False
    for wish in wishes:
        if wish in ARROWS[state]:
            assert not ended
            state = wish
            ended = state is JobState.SUCCEEDED


def test_terminal_run_states_are_those_that_end_a_run() -> None:
    assert {state for state in RunState if not state.terminal} == {
        RunState.CREATED,
        RunState.LAUNCHED,
        RunState.RUNNING,
    }


@pytest.mark.parametrize(
    ("state", "clause"),
    [(JobState.SUCCEEDED, "has succeeded"), (JobState.CANCELLED, "was cancelled"), (JobState.RUNNING, "is running")],
)
def test_a_state_is_worded_as_people_say_it(state: JobState, clause: str) -> None:
    assert state.clause == clause
