"""What squeue and sacct print, as rows."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.backends.slurm.tables import accounts, moment, node_names, queue

FIELDS = (
    *("7", "N/A", "RUNNING", "None", "1795305952", "1795309552", "1795305950", "21000"),
    *("batch", "high", "lab", "n[1-2]", "j-1-r1.0", "j-1-r1"),
)
JOB = "\x1e" + "".join(f"{field}\x1f" for field in FIELDS) + "\n"


def test_a_line_of_squeue_is_a_row() -> None:
    (row,) = queue(JOB).rows
    assert (row.job, row.task, row.name, row.comment, row.state) == ("7", "", "j-1-r1.0", "j-1-r1", "RUNNING")
    assert (row.start, row.ends, row.submitted) == (1795305952, 1795309552, 1795305950)
    assert (row.partition, row.qos, row.account, row.priority, row.nodes) == (
        "batch",
        "high",
        "lab",
        21000,
        ("n1", "n2"),
    )


def test_times_that_slurm_does_not_know_are_none() -> None:
    (row,) = queue(JOB.replace("1795305952", "N/A").replace("1795309552", "NONE")).rows
    assert (row.start, row.ends) == (None, None)
    assert [moment(text) for text in ("Unknown", "None", "0", "", "2026-11-22T00:00:00")] == [None] * 5


def test_a_pending_array_is_a_row_with_its_tasks() -> None:
    (row,) = queue(JOB.replace("N/A", "3-7%2")).rows
    assert row.task == "3-7%2"


def test_a_name_with_line_ends_and_bars_is_one_row() -> None:
    table = queue(JOB.replace("j-1-r1.0", "a b|\nc"))
    assert [row.name for row in table.rows] == ["a b|\nc"]
    assert not table.garbled


def test_who_puts_our_separators_into_a_name_is_not_one_of_ours_and_disturbs_nobody() -> None:
    table = queue(JOB.replace("j-1-r1.0", "x\x1fj-1-r1.0") + JOB)
    assert [row.name for row in table.rows] == ["", "j-1-r1.0"]
    assert not table.garbled


@pytest.mark.parametrize(
    "text", ["Welcome to the cluster!\n", "\x1e7\x1fRUN", "\x1e7;rm\x1f" + JOB[3:], "\x1e", "<html>"]
)
def test_what_is_no_job_is_told_and_left_out(text: str) -> None:
    table = queue(text + JOB)
    assert len(table.rows) == 1
    assert len(table.garbled) == 1


def test_no_jobs_are_no_rows() -> None:
    assert queue("") == queue("\n")
    assert queue("").rows == ()


@given(st.text())
def test_no_text_crashes_the_parsers(text: str) -> None:
    queue(text), queue("\x1e" + text), accounts(text), accounts(text.replace(" ", "\x1f"))


@given(st.lists(st.sampled_from([*JOB, "\x1e", "\x1f"]), max_size=60))
def test_no_scrambled_line_crashes_the_parser(letters: list[str]) -> None:
    queue(JOB + "".join(letters) + JOB)


def test_ten_thousand_jobs_in_ten_megabytes_are_read_at_once() -> None:
    text = JOB.replace("j-1-r1\x1f", "j-1-r1" + "x" * 950 + "\x1f") * 10_000
    assert len(text) > 10_000_000
    began = time.perf_counter()
    assert len(queue(text).rows) == 10_000
    assert time.perf_counter() - began < 5


def test_a_line_of_sacct_is_a_row() -> None:
    (row,) = accounts("7\x1fj-1-r1.0\x1fCANCELLED by 0\x1f0:53\x1f1000\x1f1001\x1fUnknown\x1fNone assigned\n").rows
    assert (row.job, row.name, row.state, row.by, row.code) == ("7", "j-1-r1.0", "CANCELLED", "root", "0:53")
    assert (row.submitted, row.start, row.end, row.nodes) == (1000, 1001, None, ())


@pytest.mark.parametrize("job", ["7_3", "7+1", "7_[3-9]"])
def test_a_task_carries_the_number_of_its_array(job: str) -> None:
    (row,) = accounts(f"{job}\x1fx\x1fFAILED\x1f1:0\x1f1\x1f2\x1f3\x1fn1\n").rows
    assert row.job == "7"


def test_a_line_of_sacct_with_other_fields_is_told_and_left_out() -> None:
    table = accounts("sacct: hello\n7\x1fa\nb\x1fFAILED\x1f1:0\x1f1\x1f2\x1f3\x1fn1\n")
    assert table.rows == ()
    assert len(table.garbled) == 3


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ("n1",)),
        ("n[1-3]", ("n1", "n2", "n3")),
        ("n[08-10,12],m", ("n08", "n09", "n10", "n12", "m")),
        ("r[1-2]n[1-2]", ("r1n1", "r1n2", "r2n1", "r2n2")),
        ("gpu-[1-2]-ib", ("gpu-1-ib", "gpu-2-ib")),
        ("(null)", ()),
        ("None assigned", ()),
    ],
)
def test_node_lists_are_written_out(text: str, names: tuple[str, ...]) -> None:
    assert node_names(text) == names


@pytest.mark.parametrize("text", ["n[1-", "n[a-b]", "n[1-999999999]", "n[]"])
def test_what_is_no_node_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no range|too many|bracket"):
        node_names(text)
