"""Several processes of one node on one cache."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.data.remote.locks import release, try_lock

EVERY = np.arange(40, dtype=np.int64)

READER = """
import os, sys
import numpy as np
import s3fs
from pathlib import Path
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.remote.retry import Patience
from orchestrator.data.remote.settings import RemoteSettings

url, cache = sys.argv[1], Path(sys.argv[2])
bound, passes, chunk, processes = map(int, sys.argv[3:])
quick = Patience(first_seconds=0.01, longest_seconds=0.05, stalled_seconds=60.0)
settings = RemoteSettings(cache, bound, quick, chunk_bytes=chunk)

def read(seed):
    dataset = ShardedDataset(url, "train", remote=settings)
    order = np.random.default_rng(seed).permutation(40)
    if processes:
        dataset.prefetch(order)
    for _ in range(passes):
        for rows in np.array_split(order, 10):
            found = dataset.read_many(rows)
            values = [(view[0], len(view)) for view in found.values["image"]]
            assert values == [(row, 2000) for row in rows.tolist()], values

children = []
for seed in range(processes):
    children.append(os.fork())
    if children[-1] == 0:
        read(seed)
        os._exit(0)
if not processes:
    read(0)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


def start(bucket, bound: int, *, passes: int = 1, chunk: int = 1 << 20, processes: int = 3) -> subprocess.Popen[bytes]:
    """Read the dataset in several processes; with none, in the one that is started, without read-ahead."""
    words = [bucket.url, bucket.settings.cache, bound, passes, chunk, processes]
    return subprocess.Popen([sys.executable, "-c", READER, *map(str, words)])


def test_each_shard_is_downloaded_once_for_all_processes_of_a_node(bucket) -> None:
    assert start(bucket, 10 * 2**20).wait(timeout=120) == 0
    gets = {f"train-{n:05d}.arrow": len(bucket.ranges(f"train-{n:05d}.arrow")) for n in range(5)}
    assert set(gets.values()) == {1}, gets
    assert len(bucket.ranges("table.bin")) == 1
    assert sorted(path.suffix for path in bucket.folder.iterdir()) == ["", *[".arrow"] * 5, ".bin"]


def counted(cache: Path) -> int:
    """Bytes of the cache, counted while nobody changes what it holds."""
    cache.mkdir(exist_ok=True)
    with (cache / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return sum(path.stat().st_size for path in cache.glob("datasets/*/*") if path.suffix in {".arrow", ".part"})


def test_a_cache_too_small_for_all_is_shared_by_processes_that_read_on(bucket) -> None:
    shard = (bucket.root / "train-00000.arrow").stat().st_size
    bound = int(2.5 * shard) + 8192
    process = start(bucket, bound, passes=2)
    most = 0
    while process.poll() is None:
        most = max(most, counted(bucket.settings.cache))
        time.sleep(0.01)
    assert process.returncode == 0
    assert 0 < most <= bound


def test_what_a_killed_process_has_fetched_is_used_by_the_next(bucket) -> None:
    bucket.proxy.inject("stall", r"train-0000.\.arrow", after=6, times=99)
    process = start(bucket, 10 * 2**20, chunk=4096, processes=0)
    parts = bucket.folder
    until = time.monotonic() + 60
    while sum(fault.times for fault in bucket.proxy.faults) == 99 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(parts.glob("*.part"))
    assert not [p for p in parts.glob("*.arrow") if p.read_bytes() != (bucket.root / p.name).read_bytes()]
    kept = {path.name.removesuffix(".part"): path.stat().st_size for path in parts.glob("*.part")}
    bucket.proxy.faults.clear()
    bucket.proxy.seen.clear()
    assert [view[0] for view in bucket.open().read_many(EVERY).values["image"]] == list(range(40))
    for name, size in kept.items():
        assert bucket.ranges(name)[0].startswith(f"{size}-")


def test_an_evicted_shard_that_is_mapped_stays_readable_and_its_bytes_become_free(bucket) -> None:
    shard = (bucket.root / "train-00000.arrow").stat().st_size
    dataset = bucket.open(cache_bytes=int(1.5 * shard) + 8192)
    held = dataset.read(0)["image"]
    inode = os.stat(bucket.folder / "train-00000.arrow").st_ino
    dataset.read(9)
    assert not (bucket.folder / "train-00000.arrow").exists()
    assert bytes(held) == bytes(2000)
    del held
    dataset.read(17)
    maps = Path("/proc/self/maps").read_text()
    assert not [line for line in maps.splitlines() if f" {inode} " in line and "train-00000" in line]
    assert dataset.read(1)["label"] == 1


def test_what_was_asked_for_longest_ago_is_evicted_first(bucket) -> None:
    shard = (bucket.root / "train-00000.arrow").stat().st_size
    settings = {"cache_bytes": int(2.5 * shard) + 8192}
    for row in (0, 8):
        bucket.open(**settings).read(row)
        time.sleep(0.02)
    bucket.open(**settings).read(1)
    bucket.open(**settings).read(16)
    assert sorted(path.name for path in bucket.folder.glob("*.arrow")) == ["train-00000.arrow", "train-00002.arrow"]


def test_a_version_that_nobody_has_open_makes_room_whole(bucket) -> None:
    shard = (bucket.root / "train-00000.arrow").stat().st_size
    settings = {"cache_bytes": int(1.9 * shard) + 3000}
    bucket.open(**settings).read(0)
    old = bucket.folder
    bucket.replace()
    bucket.open(**settings).read(0)
    assert not old.exists()


def test_a_process_that_is_stopped_while_it_fetches_stops_no_other(bucket) -> None:
    dataset = bucket.open(patience=replace(bucket.settings.patience, idle_seconds=0.05))
    handles = [try_lock(bucket.folder / f"{name}.lock") for name in ("train-00001.arrow", "table.bin")]
    part = bucket.folder / "train-00001.arrow.part"
    part.write_bytes(b"half of it")
    assert dataset.read(9)["label"] == 9
    assert bucket.open(patience=dataset._settings.patience).read(10)["label"] == 10
    assert part.read_bytes() == b"half of it"
    assert not list(bucket.folder.glob("*.[0-9]*.*"))
    for handle in handles:
        release(handle)


@pytest.mark.parametrize("budget", [1, 10**9])
def test_read_ahead_fetches_in_the_background_in_order(bucket, budget) -> None:
    dataset = bucket.open(threads=1, cache_bytes=10 * 2**20, processes=1 if budget > 1 else 10**9)
    dataset.prefetch(np.array([33, 2, 17], dtype=np.int64))
    wanted = ["train-00004.arrow", "train-00000.arrow", "train-00002.arrow"][: 3 if budget > 1 else 1]
    until = time.monotonic() + 20
    while len(list(bucket.folder.glob("*.arrow"))) < len(wanted) and time.monotonic() < until:
        time.sleep(0.01)
    asked = [one.path.rpartition("/")[2] for one in bucket.proxy.requests(r"\.arrow$", "HEAD")]
    assert asked == wanted
    assert dataset.read(33)["label"] == 33
    assert len(bucket.proxy.requests("train-00004.arrow", "HEAD")) == 1
