"""A worker's place by Ray Train: who counts, who leads, when it hangs, and when all of them ask about drains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.raytrain.drains import Drains
from orchestrator.raytrain.place import Attempt, HangWatch, RayTrainPlace
from orchestrator.training.group import GroupBroken


def test_each_start_of_the_workers_has_numbers_of_its_own(tmp_path: Path) -> None:
    said: list[Any] = []

    def leads(value: Any) -> Any:
        said.append(value)
        return value

    first = Attempt.join(tmp_path, 0, 2, leads)
    assert Attempt.join(tmp_path, 1, 2, lambda value: said[-1]) == Attempt(1, 1, 2)
    again = Attempt.join(tmp_path, 0, 1, leads)
    assert (first.number, again) == (1, Attempt(2, 0, 1, before=2))
    again.leave(tmp_path)
    assert Attempt.join(tmp_path, 0, 2, leads) == Attempt(3, 0, 2, before=1, drained=True)
    assert Attempt.join(tmp_path, 0, 2, leads) == Attempt(4, 0, 2, before=2)


def test_the_group_meets_at_worker_0_and_there_is_no_second_view() -> None:
    def from_rank_zero(value: Any) -> Any:
        return ("10.0.0.1", 4242)

    place = RayTrainPlace(Attempt(3, 1, 2), "10.0.0.2", from_rank_zero)
    place.ready(5151)
    view = place.next_view(0)
    assert view is not None
    assert (view.epoch, view.numbers, place.number) == (3, (3000, 3001), 3001)
    assert (view.members[0].host, view.members[0].port) == ("10.0.0.1", 4242)
    place.broken(3, "worker 3000 is gone")
    with pytest.raises(GroupBroken, match="worker 3000 is gone"):
        place.next_view(3)


def test_a_step_that_does_not_end_ends_the_worker_and_waiting_for_others_does_not() -> None:
    ended: list[str] = []
    watch = HangWatch(5.0, lambda: ended.append("ended"))
    watch.beat(1, "collective")
    watch.look(float("inf"))
    assert not ended
    watch.beat(1, "compute")
    watch.look(0.0)
    assert not ended
    watch.look(float("inf"))
    assert ended


class Workers:
    """Workers in step: worker 0's clock, and how often each asked."""

    def __init__(self, step_seconds: float) -> None:
        self.now, self._step = 0.0, step_seconds
        self.asked, self.drains = 0, False
        self._said = 0
        self.leader = Drains(self._preempted, self._says, lambda: self.now)
        self.other = Drains(lambda: self.drains, lambda value: self._said, lambda: 1e9 - self.now)

    def _preempted(self) -> bool:
        self.asked += 1
        return self.drains

    def _says(self, value: int) -> int:
        self._said = value
        return value

    def unit(self) -> tuple[bool, bool]:
        self.now += self._step
        return self.leader(), self.other()


@pytest.mark.parametrize("step_seconds", [0.001, 0.1, 30.0])
def test_all_workers_ask_about_drains_in_the_same_unit_and_no_more_often_than_is_useful(step_seconds: float) -> None:
    workers = Workers(step_seconds)
    for _ in range(3000):
        assert workers.unit() == (False, False)
    seconds = 3000 * step_seconds
    assert workers.asked <= max(14, 2 * seconds / 2.0)
    workers.drains = True
    told = [workers.unit() for _ in range(2000)]
    assert all(one == other for one, other in told)
    assert told[-1] == (True, True)
