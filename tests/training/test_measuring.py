"""How fast a training is: what counts as a steady step, and what does not."""

from __future__ import annotations

import torch

from orchestrator.base.hardware import cpu_name
from orchestrator.training.measuring import WARM_UP, Measuring, device_name, peak_memory

CPU = torch.device("cpu")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def measuring(workers: int = 1) -> tuple[Clock, Measuring]:
    clock = Clock()
    found = Measuring(CPU, now=clock)
    found.enters(workers)
    return clock, found


def steps(clock: Clock, found: Measuring, count: int, seconds: float = 1.0) -> None:
    for _ in range(count):
        clock.now += seconds
        found.stepped(8)


def test_the_first_steps_of_a_view_do_not_count() -> None:
    clock, found = measuring()
    steps(clock, found, WARM_UP, seconds=100.0)
    assert found.document() == {}
    steps(clock, found, 4, seconds=2.0)
    document = found.document()
    assert (document["steps"], document["samples"], document["seconds"]) == (4, 32, 8.0)


def test_a_new_view_is_measured_anew() -> None:
    clock, found = measuring()
    steps(clock, found, 10)
    found.enters(2)
    assert found.document() == {}
    steps(clock, found, WARM_UP + 1)
    assert (found.document()["workers"], found.document()["steps"]) == (2, 1)


def test_evaluations_and_ends_of_epochs_are_apart_from_steps() -> None:
    clock, found = measuring()
    steps(clock, found, WARM_UP + 2)
    for _ in range(2):
        clock.now += 3.0
        found.round_ended()
    found.evaluation_ended(50)
    clock.now += 0.5
    found.epoch_ended()
    steps(clock, found, 1)
    document = found.document()
    assert (document["seconds"], document["steps"]) == (3.0, 3)
    assert (document["evaluation_seconds"], document["evaluated"]) == (6.0, 50)
    assert (document["epoch_seconds"], document["epochs"]) == (0.5, 1)


def test_an_evaluation_that_was_not_ended_does_not_count() -> None:
    clock, found = measuring()
    steps(clock, found, WARM_UP + 1)
    clock.now += 3.0
    found.round_ended()
    assert found.document()["evaluation_seconds"] == 0.0


def test_what_was_interrupted_does_not_count() -> None:
    clock, found = measuring()
    steps(clock, found, WARM_UP + 1)
    clock.now += 1000.0
    found.interrupted()
    steps(clock, found, 2)
    assert (found.document()["seconds"], found.document()["steps"]) == (2.0, 2)


def test_it_is_told_soon_and_then_now_and_then() -> None:
    clock, found = measuring()
    assert not found.due
    steps(clock, found, WARM_UP + 3)
    assert found.due
    found.document()
    assert not found.due
    clock.now += 30.0
    assert found.due


def test_a_cpu_has_a_name_and_a_process_has_a_peak() -> None:
    assert device_name(CPU) == cpu_name()
    assert cpu_name().startswith("cpu:")
    assert peak_memory(CPU) > 50 * 2**20
