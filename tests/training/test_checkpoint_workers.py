"""Several workers write one checkpoint, and other numbers of workers load it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_workers import ALONE, Meeting, ThreadGroup, files_of, folders, on_workers, pretended, saved, shard_of

from orchestrator.base.errors import DataError, Fenced, TimedOut
from orchestrator.training.checkpoint import CheckpointStore, GivenUp, Saving
from orchestrator.training.checkpoint.pieces import own_pieces, writers_of
from orchestrator.training.group import Group

LARGE = {f"model/{n}": torch.full((1000, 700 + n), float(n)) for n in range(7)}  # 20 MB: five writers' worth


def save_with(root: Path, size: int, tensors: dict[str, torch.Tensor], samples: int = 1) -> list[Path | str]:
    return on_workers(size, lambda group: CheckpointStore(root).begin(samples, tensors, {}, group).wait())


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_replicated_tensors_are_shared_out_and_read_back_whole(tmp_path: Path, size: int) -> None:
    assert set(save_with(tmp_path, size, LARGE)) == {tmp_path / f"samples-{1:015d}"}
    assert sorted(files_of(tmp_path, 1)) == ["manifest", *(f"part-{n}" for n in range(min(size, 5)))]
    store = CheckpointStore(tmp_path)
    found = store.newest()
    assert found is not None
    into = {name: torch.zeros_like(tensor) for name, tensor in LARGE.items()}
    store.load(found, into, ALONE)
    assert all(torch.equal(into[name], LARGE[name]) for name in LARGE)


def test_each_tensor_has_one_writer_and_the_loads_are_even() -> None:
    writers = writers_of(LARGE, 3)
    assert set(writers) == set(LARGE)
    loads = [sum(LARGE[name].nbytes for name in writers if writers[name] == rank) for rank in range(3)]
    assert max(loads) - min(loads) <= max(tensor.nbytes for tensor in LARGE.values())


def test_a_small_state_is_one_file() -> None:
    assert set(writers_of({str(n): torch.zeros(10) for n in range(99)}, 8).values()) == {0}


def sharded(root: Path, size: int, whole: dict[str, torch.Tensor], dims: dict[str, int] | None = None) -> None:
    """Save as so many workers with shards, one after another in this process."""
    copies: list[dict[str, torch.Tensor]] = []
    for rank in range(size):
        with pretended(rank, size) as mesh:
            copies.append({name: shard_of(t, mesh, (dims or {}).get(name, 0)) for name, t in whole.items()})
    on_workers(size, lambda group: CheckpointStore(root).begin(1, copies[group.rank], {}, group).wait())


ODD = {"model/w": torch.randn(7, 5), "model/b": torch.randn(3), "optimizer/m/w": torch.randn(7, 5)}


def read_sharded(root: Path, size: int, whole: dict[str, torch.Tensor], dims: dict[str, int] | None = None) -> None:
    """Load as so many workers with shards, and compare."""
    for rank in range(size):
        with pretended(rank, size) as mesh:
            dim_of = dims or {}
            into = {n: shard_of(torch.zeros_like(t), mesh, dim_of.get(n, 0)) for n, t in whole.items()}
            expected = {n: shard_of(t, mesh, dim_of.get(n, 0)) for n, t in whole.items()}
            store = CheckpointStore(root)
            store.load(store.read_whole(1), into, ALONE)
            for name in whole:
                mine: Any = into[name]
                theirs: Any = expected[name]
                assert torch.equal(mine.to_local(), theirs.to_local()), (name, rank)


@pytest.mark.parametrize("then", [1, 2, 4, 8])
@pytest.mark.parametrize("now", [1, 3, 5])
def test_shards_load_into_any_number_of_workers(tmp_path: Path, then: int, now: int) -> None:
    sharded(tmp_path, then, ODD)
    read_sharded(tmp_path, now, ODD)


def test_shards_load_into_whole_tensors(tmp_path: Path) -> None:
    sharded(tmp_path, 3, ODD)
    store = CheckpointStore(tmp_path)
    into = {name: torch.zeros_like(tensor) for name, tensor in ODD.items()}
    store.load(store.read_whole(1), into, ALONE)
    assert all(torch.equal(into[name], ODD[name]) for name in ODD)
    assert torch.equal(store.model_of(store.read(1))["w"], ODD["model/w"])


def test_whole_tensors_load_into_shards(tmp_path: Path) -> None:
    save_with(tmp_path, 2, ODD)
    read_sharded(tmp_path, 3, ODD)


def test_shards_along_another_dimension_load(tmp_path: Path) -> None:
    sharded(tmp_path, 2, ODD, {"model/w": 1})
    read_sharded(tmp_path, 3, ODD, {"optimizer/m/w": 1})


def test_shards_and_whole_tensors_lie_in_one_checkpoint(tmp_path: Path) -> None:
    with pretended(0, 1) as mesh:
        tensors = {"w": shard_of(torch.ones(4), mesh), "steps": torch.tensor(3)}
        store = CheckpointStore(tmp_path)
        store.begin(1, tensors, {}, ALONE).wait()
        into = {"w": shard_of(torch.zeros(4), mesh), "steps": torch.tensor(0)}
        store.load(store.read_whole(1), into, ALONE)
        local: Any = into["w"]
        assert (local.to_local().tolist(), into["steps"].item()) == ([1.0] * 4, 3)


def test_a_replicated_distributed_tensor_is_written_once() -> None:
    from torch.distributed.tensor import DTensor, Replicate

    def pieces(rank: int) -> Iterable[Any]:
        with pretended(rank, 2) as mesh:
            tensor = DTensor.from_local(torch.ones(3), mesh, [Replicate()], run_check=False)
            return own_pieces({"w": tensor}, rank, 2)

    assert [len(list(pieces(rank))) for rank in range(2)] == [1, 0]


def begin_all(
    root: Path, size: int, samples: int, change: Callable[[int, CheckpointStore], CheckpointStore | None]
) -> list[Saving | None]:
    """Begin a checkpoint on all workers; where `change` answers None, that worker dies before it writes."""

    def work(group: Group) -> Saving | None:
        store = change(group.rank, CheckpointStore(root, patience=5))
        if store is None:
            group.agree(0)
            return None
        return store.begin(samples, {"w": torch.ones(3)}, {}, group)

    return on_workers(size, work)


def test_a_checkpoint_whose_worker_died_is_given_up_and_the_one_before_is_used(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    first, second, _ = begin_all(tmp_path, 3, 2, lambda rank, store: store if rank < 2 else None)
    assert first is not None
    assert second is not None
    assert not first.done()
    for saving in (first, second):
        saving.abandon()
    for saving in (first, second):
        with pytest.raises(GivenUp):
            saving.wait()
    store = CheckpointStore(tmp_path)
    found = store.newest()
    assert found is not None
    assert found.samples == 1
    store.begin(3, {"w": torch.ones(1)}, {}, ALONE).wait()
    assert folders(tmp_path) == [1, 3]


def test_silence_of_a_worker_ends_the_wait(tmp_path: Path) -> None:
    def work(group: Group) -> Saving | None:
        if group.rank:
            group.agree(0)
            return None
        return CheckpointStore(tmp_path, patience=0.05).begin(1, {"w": torch.ones(3)}, {}, group)

    saving = on_workers(2, work)[0]
    assert saving is not None
    with pytest.raises(TimedOut, match="worker 1 has not written its part"):
        saving.wait()


def test_a_worker_that_cannot_write_is_named_and_all_give_up(tmp_path: Path) -> None:
    def refuse_later(calls: list[int]) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")

    def change(rank: int, store: CheckpointStore) -> CheckpointStore:
        calls: list[int] = []
        fence = (lambda: refuse_later(calls)) if rank == 1 else (lambda: None)
        return CheckpointStore(tmp_path, fence=fence, patience=5)

    leader, broken, other = begin_all(tmp_path, 3, 1, change)
    assert leader is not None
    assert broken is not None
    assert other is not None
    with pytest.raises(GivenUp, match=r"worker 1 could not write its part: OSError: .* No space left"):
        leader.wait()
    with pytest.raises(OSError, match="No space left"):
        broken.wait()
    with pytest.raises(GivenUp, match="the leader gave the checkpoint up"):
        other.wait()


def test_all_are_told_where_the_leader_is_fenced(tmp_path: Path) -> None:
    def refuse() -> None:
        raise Fenced("older token")

    def work(group: Group) -> bool:
        fence = refuse if group.rank == 0 else (lambda: None)
        with pytest.raises(Fenced):
            CheckpointStore(tmp_path, fence=fence).begin(1, {"w": torch.ones(3)}, {}, group)
        return True

    assert on_workers(3, work) == [True] * 3


def test_all_fail_where_the_leader_cannot_read_the_fence(tmp_path: Path) -> None:
    def unreadable() -> None:
        raise OSError(5, "Input/output error")

    def work(group: Group) -> str:
        with pytest.raises((OSError, GivenUp)) as failure:
            CheckpointStore(tmp_path, fence=unreadable).begin(1, {"w": torch.ones(3)}, {}, group)
        return type(failure.value).__name__

    assert on_workers(3, work) == ["OSError", "GivenUp", "GivenUp"]


def test_one_worker_that_cannot_load_fails_all(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    found = store.read(1)

    def work(group: Group) -> str:
        with pytest.raises(DataError) as failure:
            store.load(found, {"model/w": torch.zeros(3 + group.rank)}, group)
        return failure.value.message

    messages = on_workers(2, work)
    assert "by another worker" in messages[0]
    assert "shape (4,) here" in messages[1]


def test_parts_that_do_not_fit_together_are_not_published(tmp_path: Path) -> None:
    meeting = Meeting(1)
    group: Any = ThreadGroup(0, 1, meeting)
    with pretended(1, 2) as mesh:
        half = shard_of(torch.ones(4), mesh)
    with pytest.raises(GivenUp, match="do not make the whole"):
        CheckpointStore(tmp_path).begin(1, {"w": half}, {}, group).wait()
    assert list(tmp_path.iterdir()) == []


def test_a_published_checkpoint_counts_whatever_its_leader_does_then(tmp_path: Path) -> None:
    store = saved(tmp_path, 1)
    saving = store.begin(2, {"model/w": torch.ones(3)}, {}, ALONE)
    saving.wait()
    saving.abandon()
    assert saving.wait() == tmp_path / f"samples-{2:015d}"


def test_notes_are_removed_when_the_manifest_is_there(tmp_path: Path) -> None:
    save_with(tmp_path, 3, LARGE)
    names = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(names) == ["manifest.json", "part-0.distcp", "part-1.distcp", "part-2.distcp"]
    assert json.loads((tmp_path / f"samples-{1:015d}" / "manifest.json").read_text())["content"]["samples"] == 1
