"""Several processes of one node on one cache."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

EVERY = np.arange(40, dtype=np.int64)

READER = """
import json, sys
import numpy as np
from dataclasses import replace
from pathlib import Path
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.remote.retry import Patience
from orchestrator.data.remote.settings import RemoteSettings

url, cache, bound, passes, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
quick = Patience(first_seconds=0.01, longest_seconds=0.05, stalled_seconds=60.0)
settings = RemoteSettings(cache, bound, quick, chunk_bytes=1 << 20)
dataset = ShardedDataset(url, "train", remote=settings)
order = np.random.default_rng(seed).permutation(40)
dataset.prefetch(order)
good = 0
for _ in range(passes):
    for rows in np.array_split(order, 10):
        found = dataset.read_many(rows)
        values = [(view[0], len(view)) for view in found.values["image"]]
        assert values == [(row, 2000) for row in rows.tolist()], values
        good += len(rows)
print(json.dumps({"rows": good}))
"""


def start(bucket, bound: int, passes: int = 1, seed: int = 0) -> subprocess.Popen[str]:
    words = [bucket.url, str(bucket.settings.cache), str(bound), str(passes), str(seed)]
    return subprocess.Popen([sys.executable, "-c", READER, *words], stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, int]:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(out)


def test_each_shard_is_downloaded_once_for_all_processes_of_a_node(bucket) -> None:
    processes = [start(bucket, 10 * 2**20, seed=seed) for seed in range(3)]
    assert [finish(process)["rows"] for process in processes] == [40, 40, 40]
    gets = {f"train-{n:05d}.arrow": len(bucket.ranges(f"train-{n:05d}.arrow")) for n in range(5)}
    assert set(gets.values()) == {1}, gets
    assert len(bucket.ranges("table.bin")) == 1
    assert sorted(path.suffix for path in bucket.folder.iterdir()) == ["", *[".arrow"] * 5, ".bin"]


def test_a_cache_too_small_for_all_is_shared_by_processes_that_read_on(bucket) -> None:
    shard = (bucket.root / "train-00000.arrow").stat().st_size
    bound = int(2.5 * shard) + 8192
    processes = [start(bucket, bound, passes=2, seed=seed) for seed in range(3)]
    most = 0
    while any(process.poll() is None for process in processes):
        here = [path for path in bucket.folder.parent.glob("*/*.arrow*") if path.suffix in {".arrow", ".part"}]
        most = max(most, sum(path.stat().st_size for path in here if path.exists()))
        time.sleep(0.01)
    assert [finish(process)["rows"] for process in processes] == [80, 80, 80]
    assert 0 < most <= bound


def test_what_a_killed_process_has_fetched_is_used_by_the_next(bucket) -> None:
    bucket.proxy.inject("stall", r"train-0000.\.arrow", after=6, times=99)
    process = start_in_chunks(bucket)
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


def start_in_chunks(bucket) -> subprocess.Popen[str]:
    code = READER.replace("chunk_bytes=1 << 20", "chunk_bytes=4096").replace("dataset.prefetch(order)", "")
    words = [bucket.url, str(bucket.settings.cache), str(10 * 2**20), "1", "0"]
    return subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True)


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
    maps = open("/proc/self/maps").read()
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
