import math
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import DataError, UsageError
from orchestrator.data.arrays import AnyArray, Int64s
from orchestrator.data.epochs import EpochOrders, order_of
from orchestrator.data.header import Description
from orchestrator.data.index import SplitIndex
from orchestrator.data.order import FULL, SEQUENTIAL, Order, Shuffle
from orchestrator.data.reader import Rows, ShardedDataset
from orchestrator.data.resample import Resample
from orchestrator.data.schema import Schema
from orchestrator.data.writer import DatasetWriter, Limits

steady = settings(derandomize=True, deadline=None, max_examples=60)

weights = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 50)), min_size=1, max_size=90).filter(lambda w: sum(w) > 0)
shuffles = st.one_of(st.sampled_from([SEQUENTIAL, FULL]), st.integers(1, 5).map(lambda k: Shuffle("window", k)))


class Split:
    """A split in memory: one column of labels, weights, or lists of classes."""

    def __init__(self, values: list[float] | list[int] | list[list[int]], kind: str, shard_rows: int = 7) -> None:
        self.version = "v"
        self.schema = Schema.of([("column", kind)])
        self._values = values
        count = len(values)
        shards = np.array([min(shard_rows, count - at) for at in range(0, count, shard_rows)], dtype=np.int64)
        self.split = SplitIndex("train", count, len(shards), 0, 0, 0, shards)
        self.reads = 0

    def __len__(self) -> int:
        return len(self._values)

    def fixed_column(self, name: str, *, checked: bool = True) -> AnyArray:
        return np.array(self._values)

    def read_many(self, rows: Int64s) -> Rows:
        self.reads += len(rows)
        views = [memoryview(np.array(self._values[row], dtype="<i8").tobytes()) for row in rows.tolist()]
        return Rows(rows, {"column": views}, np.empty(0, dtype=np.int64))


def weighted(values: list[float], *, epoch: int = 0, shuffle: Shuffle = FULL, length: int = 0, seed: int = 0) -> Order:
    resample = Resample("weights", "column", length=length)
    return order_of(Split(values, "float64"), seed=seed, epoch=epoch, shuffle=shuffle, resample=resample)


def counts(order: Order, rows: int) -> Int64s:
    return np.bincount(order.rows_between(0, order.positions), minlength=rows)


@steady
@given(values=weights, shuffle=shuffles, length=st.integers(1, 400), seed=st.integers())
def test_each_row_comes_as_often_as_its_weight_says_to_the_next_whole_number(
    values: list[float], shuffle: Shuffle, length: int, seed: int
) -> None:
    order = weighted(values, shuffle=shuffle, length=length, seed=seed)
    came = counts(order, len(values))
    expected = np.array(values) * length / math.fsum(values)
    assert came.sum() == length == order.positions
    assert (came >= np.floor(expected - 1e-6)).all()
    assert (came <= np.ceil(expected + 1e-6)).all()


@steady
@given(values=weights, shuffle=shuffles, length=st.integers(1, 200))
def test_the_places_of_a_row_are_where_it_stands(values: list[float], shuffle: Shuffle, length: int) -> None:
    order = weighted(values, shuffle=shuffle, length=length)
    rows = order.rows_between(0, length)
    for row in range(len(values)):
        assert order.places_of(row).tolist() == np.flatnonzero(rows == row).tolist()


@steady
@given(values=weights, shuffle=shuffles, data=st.data())
def test_a_resampled_epoch_resumes_at_any_position(values: list[float], shuffle: Shuffle, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values)))
    whole = weighted(values, shuffle=shuffle).rows_between(0, len(values)).tolist()
    assert weighted(values, shuffle=shuffle).rows_between(start, len(values)).tolist() == whole[start:]


def test_over_the_epochs_every_row_comes_exactly_as_often_as_its_weight_says() -> None:
    values = [0.05, 0.3, 1.0, 2.65, 0.0, 7.2]
    epochs = 400
    came = sum(counts(weighted(values, epoch=epoch, length=6), 6) for epoch in range(epochs))
    expected = np.array(values) * 6 / sum(values) * epochs
    assert (np.abs(came - expected) < 4).all()  # golden-ratio steps: an error that hardly grows with the epochs


