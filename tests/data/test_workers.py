import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from data_kit import flip_bit

from orchestrator.base.errors import ShardCorrupt, UsageError
from orchestrator.base.process import ProcessIdentity
from orchestrator.data.loader import BatchLoader, LoaderOptions
from orchestrator.data.order import FULL
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.transform import Transform, augmentations
from orchestrator.data.workers import WorkerPool

RANDOM = Transform(3, (0.5,) * 3, (0.25,) * 3, size=(6, 6), augmentations=augmentations(pad_crop=1, flip=True))
REQUESTS = [(epoch, part) for epoch in (0, 1) for part in np.array_split(np.arange(20, dtype=np.int64), 6)]


@pytest.fixture
def loader(small: Path):
    """A maker of loaders of one dataset; their workers end with the test."""
    made: list[BatchLoader] = []

    def make(on_corrupt: str = "fail", pool: WorkerPool | None = None, **options: object) -> BatchLoader:
        dataset = ShardedDataset(small, "train", on_corrupt=on_corrupt)
        made.append(BatchLoader(dataset, RANDOM, LoaderOptions(**{"shuffle": FULL, "seed": 3, **options}), pool))
        return made[-1]

    yield make
    for each in made:
        each.close()


def loads(batches: BatchLoader, look_ahead: int = 3) -> list[tuple[bytes, list[int]]]:
    """Every request's images and labels, announced `look_ahead` loads before."""
    found = []
    for number, (epoch, positions) in enumerate(REQUESTS):
        batches.expect(REQUESTS[number : number + look_ahead] if look_ahead else [])
        images, labels = batches.load(positions, epoch)
        found.append((images.tobytes(), labels.tolist()))
    return found


def pids(batches: BatchLoader) -> tuple[int, ...]:
    assert batches._pool is not None
    return batches._pool.pids


def wait_until_gone(processes: list[ProcessIdentity]) -> None:
    deadline = time.monotonic() + 20
    while any(process.alive() for process in processes):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.02)


@pytest.mark.parametrize("pixels", ["float32", "uint8"])
@pytest.mark.parametrize("cache_bytes", [0, 7 * 108, 2**20])
def test_batches_are_the_same_for_any_number_of_workers(loader, pixels: str, cache_bytes: int) -> None:
    alone = loads(loader(pixels=pixels, cache_bytes=cache_bytes))
    for workers in (1, 3):
        assert loads(loader(pixels=pixels, cache_bytes=cache_bytes, workers=workers)) == alone


def test_hints_that_do_not_come_true_change_nothing(loader) -> None:
    alone, batches = loads(loader()), loader(workers=1)
    for number, (epoch, positions) in enumerate(REQUESTS):
        batches.expect([(1 - epoch, positions), (epoch, positions[::-1]), (epoch, positions[:0])])
        batches.expect(REQUESTS[number + 2 : number + 4])
        images, labels = batches.load(positions, epoch)
        assert (images.tobytes(), labels.tolist()) == alone[number]


def test_workers_are_started_once_and_kept_over_epochs_and_splits(loader, small: Path) -> None:
    pool = WorkerPool(1)
    training = loader(pool=pool)
    evaluation = BatchLoader(ShardedDataset(small, "test"), RANDOM, LoaderOptions(), pool)
    loads(training)
    (first,) = pool.pids
    evaluation.expect([(0, np.arange(5, dtype=np.int64))])
    assert evaluation.load(np.arange(5, dtype=np.int64), 0)[1].tolist() == [0, 1, 2, 3, 4]
    loads(training)
    assert pool.pids == (first,)
    assert pool.lost == 0


def test_a_worker_imports_no_torch(loader) -> None:
    batches = loader(workers=1)
    loads(batches)
    with open(f"/proc/{pids(batches)[0]}/maps", encoding="utf-8") as maps:
        assert "libtorch" not in maps.read()


def test_batches_that_are_held_keep_their_bytes(loader) -> None:
    batches, expected = loader(workers=1), loads(loader())
    held = []
    for number, (epoch, positions) in enumerate(REQUESTS):
        batches.expect(REQUESTS[number : number + 3])
        held.append(batches.load(positions, epoch)[0][:])
    assert [images.tobytes() for images in held] == [images for images, _ in expected]


def test_memory_of_a_batch_is_used_again_once_nothing_refers_to_it(loader) -> None:
    batches = loader(workers=1)
    for _ in range(4):
        loads(batches)
    gc.collect()
    assert batches._pool._lent == 0
    assert len(batches._pool._free) == len(batches._pool._slots)


def test_fewer_batches_are_made_ahead_where_they_are_large(loader) -> None:
    alone, positions = loads(loader()), np.arange(20, dtype=np.int64)
    for memory, ahead in ((2**20, 6), (7 * 20 * 432, 4), (1, 3)):
        batches = loader(pool=WorkerPool(2, memory=memory))
        batches.expect([(epoch, positions) for epoch in range(9)])
        assert len(batches._tickets) == ahead
        batches.expect([])
        assert loads(batches, look_ahead=6) == alone


