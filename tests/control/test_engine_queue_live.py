"""The same questions while a controller hands the queue over, and the engine starts, grows and loses runs."""

from pathlib import Path

import pytest

from orchestrator.control.engine_queue import EngineQuestions
from orchestrator.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, slots={"n1": 2, "n2": 2}, queues=True)


@pytest.fixture
def questions(world: World) -> EngineQuestions:
    return EngineQuestions(world.service.site, world.controller.seen)


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
    assert any(note.startswith("unknown since ") for note in questions.queue().notes)
