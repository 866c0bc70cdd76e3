"""The same questions while a controller hands the queue over, and the engine starts, grows and loses runs."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.base.errors import BackendUnavailable
from orchestrator.control.engine_queue import EngineQuestions
from orchestrator.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, slots={"n1": 2, "n2": 2}, queues=True)


@pytest.fixture
def questions(world: World) -> EngineQuestions:
    return EngineQuestions(world.service.site, world.controller.seen, world.controller.silence)


def step(world: World, questions: EngineQuestions, times: int = 2) -> None:
    world.step(times)
    questions.forget()


def test_a_job_goes_from_here_to_the_engine_and_runs(world: World, questions: EngineQuestions) -> None:
    job = world.submit("start", *["wait"] * 50, "succeed")
    assert questions.why(job).kind == "starts"
    step(world, questions)
    world.backend.wait(f"{job}-r1.0", "Resources", "too little is free")
    step(world, questions)
    why = questions.why(job)
    assert (why.state, why.kind, why.engine_id) == ("starting", "handed", "1000")
    assert "too little is free" in why.reason
    assert [line.job for line in questions.queue().pending] == [job]
    world.backend.begin_all()
    step(world, questions, 3)
    why = questions.why(job)
    assert (why.state, why.workers) == ("running", 1)
    assert "holds 1 cpu slot on n1, in Simulated as job 1000" in why.reason
    assert [line.job for line in questions.queue().running] == [job]
    world.finish()
    assert questions.why(job).state == "succeeded"


def test_a_job_that_is_held_in_the_engine_is_released_from_here(world: World, questions: EngineQuestions) -> None:
    job = world.submit("start", "succeed")
    step(world, questions)
    world.service.hold(job, "otto")
    step(world, questions)
    why = questions.why(job)
    assert (why.state, why.kind) == ("held", "held")
    assert [line.state for line in questions.queue().pending] == ["held"]
    assert [remedy.command for remedy in why.remedies] == [f"orchestrator release {job}"]
    world.service.release(job, "otto")
    world.step()
    world.backend.begin_all()
    world.finish()


def test_a_training_that_grows_is_told_with_what_joins_it(tmp_path: Path) -> None:
    growth = {"growth": {"partition": "spare", "least": "0s"}}
    world = World(tmp_path, slots={"n1": 2, "n2": 2}, queues=True, profile={"slurm": growth})
    questions = EngineQuestions(world.service.site, world.controller.seen)
    job = world.train("start", *["wait"] * 100, "succeed", workers="2..4")
    step(world, questions)
    world.backend.begin_all()
    step(world, questions, 6)
    why = questions.why(job)
    assert "2 workers of 2..4" in why.reason
    assert "of one node wait" in why.reason
    assert questions.queue().running[0].reason.startswith("2 of 4 workers; ")
    fault = "Slurm has no partition spare, which the profile names (slurm.growth); it has batch"
    capacity = world.backend.capacity()
    world.backend.capacity = lambda: replace(capacity, faults=(fault,))  # type: ignore[method-assign]
    assert questions.why(job).details[0] == fault


def test_while_the_engine_is_silent_every_job_has_an_answer(world: World, questions: EngineQuestions) -> None:
    running, pending = world.submit("start", *["wait"] * 50, "succeed"), world.submit()
    step(world, questions)
    world.backend.begin(f"{running}-r1.0")
    step(world, questions)
    queued = world.submit(depends_on=[pending])
    world.backend.available = False
    step(world, questions)
    answers = {job: questions.why(job) for job in (running, pending, queued)}
    assert answers[pending].kind == "engine"
    assert all("does not answer" in " ".join([why.reason, *why.details]) for why in answers.values())
    (told,) = questions.queue().notes
    assert told.startswith("unknown since ")
    later = world.submit()
    questions.forget()
    assert (why := questions.why(later)).kind == "engine"
    assert {why.reason, questions.why(running).details[0], world.job(running).reason} == {told}
    assert questions.fill([world.job(later)])[0].reason == told
    world.backend.available = True
    step(world, questions)
    assert questions.queue().notes == []


def test_an_engine_that_says_when_it_answered_last_is_unknown_since_then(
    world: World, questions: EngineQuestions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise BackendUnavailable("squeue says nothing", since=1_000_000_000.0)

    monkeypatch.setattr(world.backend, "observe", silent)
    step(world, questions)  # nothing runs or waits: the engine is looked at all the same
    assert questions.queue().notes == [
        "unknown since 2001-09-09 01:46:40 UTC: the engine simulated does not answer (squeue says nothing)"
    ]


def test_what_the_profile_names_in_vain_is_told_with_the_queue_and_once_in_the_log(
    world: World, questions: EngineQuestions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fault = "Slurm has no partition gpu, which the profile names (slurm.partition); it has batch"
    capacity = world.backend.capacity()
    monkeypatch.setattr(world.backend, "capacity", lambda: replace(capacity, faults=(fault,)))
    step(world, questions, 3)
    assert questions.queue().notes == [fault]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [fault]


def test_what_a_server_that_stops_asks_no_more_is_no_silence(world: World) -> None:
    (stopping := threading.Event()).set()
    world.controller.run(stopping)
    world.backend.available = False
    world.controller.step()
    assert world.controller.silence() == ""
