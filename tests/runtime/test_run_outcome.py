"""From the ends of the ranks to the end of the run."""

import pytest

from orchestrator.runtime.markers import Marker
from orchestrator.runtime.outcome import UNHEARD, RankEnd, judge_failure, judge_stop, judge_success


def said(outcome: str, failure: str | None = None, time: float = 1.0) -> Marker:
    return Marker(outcome, "its message", failure, time)


def test_a_marker_counts_for_more_than_the_exit_code() -> None:
    assert RankEnd(0, -6, marker=said("succeeded")).succeeded
    assert not RankEnd(0, 0, marker=said("failed")).succeeded


def test_exit_code_0_is_no_success_where_a_marker_is_owed() -> None:
    assert RankEnd(0, 0).succeeded
    end = RankEnd(0, 0, owes_marker=True)
    assert not end.succeeded
    assert judge_failure([end]).message == "rank 0 ended with exit code 0 but never said that it had finished"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (RankEnd(0, 1), "application"),
        (RankEnd(0, -11), "application"),
        (RankEnd(0, -9), "infrastructure"),
        (RankEnd(0, 137), "infrastructure"),
        (RankEnd(0, 126), "permanent"),
        (RankEnd(0, 127), "permanent"),
        (RankEnd(0, 127, owes_marker=True), "application"),
        (RankEnd(0, 127, marker=said("failed")), "application"),
        (RankEnd(0, -9, memory_ran_out=True), "out_of_memory"),
        (RankEnd(0, UNHEARD), "application"),
        (RankEnd(0, UNHEARD, owes_marker=True), "infrastructure"),
        (RankEnd(0, 1, last_lines=["MemoryError"]), "out_of_memory"),
        (RankEnd(0, 1, last_lines=["torch.OutOfMemoryError: CUDA out of memory. Tried …"]), "out_of_memory"),
        (RankEnd(0, 1, last_lines=["torch.cuda.OutOfMemoryError: x", "[rank0] teardown"]), "out_of_memory"),
        (RankEnd(0, 1, marker=said("failed", "data")), "data"),
        (RankEnd(0, 1, marker=said("failed")), "application"),
        (RankEnd(0, 0, marker=said("stopped")), "preempted"),
    ],
)
def test_each_end_is_charged_to_its_budget(end: RankEnd, expected: str) -> None:
    assert judge_failure([end]).failure_class == expected


def test_of_several_the_killed_rank_is_the_cause_then_the_first_that_spoke() -> None:
    broken_pipe = RankEnd(0, 1, marker=said("failed", "application", 2.0))
    bad_shard = RankEnd(1, 1, marker=said("failed", "data", 1.0))
    assert judge_failure([broken_pipe, bad_shard]).failure_class == "data"
    assert judge_failure([broken_pipe, bad_shard, RankEnd(2, -9)]).failure_class == "infrastructure"


def test_a_stop_is_a_stop_whatever_the_exit_codes() -> None:
    ends = [RankEnd(0, 0, after_stop=True), RankEnd(1, -15, after_stop=True)]
    outcome = judge_stop(ends, "cancel")
    assert outcome.to_data() == {"outcome": "stopped", "message": "stopped: cancel", "cause": "cancel"}


def test_work_that_was_complete_when_the_stop_came_has_succeeded() -> None:
    assert judge_stop([RankEnd(0, 0)], "cancel").outcome == "succeeded"
    assert judge_stop([RankEnd(0, 0, marker=said("succeeded"), after_stop=True)], "cancel").outcome == "succeeded"
    assert judge_stop([], "cancel").outcome == "stopped"


def test_a_stop_for_the_time_limit_is_charged_to_it() -> None:
    assert judge_stop([RankEnd(0, -15)], "time_limit").failure_class == "time_limit"


def test_the_message_of_a_success_is_the_rank_s_own() -> None:
    assert judge_success([RankEnd(0, 0, marker=said("succeeded"))]).message == "its message"


def message_of(exit_code: int, *last_lines: str) -> str:
    return judge_failure([RankEnd(0, exit_code, last_lines=last_lines)]).message


@pytest.mark.parametrize("exit_code", [-9, 137])
def test_what_a_killed_rank_logged_last_is_not_why_it_was_killed(exit_code: int) -> None:
    assert message_of(exit_code, "ValueError: an old one").endswith(("SIGKILL", "exit code 137"))


def test_a_line_that_tells_of_a_signal_is_quoted_and_any_other_is_not() -> None:
    assert message_of(-11, "epoch 56 of 400: loss 0.1") == "rank 0 was ended by SIGSEGV"
    assert message_of(-6, "terminate called: bad_alloc").endswith("SIGABRT: terminate called: bad_alloc")


def test_a_program_that_exits_by_itself_says_why_in_its_last_line() -> None:
    assert message_of(3, "no such thing") == "rank 0 ended with exit code 3: no such thing"