def test_seeds_and_epochs_draw_other_rows() -> None:
    values = [0.5] * 200
    drawn = [
        frozenset(weighted(values, length=100, seed=seed, epoch=epoch).rows_between(0, 100).tolist())
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    assert len(set(drawn)) >= 2


def test_a_window_of_a_resampled_epoch_reads_only_its_own_shards_at_once() -> None:
    values = np.random.default_rng(0).uniform(0, 3, 400).tolist()
    split = Split(values, "float64", shard_rows=50)
    order = order_of(split, seed=0, epoch=0, shuffle=Shuffle("window", 2), resample=Resample("weights", "column"))
    shards = order.rows_between(0, 400) // 50
    changes = [set(shards[at : at + 20].tolist()) for at in range(0, 400, 20)]
    assert max(map(len, changes)) <= 4
    assert min(map(len, changes)) == 2


@pytest.mark.parametrize(
    ("values", "never"),
    [
        ([1e-300, 2e-300], ""),
        ([5e-324, 5e-324], ""),
        ([1e300, 2e300], ""),
        ([1e-9, 1e9, 1.0], "rows that never come, as their weight is too small beside the greatest, 1e.09: 1"),
        ([0.0, 1e-9, 1e9], "rows of weight 0, which never come: 1; rows that never come, as .*: 1"),
    ],
)
def test_weights_of_any_size_are_drawn_from_and_those_too_small_are_counted(values: list[float], never: str) -> None:
    split = Split(values, "float64")
    orders = EpochOrders(split, seed=0, shuffle=FULL, resample=Resample("weights", "column", length=300))
    assert re.fullmatch(never, orders.note)
    expected = np.array(values) / max(values)
    assert (np.abs(counts(orders.order(0), len(values)) - expected / expected.sum() * 300) <= 1).all()


def test_classes_are_balanced_whatever_their_sizes() -> None:
    labels = [0] * 900 + [1] * 90 + [3] * 10
    orders = EpochOrders(Split(labels, "label"), seed=0, shuffle=FULL, resample=Resample("class_balanced", "column"))
    rows = orders.order(0).rows_between(0, 1000)
    came = np.bincount(np.array(labels)[rows], minlength=4)
    assert (np.abs(came[[0, 1, 3]] - 1000 / 3) <= 1).all()
    assert orders.note == "classes without rows: 1 (2)"


def test_rows_without_a_class_are_named_and_never_come() -> None:
    labels = [0, 1, -1, 1, -1, 0]
    orders = EpochOrders(Split(labels, "label"), seed=0, shuffle=FULL, resample=Resample("class_balanced", "column"))
    assert orders.note == "rows without a class, which never come: 2"
    assert orders.order(0).places_of(2).tolist() == []


def test_repeat_factors_are_those_of_lvis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    # f(0) = 1, f(1) = 4/16, f(2) = 1/16 with t = 1/4: factors 1, 1, 2; a row has that of its rarest class
    lists = [[0], [0, 1], [0, 1], [0, 2, 1, 2], [0, 1]] + [[0]] * 11
    split = Split(lists, "int64_list")
    order = order_of(split, seed=0, epoch=0, shuffle=FULL, resample=Resample("repeat_factor", "column", 0.25))
    assert order.positions == 17
    assert counts(order, 16).tolist() == [1, 1, 1, 2] + [1] * 12


def test_square_root_resampling_lifts_a_class_by_the_root_of_its_rarity() -> None:
    labels = [0] * 10_000 + [1] * 100 + [2] * 4
    resample = Resample("square_root", "column", threshold=0.1)
    order = order_of(Split(labels, "label"), seed=0, epoch=0, shuffle=FULL, resample=resample)
    came = np.bincount(np.array(labels)[order.rows_between(0, order.positions)])
    share = 0.1 * len(labels)
    expected = [10_000, 100 * math.sqrt(share / 100), 4 * math.sqrt(share / 4)]
    assert (np.abs(came - expected) <= 1).all()


def test_without_a_threshold_classes_come_in_proportion_to_the_root_of_their_size() -> None:
    labels = [0] * 10_000 + [1] * 100
    resample = Resample("square_root", "column", length=11_000)
    order = order_of(Split(labels, "label"), seed=0, epoch=0, shuffle=FULL, resample=resample)
    came = np.bincount(np.array(labels)[order.rows_between(0, order.positions)])
    assert came.tolist() == [10_000, 1_000]


def test_lists_are_read_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    lists = [[row % 5, row % 7] if row % 3 else [] for row in range(100)]
    split = Split(lists, "int64_list")
    resample = Resample("repeat_factor", "column", 0.3)
    first = order_of(split, seed=0, epoch=0, shuffle=FULL, resample=resample).rows_between(0, 100)
    again = order_of(split, seed=0, epoch=0, shuffle=FULL, resample=resample).rows_between(0, 100)
    assert split.reads == 100
    assert first.tolist() == again.tolist()
    assert not list((tmp_path / "resample").glob(".*"))


def test_what_is_kept_on_disk_gives_the_order_that_memory_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    labels = np.random.default_rng(0).integers(0, 9, 20_000).tolist()
    split = Split(labels, "label", shard_rows=977)
    resample = Resample("repeat_factor", "column", 0.12)
    shuffle = Shuffle("window", 3)
    in_memory = order_of(split, seed=0, epoch=0, shuffle=shuffle, resample=resample)
    monkeypatch.setattr("orchestrator.data.tally.KEPT_ABOVE", 10)
    on_disk = order_of(split, seed=0, epoch=0, shuffle=shuffle, resample=resample)
    assert on_disk.positions == in_memory.positions
    assert (on_disk.rows_between(0, 9000) == in_memory.rows_between(0, 9000)).all()


@pytest.mark.parametrize(
    ("values", "kind", "resample", "said"),
    [
        ([0.0, 0.0], "float64", Resample("weights", "column"), "all weights are zero"),
        ([1.0, -1.0], "float64", Resample("weights", "column"), "not negative"),
        ([1.0, math.nan], "float64", Resample("weights", "column"), "finite"),
        ([0, -2], "label", Resample("class_balanced", "column"), "no class numbers"),
        ([-1, -1], "label", Resample("class_balanced", "column"), "no row has a class"),
        ([1.0], "float64", Resample("class_balanced", "column"), "which is float64"),
        ([[1]], "int64_list", Resample("class_balanced", "column"), "which is int64_list"),
    ],
)
def test_columns_that_cannot_serve_are_refused(values: list[float], kind: str, resample: Resample, said: str) -> None:
    with pytest.raises((DataError, UsageError), match=said):
        order_of(Split(values, kind), seed=0, epoch=0, shuffle=FULL, resample=resample)


@pytest.mark.parametrize(
    "text",
    [
        "class_balanced(column=label,length=0)",
        "repeat_factor(column=tags,threshold=0.001,length=0)",
        "square_root(column=tags,threshold=0.0,power=0.25,length=5000)",
        "weights(column=quality,length=7)",
    ],
)
def test_a_resampling_is_what_it_is_written_as(text: str) -> None:
    assert str(Resample.parse(text)) == text


def test_what_is_left_out_has_its_default() -> None:
    assert Resample.parse("class_balanced") == Resample("class_balanced")
    assert Resample.parse("weights") == Resample("weights", "weight")
    assert Resample.parse("repeat_factor(threshold=0.01)") == Resample("repeat_factor", threshold=0.01)


@pytest.mark.parametrize(
    "text", ["", "random", "repeat_factor", "weights(threshold=0.1)", "class_balanced(length=x)", "weights(column)"]
)
def test_a_resampling_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Resample.parse(text)


def test_tags_of_a_dataset_on_disk_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    schema = Schema.of([("tags", "int64_list"), ("weight", "float64")])
    with DatasetWriter(tmp_path / "tagged", schema, Description(name="tagged"), limits=Limits(shard_rows=7)) as writer:
        for row in range(32):
            writer.write("train", {"tags": [0] if row != 5 else [0, 1, 1], "weight": float(row == 3)})
    dataset = ShardedDataset(tmp_path / "tagged", "train")
    tagged = order_of(dataset, seed=0, epoch=0, shuffle=FULL, resample=Resample("repeat_factor", "tags", 0.5))
    assert counts(tagged, 32).tolist() == [1] * 5 + [4] + [1] * 26
    orders = EpochOrders(dataset, seed=0, shuffle=FULL, resample=Resample("weights", "weight"))
    assert set(orders.order(0).rows_between(0, 32).tolist()) == {3}
    assert orders.note == "rows of weight 0, which never come: 31"


def test_processes_that_count_at_once_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    split = Split([[row % 3] for row in range(2000)], "int64_list")
    resample = Resample("repeat_factor", "column", 0.5)
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(order_of, split, seed=0, epoch=0, shuffle=FULL, resample=resample) for _ in range(4)]
    assert len({order.result().rows_between(0, 50).tobytes() for order in made}) == 1
    assert split.reads == 2000


