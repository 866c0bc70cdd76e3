"""Which of the jobs in Slurm's queue are allocations of ours."""

from orchestrator.backends.slurm.look import Look
from orchestrator.backends.slurm.states import Asked
from orchestrator.backends.slurm.tables import JobRow, Table


def job(
    name: str, comment: str, state: str = "RUNNING", number: str = "1", submitted: float = 0.0, task: str = ""
) -> JobRow:
    return JobRow(number, task, name, comment, state, submitted=submitted)


def look(*rows: JobRow) -> Look:
    return Look.of(0.0, Table(rows))


def test_jobs_with_the_name_of_an_allocation_are_ours() -> None:
    assert {*look(job("j-1-r1.0", "j-1-r1"), job("j-1-r1.100", "j-1-r1")).rows} == {"j-1-r1.0", "j-1-r1.100"}


def test_other_names_are_passed_over() -> None:
    others = ["train", "", "j-1-r1", "../x.0", ".0", "j.x", "j."]
    assert not look(*(job(name, name.rpartition(".")[0]) for name in others)).rows


def test_a_cluster_that_writes_comments_of_its_own_loses_us_no_job() -> None:
    assert "j.0" in look(job("j.0", "project=42")).rows


def test_a_job_of_our_name_without_our_comment_stands_behind_ours_and_is_never_cancelled() -> None:
    ours, other = job("j.0", "j", "PENDING", "9", 20.0), job("j.0", "copy", "RUNNING", "3", 10.0)
    found = look(other, ours)
    assert found.rows["j.0"] == (ours,)
    assert not found.surplus


def test_of_two_living_jobs_of_one_allocation_the_older_counts_and_the_younger_is_surplus() -> None:
    for state in ("PENDING", "RUNNING"):
        older, younger = job("j.0", "j", state, "9", 10.0), job("j.0", "j", state, "3", 20.0)
        found = look(younger, older)
        assert found.rows["j.0"] == (older,)
        assert found.surplus == (("j.0", "3"),)


def test_of_two_living_jobs_of_one_allocation_the_one_that_has_begun_counts() -> None:
    older, younger = job("j.0", "j", "PENDING", "9", 10.0), job("j.0", "j", "RUNNING", "3", 20.0)
    found = look(older, younger)
    assert found.rows["j.0"] == (younger,)
    assert found.surplus == (("j.0", "9"),)


def test_a_living_job_counts_more_than_an_older_one_that_is_over() -> None:
    older, younger = job("j.0", "j", "FAILED", "3", 10.0), job("j.0", "j", "RUNNING", "9", 20.0)
    found = look(older, younger)
    assert found.rows["j.0"] == (younger,)
    assert not found.surplus


def test_of_jobs_that_are_over_the_one_whose_number_is_known_counts() -> None:
    refused, ours = job("j.0", "j", "FAILED", "3", 10.0), job("j.0", "j", "COMPLETED", "9", 20.0)
    found = look(refused, ours)
    assert [found.rows_of(Asked("j.0", job=number)) for number in ("9", "3", "11", "")] == [
        (ours,),
        (refused,),
        (),
        (refused,),
    ]


def test_a_second_job_that_we_cancelled_never_speaks_for_its_allocation() -> None:
    older, ours = job("j.0", "j", "COMPLETED", "7", 10.0), job("j.0", "j", "CANCELLED", "8", 20.0)
    for rows in ((older, ours), (older,)):
        found = Look.of(0.0, Table(rows), frozenset({("j.0", "8")}))
        assert [found.rows_of(Asked("j.0", job=number)) for number in ("7", "8", "")] == [(older,)] * 3


def test_a_second_job_that_we_cancelled_does_not_count_even_where_it_is_the_older_one() -> None:
    ours, other = job("j.0", "j", "CANCELLED", "8", 10.0), job("j.0", "j", "FAILED", "7", 20.0)
    assert Look.of(0.0, Table((ours, other)), frozenset({("j.0", "8")})).rows["j.0"] == (other,)


def test_the_tasks_of_an_array_are_one_job() -> None:
    rows = [job("j.0", "j", "RUNNING", "3", task="0"), job("j.0", "j", "PENDING", "3", task="1-7")]
    found = look(*rows)
    assert found.rows["j.0"] == tuple(rows)
    assert not found.surplus


def test_a_sight_says_whether_it_waits_runs_or_is_over() -> None:
    found = look(job("a.0", "a", "PENDING"), job("b.0", "b"), job("c.0", "c", "TIMEOUT"))
    sights = [found.sight(name) for name in ("a.0", "b.0", "c.0")]
    assert [(sight.pending, sight.over) for sight in sights if sight] == [(True, False), (False, False), (False, True)]
    assert found.sight("d.0") is None
