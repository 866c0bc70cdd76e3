"""Claims of an array's workers, and how they learn that one has died."""

import json
import subprocess
from pathlib import Path

import pytest

from orchestrator.base.errors import Conflict
from orchestrator.search.claims import Claim, Claims
from orchestrator.search.lives import Life, Lives


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Known(Lives):
    """Lives that a test decides."""

    def __init__(self) -> None:
        super().__init__(Path("/nonexistent"))
        self.dead: set[int] = set()
        self.left: set[int] = set()

    def lives(self, worker: int) -> bool:
        return worker not in self.dead | self.left

    def gone(self, worker: int) -> bool:
        return worker in self.left


def pair(folder: Path) -> tuple[Known, Claims, Claims]:
    lives = Known()
    return lives, Claims(folder, 1, lives), Claims(folder, 2, lives)


def test_one_worker_alone_gets_a_piece_of_work(tmp_path: Path) -> None:
    _, one, two = pair(tmp_path)
    assert one.take("trial-0") == Claim(1)
    assert two.take("trial-0") is None
    assert one.take("trial-0") == Claim(1)
    assert two.current("trial-0") == Claim(1)
    assert two.current("trial-1") is None


def test_what_was_begun_is_told_without_reading_a_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, one, two = pair(tmp_path)
    held = one.take("trial-0")
    assert held is not None
    one.failed("trial-0", held)
    two.take("trial-2")
    monkeypatch.delattr("orchestrator.search.claims.read_json")
    assert two.begun() == {"trial-0", "trial-2"}


def test_the_work_of_a_worker_that_died_is_taken_over_and_counts_as_failed(tmp_path: Path) -> None:
    lives, one, two = pair(tmp_path)
    held = one.take("trial-0")
    assert held is not None
    lives.dead.add(1)
    assert two.take("trial-0") == Claim(2, failures=1, number=1)
    with pytest.raises(Conflict, match="another worker"):
        one.hold("trial-0", held)
    with pytest.raises(Conflict, match="another worker"):
        one.failed("trial-0", held)


def test_the_work_of_a_worker_that_left_is_taken_over_and_has_not_failed(tmp_path: Path) -> None:
    lives, one, two = pair(tmp_path)
    one.take("trial-0")
    lives.left.add(1)
    assert two.take("trial-0") == Claim(2, failures=0, number=1)


def test_a_failure_is_remembered_by_who_takes_over(tmp_path: Path) -> None:
    lives, one, two = pair(tmp_path)
    held = one.take("trial-0")
    assert held is not None
    again = one.failed("trial-0", held)
    assert again == Claim(1, failures=1, number=1)
    one.hold("trial-0", again)
    lives.dead.add(1)
    assert two.take("trial-0") == Claim(2, failures=2, number=2)


def test_a_worker_lives_until_it_leaves(tmp_path: Path) -> None:
    lives = Lives(tmp_path)
    assert not lives.lives(1)
    life = Life(tmp_path, 1)
    assert lives.lives(1)
    life.leave()
    assert not lives.lives(1)
    assert lives.gone(1)


def test_a_worker_whose_process_is_gone_from_this_machine_is_dead_at_once(tmp_path: Path) -> None:
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    Life(tmp_path, 1).leave()
    about = json.loads((tmp_path / "1.json").read_text())
    del about["gone"]
    (tmp_path / "1.json").write_text(json.dumps(about | {"beat": 3, "process": {"pid": ended.pid, "start_ticks": 1}}))
    assert not Lives(tmp_path).lives(1)
    assert not Lives(tmp_path).gone(1)


def test_a_worker_of_another_machine_is_dead_once_its_beat_has_not_changed_for_long(tmp_path: Path) -> None:
    clock = Clock()
    lives = Lives(tmp_path, lost_after=60, now=clock)
    elsewhere = {"where": "another machine", "process": {"pid": 1, "start_ticks": 1}}

    def beats(number: int) -> None:
        (tmp_path / "1.json").write_text(json.dumps(elsewhere | {"beat": number}))

    beats(1)
    assert lives.lives(1)
    clock.now = 59
    assert lives.lives(1)
    beats(2)
    assert lives.lives(1)
    clock.now = 118
    assert lives.lives(1)
    clock.now = 120
    assert not lives.lives(1)
    beats(3)
    assert lives.lives(1)