def test_what_was_kept_and_is_damaged_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    split = Split([[row % 3] for row in range(50)], "int64_list")
    resample = Resample("repeat_factor", "column", 0.5)
    order_of(split, seed=0, epoch=0, shuffle=FULL, resample=resample)
    (fine,) = tmp_path.glob("resample/*/fine.npy")
    fine.write_bytes(fine.read_bytes()[:20])
    with pytest.raises(DataError, match="is damaged"):
        order_of(split, seed=0, epoch=0, shuffle=FULL, resample=resample)


def test_of_what_is_kept_on_disk_that_used_last_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("orchestrator.data.tally.KEPT", 3)
    split = Split([[row % 3] for row in range(50)], "int64_list")

    def made(length: int) -> list[int]:
        resample = Resample("repeat_factor", "column", 0.5, length=length)
        return order_of(split, seed=0, epoch=0, shuffle=FULL, resample=resample).rows_between(0, length).tolist()

    oldest = made(60)
    for length in (61, 62, 63, 64):
        made(length)
    assert len(list(tmp_path.glob("resample/*/about.json"))) == 3
    reads = split.reads
    made(62)
    assert split.reads == reads
    assert made(60) == oldest
    assert split.reads == reads + 50


@pytest.mark.parametrize("flipped", [1, 1 << 40])
def test_a_label_that_changed_since_it_was_counted_is_found_when_it_is_drawn(flipped: int) -> None:
    split = Split([0] * 30 + [1] * 10, "label")
    labels = np.array([0] * 30 + [1] * 10)
    split.fixed_column = lambda name, checked=True: labels  # type: ignore[method-assign]
    order = order_of(split, seed=0, epoch=0, shuffle=FULL, resample=Resample("class_balanced", "column"))
    order.rows_between(0, 40)
    labels[17] ^= flipped
    with pytest.raises(DataError, match="not what was counted"):
        order.rows_between(0, 40)
