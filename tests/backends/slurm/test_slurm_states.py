"""What each of Slurm's states means to us."""

import pytest

from orchestrator.backends.protocol import AllocationState
from orchestrator.backends.slurm.states import Asked, counting, is_over, is_pending, remembered, seen
from orchestrator.backends.slurm.tables import AccountRow, JobRow

ASKED = Asked("j-1-r1.0", job="7", log="/runs/j-1/log")
OVER = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT"),
)
RUNS = ("COMPLETING", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED")
WAITS = ("CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")


def row(state: str, **fields: object) -> JobRow:
    values = {"job": "7", "task": "", "name": "j-1-r1.0", "comment": "j-1-r1", "partition": "batch"} | fields
    return JobRow(state=state, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", OVER)
def test_these_states_are_ends(state: str) -> None:
    found = seen([row(state)], ASKED)
    assert (found.state, found.engine_id, found.partition) == (AllocationState.ENDED, "7", "batch")
    assert "7" in found.detail


@pytest.mark.parametrize("state", RUNS)
def test_who_is_in_these_states_runs(state: str) -> None:
    found = seen([row(state, nodes=("n1",), start=1.0, ends=9.0)], ASKED)
    assert (found.state, found.nodes, found.since, found.ends) == (AllocationState.RUNNING, ("n1",), 1.0, 9.0)


@pytest.mark.parametrize("state", WAITS)
def test_who_is_in_these_states_waits_and_says_why(state: str) -> None:
    found = seen([row(state)], ASKED)
    assert found.state is AllocationState.PENDING
    assert found.waits is not None
    assert found.waits.remedy


def test_of_an_array_that_runs_it_is_told_how_many_tasks_wait() -> None:
    rows = [row("PENDING", task="3-9,12%4"), row("PENDING", task="20-30:5"), row("RUNNING", task="0")]
    assert seen(rows, ASKED).tasks == 11
    assert seen([row("RUNNING")], ASKED).tasks == 0


def test_a_state_of_a_later_slurm_is_one_of_a_living_job() -> None:
    found = seen([row("MEDITATING")], ASKED)
    assert found.state is AllocationState.RUNNING
    assert "MEDITATING" in found.detail


@pytest.mark.parametrize(
    ("state", "failure"),
    [
        ("NODE_FAIL", "infrastructure"),
        ("BOOT_FAIL", "infrastructure"),
        ("LAUNCH_FAILED", "infrastructure"),
        ("RECONFIG_FAIL", "infrastructure"),
        ("REVOKED", "infrastructure"),
        ("FAILED", "infrastructure"),
        ("COMPLETED", "infrastructure"),
        ("OUT_OF_MEMORY", "out_of_memory"),
        ("PREEMPTED", "preempted"),
        ("CANCELLED", "permanent"),
        ("TIMEOUT", "preempted"),
        ("DEADLINE", "preempted"),
    ],
)
def test_each_end_has_its_class_of_failure(state: str, failure: str) -> None:
    assert seen([row(state)], ASKED).failure_class == failure


def test_only_where_slurm_knows_no_reason_has_the_run_the_last_word() -> None:
    states = ("COMPLETED", "FAILED", "NODE_FAIL", "PREEMPTED", "CANCELLED", "TIMEOUT")
    assert [state for state in states if seen([row(state)], ASKED).by_itself] == ["COMPLETED", "FAILED"]
    assert not seen([row("FAILED", reason="OutOfMemory")], ASKED).by_itself
    assert not seen([row("FAILED")], Asked("j-1-r1.0", cancelled=True)).by_itself


@pytest.mark.parametrize("state", ["TIMEOUT", "DEADLINE"])
def test_a_time_limit_that_the_user_set_is_the_users(state: str) -> None:
    assert seen([row(state)], Asked("j-1-r1.0", limit_is_users=True)).failure_class == "time_limit"


def test_a_time_limit_that_was_our_estimate_costs_the_user_nothing() -> None:
    found = seen([row("TIMEOUT")], ASKED)
    assert found.failure_class == "preempted"
    assert "our estimate" in found.detail


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETED", "FAILED"])
def test_what_we_cancelled_is_no_failure(state: str) -> None:
    assert seen([row(state)], Asked("j-1-r1.0", cancelled=True)).failure_class is None


def test_who_cancelled_it_is_told_with_how_to_run_it_again() -> None:
    found = seen([row("CANCELLED")], ASKED, by="ada")
    assert found.detail.startswith("ada cancelled Slurm's job 7")
    assert "orchestrator retry" in found.detail


def test_an_end_without_a_word_names_the_log() -> None:
    assert "/runs/j-1/log" in seen([row("FAILED", nodes=("n1",))], ASKED).detail


def test_memory_that_ran_out_is_told_by_the_reason_too() -> None:
    assert seen([row("FAILED", reason="OutOfMemory")], ASKED).failure_class == "out_of_memory"


@pytest.mark.parametrize(
    ("code", "words"), [("0:53", "could not be started"), ("0:9", "signal 9"), ("3:0", "exit status 3")]
)
def test_accounting_says_how_a_batch_step_ended(code: str, words: str) -> None:
    found = remembered(AccountRow("7", "j-1-r1.0", "FAILED", code=code), ASKED)
    assert (found.state, found.failure_class) == (AllocationState.ENDED, "infrastructure")
    assert words in found.detail


def test_a_job_that_never_began_has_no_beginning() -> None:
    assert seen([row("CANCELLED", start=5.0)], ASKED).since is None


def test_an_array_runs_while_one_of_its_tasks_does() -> None:
    rows = [
        row("COMPLETED"),
        row("FAILED"),
        row("PENDING"),
        row("RUNNING", nodes=("n1",)),
        row("RUNNING", nodes=("n2",)),
    ]
    found = seen(rows, ASKED)
    assert (found.state, found.nodes) == (AllocationState.RUNNING, ("n1", "n2"))


@pytest.mark.parametrize(
    ("states", "counts"),
    [
        (["COMPLETED", "PENDING"], "PENDING"),
        (["COMPLETED", "FAILED", "COMPLETED"], "FAILED"),
        (["COMPLETED", "COMPLETED"], "COMPLETED"),
    ],
)
def test_of_several_tasks_one_counts(states: list[str], counts: str) -> None:
    assert counting([row(state) for state in states]).state == counts


def test_no_state_is_both_an_end_and_a_wait() -> None:
    assert not any(is_over(state) and is_pending(state) for state in (*OVER, *RUNS, *WAITS))
