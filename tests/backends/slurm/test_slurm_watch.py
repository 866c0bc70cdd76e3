"""The thread that looks, with programs of our own in the place of Slurm's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.backends.slurm.commands import Slurm
from orchestrator.backends.slurm.watch import Asked, Watch
from orchestrator.base.errors import BackendUnavailable

Programs = Callable[..., Slurm]
Watching = Callable[[Slurm], Watch]

A = Asked("a.0", job="1", submitted=1000.0)
FIELDS = ("1", "N/A", "%s", "None", "1001", "9001", "1000", "7", "batch", "normal", "lab", "n1", "a.0", "a")
ROW = "printf '" + r"\036" + "".join(field + r"\037" for field in FIELDS) + r"\n" + "'"
PATIENCE = 20.0


@pytest.fixture
def watching() -> Iterator[Watching]:
    """Make a watch that is closed after the test."""
    made: list[Watch] = []

    def make(slurm: Slurm) -> Watch:
        made.append(Watch(slurm, look_every=0.2))
        return made[-1]

    yield make
    for watch in made:
        watch.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def seen(watch: Watch) -> Observation | None:
    try:
        return watch.observe([A])["a.0"]
    except BackendUnavailable:
        return None


def test_the_first_question_waits_for_the_first_look(programs: Programs, watching: Watching) -> None:
    watch = watching(programs(squeue=ROW % "RUNNING", scontrol="exit 1"))
    found = watch.observe([A])["a.0"]
    assert (found.state, found.nodes, found.partition) == (AllocationState.RUNNING, ("n1",), "batch")


def test_no_thread_runs_before_the_first_question(programs: Programs, watching: Watching) -> None:
    before = threading.active_count()
    watching(programs())
    assert threading.active_count() == before


def test_what_changes_is_seen_without_a_word(programs: Programs, watching: Watching, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("PENDING")
    watch = watching(programs(squeue=f'{ROW} "$(cat {state})"', scontrol="exit 1"))
    assert watch.observe([A])["a.0"].state is AllocationState.PENDING
    state.write_text("RUNNING")
    until(lambda: (found := seen(watch)) and found.state is AllocationState.RUNNING)


def test_a_missing_squeue_makes_everything_unknown_not_failed(programs: Programs, watching: Watching) -> None:
    watch = watching(programs(sbatch="true"))
    with pytest.raises(BackendUnavailable, match="Slurm's program squeue is not in") as raised:
        watch.observe([A])
    assert raised.value.since is not None


def test_nobody_waits_long_for_a_slurm_that_has_never_answered(
    programs: Programs, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.backends.slurm.watch._FIRST", 0.5)
    slurm, began = programs(squeue="exit 1", scontrol="sleep 60"), time.monotonic()
    watch = watching(slurm)
    with pytest.raises(BackendUnavailable, match=r"scontrol did not answer within 0\.5 s"):
        watch.nodes()
    with pytest.raises(BackendUnavailable, match=r"scontrol did not answer within 0\.5 s"):
        watch.partitions()
    assert time.monotonic() - began < 0.9
    slurm.close()


def test_a_squeue_that_fails_makes_everything_unknown_until_it_answers(
    programs: Programs, watching: Watching, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    script = f"if [ -e {broken} ]; then echo 'Unable to contact slurm controller' >&2; exit 1; fi; {ROW % 'RUNNING'}"
    watch = watching(programs(squeue=script, scontrol="exit 1"))
    assert watch.observe([A])["a.0"].state is AllocationState.RUNNING
    broken.touch()
    until(lambda: seen(watch) is None)
    broken.unlink()
    until(lambda: seen(watch) is not None)


def test_a_slow_squeue_holds_up_nobody_but_the_first(programs: Programs, watching: Watching, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    watch = watching(programs(squeue=f"[ -e {slow} ] && sleep 60; {ROW % 'RUNNING'}", scontrol="exit 1", patience=2))
    watch.observe([A])
    slow.touch()
    time.sleep(0.5)
    began = time.monotonic()
    watch.observe([A])
    assert time.monotonic() - began < 1
    watch.close()


def test_a_fresh_look_begins_after_the_call(programs: Programs, watching: Watching, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("PENDING")
    watch = watching(programs(squeue=f'{ROW} "$(cat {state})"', scontrol="exit 1"))
    watch.observe([A])
    state.write_text("RUNNING")
    watch.fresh()
    sight = watch.sight("a.0")
    assert sight is not None
    assert (sight.state, sight.job) == ("RUNNING", "1")
    assert watch.sight("b.0") is None


def test_many_that_want_a_fresh_look_share_it(programs: Programs, watching: Watching) -> None:
    slurm = programs(squeue=f"sleep 0.2; {ROW % 'RUNNING'}", scontrol="exit 1")
    watch = watching(slurm)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: watch.fresh(), range(16)))
    assert slurm.calls["squeue"] <= 3


def test_a_fresh_look_that_fails_is_told(programs: Programs, watching: Watching) -> None:
    watch = watching(programs(squeue="exit 1"))
    with pytest.raises(BackendUnavailable, match="squeue ended with 1"):
        watch.fresh()


def test_what_is_launched_waits_until_a_look_shows_it(programs: Programs, watching: Watching) -> None:
    watch = watching(programs(squeue="true", scontrol="exit 1"))
    watch.observe([A])
    with watch.launching("b.0"):
        watch.fresh()
        assert watch.observe([Asked("b.0")])["b.0"].state is AllocationState.PENDING
    until(lambda: watch.observe([Asked("b.0")])["b.0"].state is AllocationState.ABSENT)


def test_nodes_are_counted_for_the_first_question(programs: Programs, watching: Watching) -> None:
    watch = watching(programs(scontrol="echo NodeName=n1 CPUTot=4 State=IDLE"))
    assert [node.name for node in watch.nodes()] == ["n1"]


def test_a_closed_watch_leaves_no_thread_and_says_so(programs: Programs, watching: Watching) -> None:
    before = threading.active_count()
    watch = watching(programs(squeue="true", scontrol="exit 1"))
    watch.observe([A])
    watch.close()
    until(lambda: threading.active_count() == before)
    with pytest.raises(BackendUnavailable, match="no longer looked at"):
        watch.fresh()