def test_no_more_memory_is_taken_than_for_the_batches_that_are_held_at_once(loader) -> None:
    batches = loader(pool=WorkerPool(1, memory=1))
    for count in (20, 4, 20, 4, 20):
        for epoch in range(6):
            requests = [(each, np.arange(count, dtype=np.int64)) for each in range(epoch, epoch + 3)]
            batches.expect(requests)
            batches.load(requests[0][1], epoch)
    large = [slot for slot in batches._pool._slots if os.fstat(slot.memory).st_size >= 20 * 432]
    assert len(large) <= 2 + 1, "two that are made ahead, and one that is being used"


def test_a_killed_worker_costs_nothing_but_time(loader, caplog: pytest.LogCaptureFixture) -> None:
    alone, batches, found = loads(loader()), loader(workers=2), []
    for number, (epoch, positions) in enumerate(REQUESTS):
        batches.expect(REQUESTS[number : number + 4])
        if number in (2, 7):
            os.kill(pids(batches)[0], signal.SIGKILL)
        images, labels = batches.load(positions, epoch)
        found.append((images.tobytes(), labels.tolist()))
    assert found == alone
    assert batches._pool.lost == 2
    assert "killed by signal 9; its batches are made again" in caplog.text


def test_a_worker_that_hangs_is_given_up(loader, caplog: pytest.LogCaptureFixture) -> None:
    alone, batches = loads(loader()), loader(pool=WorkerPool(1, patience=0.3))
    batches.expect(REQUESTS[:3])
    os.kill(pids(batches)[0], signal.SIGSTOP)
    assert loads(batches) == alone
    assert "has not answered for 0.3 s" in caplog.text


def test_workers_that_cannot_start_are_done_without(
    loader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("orchestrator.data.workers.START", "raise SystemExit(3)")
    assert loads(loader(workers=1)) == loads(loader())
    assert "ended with exit code 3" in caplog.text
    assert "batches are made without any" in caplog.text


@dataclass(frozen=True)
class Moody:
    """Fails in every process but one."""

    home: int

    def apply(self, images: np.ndarray, words: np.ndarray) -> np.ndarray:
        if os.getpid() != self.home:
            raise RuntimeError("not at home")
        return images


def test_an_error_in_a_worker_is_said_and_the_batch_made_again(
    small: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from test_workers import Moody as Importable

    transform = Transform(3, (0.0,) * 3, (1.0,) * 3, (6, 6), (Importable(os.getpid()),))
    batches = BatchLoader(ShardedDataset(small, "train"), transform, LoaderOptions(workers=1))
    assert len(loads(batches)) == len(REQUESTS)
    assert "RuntimeError: not at home" in caplog.text
    batches.close()


def test_a_corrupt_record_that_a_worker_meets_is_the_error_of_the_load(loader, small: Path) -> None:
    flip_bit(small, 4)
    batches = loader(workers=1)
    positions = np.arange(20, dtype=np.int64)
    batches.expect([(0, positions)])
    with pytest.raises(ShardCorrupt, match="rows 4") as caught:
        batches.load(positions, 0)
    assert "verify" in caught.value.hint


def test_rows_that_workers_skip_are_known_to_the_parent(loader, small: Path) -> None:
    flip_bit(small, 4)
    batches = loader(workers=2, on_corrupt="skip")
    assert loads(batches) == loads(loader(on_corrupt="skip"))
    assert batches.skipped_rows == (4,)
    assert batches.skipped == 1


def test_a_pool_has_workers() -> None:
    with pytest.raises(UsageError, match="0 workers"):
        WorkerPool(0)


def test_a_fork_of_the_parent_makes_its_batches_itself(loader) -> None:
    alone, batches = loads(loader()), loader(workers=1)
    batches.expect(REQUESTS[:3])
    child = os.fork()
    if child == 0:
        os._exit(0 if loads(batches) == alone else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert loads(batches) == alone


def test_workers_ignore_the_signals_that_their_parent_gets(loader) -> None:
    batches = loader(workers=1)
    batches.expect(REQUESTS[:3])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        os.kill(pids(batches)[0], number)
    assert loads(batches) == loads(loader())
    assert batches._pool.lost == 0


PARENT = """
    import os, sys, time
    from pathlib import Path
    import numpy as np
    from orchestrator.data.loader import BatchLoader, LoaderOptions
    from orchestrator.data.reader import ShardedDataset
    from orchestrator.data.transform import Transform
    transform = Transform(3, (0.0,) * 3, (1.0,) * 3, (6, 6))
    batches = BatchLoader(ShardedDataset(Path(sys.argv[1]), "train"), transform, LoaderOptions(workers=2))
    parts = np.array_split(np.arange(20, dtype=np.int64), 6)
    batches.expect([(0, part) for part in parts])
    images, _ = batches.load(parts[0], 0)
    print(*batches._pool.pids, flush=True)
    ENDING
"""


@pytest.mark.parametrize("ending", ["time.sleep(60)", "os._exit(0)", "raise SystemExit(0)", "del batches; sys.exit()"])
def test_workers_end_with_their_parent_and_leave_no_memory(small: Path, ending: str) -> None:
    before = set(os.listdir("/dev/shm"))
    script = textwrap.dedent(PARENT).replace("ENDING", ending)
    parent = subprocess.Popen([sys.executable, "-c", script, str(small)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [ProcessIdentity.of(int(pid)) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    if "sleep" in ending:
        parent.kill()
    parent.wait(20)
    parent.stdout.close()
    wait_until_gone([worker for worker in workers if worker is not None])
    assert not {name for name in set(os.listdir("/dev/shm")) - before if "batch" in name or "pixels" in name}
