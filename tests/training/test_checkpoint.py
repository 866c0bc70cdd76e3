"""Checkpoints are whole or not there."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from pathlib import Path

import pytest
import torch
from checkpoint_workers import ALONE, files_of, flip, folders, save, saved

from orchestrator.base.errors import DataError, Fenced, UsageError
from orchestrator.training.checkpoint import CheckpointStore, GivenUp, KeepPolicy
from orchestrator.training.checkpoint.manifest import MANIFEST
from orchestrator.training.group import GroupBroken


def test_the_newest_is_read_back(tmp_path: Path) -> None:
    store = saved(tmp_path / "c", 100, 900, 1000)
    found = store.newest()
    assert found is not None
    assert (found.samples, found.meta) == (1000, {"at": 1000})
    into = torch.zeros(3)
    store.load(found, {"model/w": into}, ALONE)
    assert torch.equal(into, torch.full((3,), 1000.0))


@pytest.mark.parametrize(
    "value",
    [
        torch.tensor(7),
        torch.zeros(0, 3),
        torch.tensor([math.nan, -0.0, math.inf]),
        torch.arange(5).to(torch.bfloat16),
        torch.tensor([True, False]),
        torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.arange(24.0).reshape(4, 6)[::2, ::3],
        torch.nn.Parameter(torch.randn(3)),
    ],
    ids=["scalar", "empty", "special", "bfloat16", "bool", "channels_last", "strided", "parameter"],
)
def test_a_tensor_comes_back_bit_for_bit(tmp_path: Path, value: torch.Tensor) -> None:
    store = CheckpointStore(tmp_path)
    save(store, 1, {"t": value})
    found = store.newest()
    assert found is not None
    into = torch.zeros_like(value)
    store.load(found, {"t": into}, ALONE)
    before, after = (t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (value, into))
    assert torch.equal(before, after)


def test_what_changes_after_begin_is_not_in_it(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    weights, meta = torch.ones(1000), {"list": [1]}
    saving = store.begin(1, {"w": weights}, meta, ALONE)
    weights.zero_()
    meta["list"].append(2)
    saving.wait()
    found = store.read(1)
    store.load(found, {"w": weights}, ALONE)
    assert weights.eq(1).all()
    assert found.meta == {"list": [1]}


def test_one_that_is_begun_while_another_is_on_its_way_comes_after_it(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    savings = [store.begin(n, {"w": torch.full((9,), float(n))}, {}, ALONE) for n in (1, 2, 3)]
    assert [Path(saving.wait()).name[-1] for saving in savings] == ["1", "2", "3"]
    assert all(saving.done() for saving in savings)
    assert folders(tmp_path) == [2, 3]


def test_nothing_is_found_where_nothing_was_written(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path / "absent").newest() is None
    assert not (tmp_path / "absent").exists()


def test_the_model_is_handed_on_by_its_own_names(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    save(store, 1, {"model/a.b": torch.ones(2), "optimizer/momentum/a.b": torch.zeros(2)})
    found = store.model_of(store.read_whole(1))
    assert {name: value.tolist() for name, value in found.items()} == {"a.b": [1.0, 1.0]}


def test_the_average_is_handed_on_where_there_is_one(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    save(store, 1, {"model/a": torch.ones(1), "model/count": torch.tensor(3), "ema/a": torch.zeros(1)})
    assert {n: v.item() for n, v in store.model_of(store.read(1)).items()} == {"a": 0.0, "count": 3}


@pytest.mark.parametrize("name", ["part-0", "manifest"])
def test_a_damaged_newest_one_is_named_and_the_one_before_is_used(tmp_path: Path, name: str) -> None:
    store = saved(tmp_path, 1, 2)
    flip(files_of(tmp_path, 2)[name])
    told: list[str] = []
    found = store.newest(told.append)
    assert found is not None
    assert found.samples == 1
    assert len(told) == 1
    assert f"{2:015d}" in told[0]
    assert name in told[0]


def test_a_missing_or_shortened_file_is_named(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2, keep=3)
    files_of(tmp_path, 2)["part-0"].write_bytes(b"short")
    files_of(tmp_path, 1)["part-0"].unlink()
    told: list[str] = []
    assert store.newest(told.append) is None
    assert "part-0.distcp differs from its checksum" in told[0]
    assert "part-0.distcp is missing" in told[1]


def test_one_without_a_manifest_is_passed_over(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2)
    files_of(tmp_path, 2)["manifest"].unlink()
    told: list[str] = []
    found = store.newest(told.append)
    assert found is not None
    assert found.samples == 1
    assert "was not finished" in told[0]


def test_exactly_one_is_asked_for_where_no_other_will_do(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2)
    flip(files_of(tmp_path, 2)["part-0"])
    with pytest.raises(DataError, match=r"part-0\.distcp differs"):
        store.read_whole(2)
    with pytest.raises(DataError, match="was not finished"):
        store.read_whole(3)


def test_a_manifest_that_was_moved_is_not_believed(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 2)
    files_of(tmp_path, 2)["manifest"].write_bytes(files_of(tmp_path, 1)["manifest"].read_bytes())
    told: list[str] = []
    store.newest(told.append)
    assert "another checkpoint's" in told[0]


def test_the_same_place_can_be_written_again(tmp_path: Path) -> None:
    store = saved(tmp_path, 5)
    save(store, 5, {"model/w": torch.zeros(3)}, {"at": "again"})
    found = store.newest()
    assert found is not None
    assert found.meta == {"at": "again"}
    assert sorted(files_of(tmp_path, 5)) == ["manifest", "part-0"]


@pytest.mark.parametrize(
    ("into", "said"),
    [
        ({"model/v": torch.zeros(3)}, "no tensor 'model/v'"),
        ({"model/w": torch.zeros(4)}, r"shape \(3,\) there, and float32 of shape \(4,\) here"),
        ({"model/w": torch.zeros(3, dtype=torch.float64)}, "float32 of shape .* there, and float64"),
    ],
)
def test_tensors_that_it_cannot_fill_are_named(tmp_path: Path, into: dict[str, torch.Tensor], said: str) -> None:
    store = saved(tmp_path, 1)
    with pytest.raises(DataError, match=said):
        store.load(store.read(1), into, ALONE)


def test_a_fenced_writer_writes_nothing(tmp_path: Path) -> None:
    def refuse() -> None:
        raise Fenced("older token")

    with pytest.raises(Fenced):
        CheckpointStore(tmp_path / "c", fence=refuse).begin(1, {"w": torch.ones(1)}, {}, ALONE)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("allowed", [1, 2])
def test_a_writer_that_is_fenced_while_it_writes_publishes_nothing(tmp_path: Path, allowed: int) -> None:
    calls: list[int] = []

    def refuse_later() -> None:
        calls.append(1)
        if len(calls) > allowed:
            raise Fenced("older token")

    store = CheckpointStore(tmp_path, fence=refuse_later)
    with pytest.raises(Fenced):
        save(store, 1, {"w": torch.ones(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = saved(tmp_path, 1)

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save(store, 2, {"w": torch.ones(1)})
    assert folders(tmp_path) == [1]


def test_one_that_is_abandoned_leaves_nothing(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    first = store.begin(1, {"w": torch.ones(10)}, {}, ALONE)
    second = store.begin(2, {"w": torch.ones(10)}, {}, ALONE)
    first.wait()
    second.wait()
    third = store.begin(3, {"w": torch.ones(10)}, {}, ALONE)
    third.abandon()
    with contextlib.suppress(GivenUp):
        third.wait()
    assert folders(tmp_path) in ([1, 2], [2, 3])


def test_abandoning_one_abandons_those_that_it_waits_for(tmp_path: Path) -> None:
    may_go_on = threading.Event()

    def hold() -> None:
        if threading.current_thread() is not threading.main_thread():
            assert may_go_on.wait(10)

    store = CheckpointStore(tmp_path, fence=hold)
    savings = [store.begin(n, {"w": torch.ones(10)}, {}, ALONE) for n in (1, 2)]
    savings[1].abandon()
    may_go_on.set()
    for saving in savings:
        with pytest.raises(GivenUp, match="gave the checkpoint up"):
            saving.wait()
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_not_finite_do_not_prevent_a_checkpoint(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.begin(1, {"w": torch.ones(1)}, {"loss": math.nan}, ALONE, measures={"top1": math.nan}).wait()
    assert math.isnan(store.read_whole(1).meta["loss"])


def test_a_manifest_is_json_that_people_can_read(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    document = json.loads((tmp_path / f"samples-{1:015d}" / MANIFEST).read_text())
    assert document["content"]["tensors"]["model/w"]["shape"] == [3]


def test_one_checkpoint_waits_at_most_and_the_next_one_waits_for_its_turn(tmp_path: Path) -> None:
    free, asked = threading.Event(), []

    def fence() -> None:
        if threading.current_thread() is not threading.main_thread():
            free.wait(10)

    def meanwhile() -> None:
        asked.append(1)
        free.set()

    store = CheckpointStore(tmp_path, KeepPolicy(9), fence=fence)
    for samples in (1, 2):
        store.begin(samples, {"w": torch.ones(3)}, {}, ALONE, meanwhile=meanwhile)
    assert asked == []
    store.begin(3, {"w": torch.ones(3)}, {}, ALONE, meanwhile=meanwhile).wait()
    assert asked
    assert folders(tmp_path) == [1, 2, 3]


def test_what_is_raised_while_a_checkpoint_waits_for_its_turn_ends_the_waiting(tmp_path: Path) -> None:
    free = threading.Event()

    def fence() -> None:
        if threading.current_thread() is not threading.main_thread():
            free.wait(10)

    def gone() -> None:
        raise GroupBroken("a worker was lost")

    store = CheckpointStore(tmp_path, fence=fence)
    savings = [store.begin(samples, {"w": torch.ones(3)}, {}, ALONE) for samples in (1, 2)]
    with pytest.raises(GroupBroken):
        store.begin(3, {"w": torch.ones(3)}, {}, ALONE, meanwhile=gone)
    free.set()
    savings[-1].wait()


def test_a_place_that_can_never_be_written_is_refused_and_one_that_can_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written to") as refused:
        CheckpointStore(tmp_path / "file" / "checkpoints").refuse_unwritable()
    assert "train.checkpoint.to" in refused.value.hint
    CheckpointStore(tmp_path / "there").refuse_unwritable()
    assert not list((tmp_path / "there").rglob("*"))
