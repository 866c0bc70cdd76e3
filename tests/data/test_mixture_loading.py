"""Mixtures, read: by the batch loader and by the torch adapter."""

import pickle
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_kit import flip_bit

from orchestrator.base.errors import Conflict, DataError, NotFound, ShardCorrupt, UsageError
from orchestrator.data.decode import encode_png
from orchestrator.data.gpu_decode import DeviceLoader
from orchestrator.data.header import Description
from orchestrator.data.loader import BatchLoader, LoaderOptions
from orchestrator.data.mixed_dataset import MixedDataset, MixedPart, MixtureOf
from orchestrator.data.order import FULL
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.resample import Resample
from orchestrator.data.schema import Schema
from orchestrator.data.torch_dataset import ShardedIterable
from orchestrator.data.torch_loader import data_loader
from orchestrator.data.transform import Transform, augmentations
from orchestrator.data.writer import DatasetWriter

PLAIN = Transform(3, (0.0,) * 3, (1 / 255,) * 3, (6, 6))
RANDOM = Transform(3, (0.5,) * 3, (0.25,) * 3, (6, 6), augmentations(pad_crop=1, flip=True))
SHUFFLED = LoaderOptions(seed=3, shuffle=FULL)
ROWS = {"a": 14, "b": 9}
LENGTH, BATCH, STEPS = 20, 6, 4  # 15 of a and 5 of b in an epoch
ALL = np.arange(LENGTH, dtype=np.int64)


@pytest.fixture
def roots(make_dataset: Callable[..., Path]) -> dict[str, Path]:
    return {name: make_dataset(name, train=rows) for name, rows in ROWS.items()}


@pytest.fixture
def mixed(roots: dict[str, Path]):
    """A maker of mixtures of two splits, three to one."""

    def make(on_corrupt: str = "fail", **keys: Any) -> MixedDataset:
        parts = {name: ShardedDataset(root, "train", on_corrupt=on_corrupt) for name, root in roots.items()}
        return MixedDataset(parts, {"a": 3.0, "b": 1.0}, LENGTH, **keys)

    return make


@pytest.fixture
def iterable(roots: dict[str, Path]):
    """A maker of iterables of that mixture."""

    def make(weight: float = 3.0, **keys: Any) -> ShardedIterable:
        parts = {"a": MixedPart(roots["a"], weight), "b": MixedPart(roots["b"], 1.0)}
        keys = {"batch_size": BATCH, "transform": RANDOM, "options": SHUFFLED} | keys
        return ShardedIterable(MixtureOf(parts, LENGTH), "train", **keys)

    return make


def seen(batches: Iterable[dict[str, Any]]) -> list[tuple[bytes, list[int]]]:
    return [(batch["image"].numpy().tobytes(), batch["label"].tolist()) for batch in batches]


def write(root: Path, kinds: list[tuple[str, str]], records: list[dict[str, Any]], classes: tuple[str, ...]) -> Path:
    with DatasetWriter(root, Schema.of(kinds), Description(name=root.name, classes=classes)) as writer:
        for record in records:
            writer.write("train", record)
    return root


def test_every_sample_is_the_one_of_the_mixtures_order(mixed, picture) -> None:
    dataset = mixed()
    loader = BatchLoader(dataset, PLAIN, SHUFFLED)
    images, labels = loader.load(ALL, 2)
    _, own = dataset.parts_of(dataset.orders(seed=3, shuffle=FULL).order(2).rows_at(ALL))
    assert labels.tolist() == [row % 5 for row in own.tolist()]
    for image, row in zip(images, own.tolist(), strict=True):
        assert np.allclose(image.transpose(1, 2, 0), picture(row), atol=1e-3)


def test_augmentations_are_keyed_by_the_position_in_the_mixture(mixed) -> None:
    plain = BatchLoader(mixed(), PLAIN, LoaderOptions(seed=3, shuffle=FULL, pixels="uint8"))
    random = BatchLoader(mixed(), RANDOM, LoaderOptions(seed=3, shuffle=FULL, pixels="uint8"))
    decoded = np.ascontiguousarray(plain.load(ALL, 1)[0].transpose(0, 2, 3, 1))
    expected = RANDOM.augment(decoded, ALL, seed=3, epoch=1).transpose(0, 3, 1, 2)
    for positions in np.array_split(ALL[::-1], 3):
        assert (random.load(positions, 1)[0] == expected[positions]).all()


@pytest.mark.parametrize(("workers", "cache_bytes"), [(1, 0), (3, 7 * 108), (1, 2**20)])
def test_the_batches_of_a_mixture_are_the_same_for_any_number_of_workers(mixed, workers: int, cache_bytes: int) -> None:
    def loads(count: int) -> list[tuple[bytes, list[int]]]:
        loader = BatchLoader(
            mixed(), RANDOM, LoaderOptions(seed=3, shuffle=FULL, workers=count, cache_bytes=cache_bytes)
        )
        requests = [(epoch, positions) for epoch in (0, 1) for positions in np.array_split(ALL, STEPS)]
        found = []
        for number, (epoch, positions) in enumerate(requests):
            loader.expect(requests[number : number + 3])
            images, labels = loader.load(positions, epoch)
            found.append((images.tobytes(), labels.tolist()))
        loader.close()
        return found

    assert loads(workers) == loads(0)


@pytest.mark.parametrize("workers", [1, 2])
def test_torch_loader_processes_do_not_change_a_mixture(iterable, workers: int) -> None:
    alone, loader = iterable(), data_loader(iterable(), workers)
    for epoch in (0, 1):
        alone.set_epoch(epoch)
        loader.set_epoch(epoch)
        assert seen(loader) == seen(alone)
        assert len(loader) == STEPS


def test_light_workers_of_the_adapter_do_not_change_a_mixture(iterable) -> None:
    made = iterable(options=LoaderOptions(seed=3, shuffle=FULL, workers=2))
    assert seen(data_loader(made)) == seen(iterable())
    made.loader.close()


@pytest.mark.parametrize(
    ("before", "after", "step"), [*((0, 0, step) for step in range(STEPS + 1)), (2, 0, 3), (0, 2, 1)]
)
def test_a_mixture_resumes_at_every_step(iterable, before: int, after: int, step: int) -> None:
    source = iterable()
    source.set_epoch(1)
    first = data_loader(iterable(), before)
    first.set_epoch(1)
    handed_out = iter(first)
    begun = seen(next(handed_out) for _ in range(step))
    second = data_loader(iterable(), after)
    second.load_state_dict(pickle.loads(pickle.dumps(first.state_dict())))
    second.set_epoch(1)
    assert begun + seen(second) == seen(source)


@pytest.mark.parametrize("world_size", [2, 5])
def test_the_ranks_together_have_the_mixed_batch(iterable, world_size: int) -> None:
    ranks = [iterable(rank=rank, world_size=world_size) for rank in range(world_size)]
    for batch, *shares in zip(seen(iterable()), *map(seen, ranks), strict=True):
        images, labels = zip(*shares, strict=True)
        assert (b"".join(images), list(chain.from_iterable(labels))) == batch


def test_each_part_has_its_exact_count_and_no_row_comes_twice_before_all_came(iterable) -> None:
    made = iterable(fields=("position", "part", "row"), transform=None)
    came: Counter[int] = Counter()
    for epoch in range(5):
        made.set_epoch(epoch)
        batches = list(made)
        assert [position for batch in batches for position in batch["position"].tolist()] == ALL.tolist()
        assert Counter(part for batch in batches for part in batch["part"].tolist()) == {0: 15, 1: 5}
        came.update(row for batch in batches for row in batch["row"].tolist())
        for rows in (range(14), range(14, 23)):
            times = [came[row] for row in rows]
            assert max(times) - min(times) <= 1


def test_a_part_is_resampled_in_its_own_epochs(iterable) -> None:
    options = LoaderOptions(shuffle=FULL, resample=Resample("class_balanced", length=15))
    made = iterable(fields=("part", "label"), transform=None, options=options)
    labels = [
        label
        for batch in made
        for part, label in zip(batch["part"].tolist(), batch["label"].tolist(), strict=True)
        if not part
    ]
    assert Counter(labels) == dict.fromkeys(range(5), 3)


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_rows_of_a_mixture_are_told_with_their_part(iterable, roots, workers: int) -> None:
    flip_bit(roots["a"], 4)
    flip_bit(roots["b"], 2)
    loader = data_loader(iterable(on_corrupt="skip", fields=("image", "label", "row")), workers)
    rows = []
    for epoch in range(2):  # 10 of 9 rows of b come by then
        loader.set_epoch(epoch)
        rows += [row for batch in loader for row in batch["row"].tolist()]
    assert not {4, 14 + 2} & set(rows)
    assert loader.skipped_rows == {4, 14 + 2}
    assert loader.skipped_by_part == {"a": (4,), "b": (2,)}


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_counts_what_was_skipped_by_part(mixed, roots, workers: int) -> None:
    flip_bit(roots["b"], 2)
    loader = BatchLoader(mixed("skip"), PLAIN, LoaderOptions(seed=3, shuffle=FULL, workers=workers))
    loaded = 0
    for epoch in range(2):
        loader.expect([(epoch, ALL)])
        loaded += len(loader.load(ALL, epoch)[1])
    loader.close()
    assert loaded < 2 * LENGTH
    assert loader.skipped_by_part == {"a": (), "b": (2,)}


def test_a_corrupt_record_of_a_mixture_is_named_with_its_dataset(mixed, roots) -> None:
    flip_bit(roots["b"], 2)
    loader = BatchLoader(mixed(), PLAIN, SHUFFLED)
    epoch = next(each for each in range(2) if 14 + 2 in loader.order(each).rows_at(ALL))
    with pytest.raises(ShardCorrupt, match=r"/b/train-00000.arrow .* \(train rows 2\)"):
        loader.load(ALL, epoch)


def test_an_undecodable_image_of_a_mixture_is_named_with_its_part(roots, tmp_path: Path) -> None:
    kinds = [("image", "image"), ("label", "label")]
    broken = write(tmp_path / "broken", kinds, [{"image": b"no image", "label": 0}], ("a", "b", "c", "d", "e"))
    parts = {"good": ShardedDataset(roots["a"], "train"), "bad": ShardedDataset(broken, "train")}
    loader = BatchLoader(MixedDataset(parts, {"good": 1.0, "bad": 1.0}), PLAIN)
    with pytest.raises(ShardCorrupt, match=r"bad: row 0 of train \(shard .*/broken\): not an image"):
        loader.load(ALL[:4], 0)


@pytest.fixture
def pets(tmp_path: Path, picture) -> dict[str, Path]:
    """Two datasets of two pictures with classes, sizes and other columns of their own."""
    content = {"cats": (("tabby", "manx"), 6, "caption"), "dogs": (("pug", "collie", "boxer"), 8, "note")}
    roots = {}
    for name, (classes, size, other) in content.items():
        records = [
            {"image": encode_png(picture(n, size)), "label": n, "text": f"{name} {n}", other: ""} for n in (0, 1)
        ]
        records[0]["label"] = -1
        kinds = [("image", "image"), ("label", "label"), ("text", "text"), (other, "text")]
        roots[name] = write(tmp_path / name, kinds, records, classes)
    return roots


def both(roots: dict[str, Path], **keys: Any) -> MixtureOf:
    return MixtureOf({name: MixedPart(root, 1.0) for name, root in roots.items()}, **keys)


def test_different_class_lists_are_refused_where_labels_are_asked_for(pets: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="cats and dogs have different classes: 2 and 3 of them") as caught:
        ShardedIterable(both(pets), "train", batch_size=2)
    assert 'labels="offset"' in caught.value.hint
    with pytest.raises(UsageError, match="different classes"):
        BatchLoader(both(pets).open("train"), PLAIN)
    assert len(list(ShardedIterable(both(pets), "train", batch_size=2, fields=("image",)))) == 2


def test_the_first_class_that_differs_is_named(roots, tmp_path: Path) -> None:
    record = {"image": b"", "label": 0}
    kinds = [("image", "image"), ("label", "label")]
    other = write(tmp_path / "other", kinds, [record], ("a", "b", "x", "d", "e"))
    with pytest.raises(UsageError, match="number 2 is 'c' and 'x'"):
        _ = both({"a": roots["a"], "other": other}).open("train").classes


def test_offset_labels_count_on_and_no_class_stays_none(pets: dict[str, Path]) -> None:
    dataset = both(pets, labels="offset").open("train")
    rows = np.arange(4)
    assert dataset.classes == ("tabby", "manx", "pug", "collie", "boxer")
    assert dataset.fixed_values("label", rows).tolist() == [-1, 1, -1, 3]
    assert dataset.read_many(rows[::-1]).values["label"].tolist() == [3, -1, 1, -1]


def test_offsets_need_the_classes_of_every_part(roots, tmp_path: Path) -> None:
    kinds = [("image", "image"), ("label", "label")]
    bare = write(tmp_path / "bare", kinds, [{"image": b"", "label": 0}], ())
    with pytest.raises(UsageError, match="bare does not say what its classes are"):
        BatchLoader(both({"a": roots["a"], "bare": bare}, labels="offset").open("train"), PLAIN)


def test_images_of_different_sizes_are_resized_or_refused(pets: dict[str, Path]) -> None:
    dataset, options = both(pets).open("train"), LoaderOptions(label="")
    assert BatchLoader(dataset, PLAIN, options).samples(ALL[:4], 0).images.shape == (4, 3, 6, 6)
    with pytest.raises(UsageError, match="different sizes"):
        BatchLoader(dataset, Transform(3, (0.0,) * 3, (1.0,) * 3), options).samples(ALL[:4], 0)


def test_other_columns_come_in_the_order_of_the_mixture(pets: dict[str, Path]) -> None:
    fields = ("image", "text", "part", "row")
    for batch in ShardedIterable(both(pets), "train", batch_size=4, transform=PLAIN, fields=fields, options=SHUFFLED):
        names = [f"{('cats', 'dogs')[part]} {row % 2}" for part, row in zip(batch["part"], batch["row"], strict=True)]
        assert batch["text"] == names


def test_a_column_must_be_in_every_part(pets: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="dogs has no column 'caption'"):
        ShardedIterable(both(pets), "train", batch_size=2, fields=("caption",))


def test_a_mixture_can_be_pickled(iterable, mixed) -> None:
    made = iterable()
    made.set_epoch(2)
    assert seen(pickle.loads(pickle.dumps(made))) == seen(made)
    dataset = mixed(labels="offset")
    again = pickle.loads(pickle.dumps(dataset))
    assert (again.version, again.classes, len(again)) == (dataset.version, dataset.classes, len(dataset))


def test_a_state_of_another_mixture_is_refused(iterable) -> None:
    state = iterable().state_dict()
    assert iterable().loader.dataset.version in state["of"]
    with pytest.raises(Conflict, match="another order of samples"):
        iterable(weight=2.0).load_state_dict(state)


def test_a_part_may_name_a_split_of_its_own(roots: dict[str, Path]) -> None:
    parts = {"a": MixedPart(roots["a"], 1.0), "rest": MixedPart(roots["a"], 1.0, "test")}
    dataset = MixtureOf(parts).open("train")
    assert len(dataset) == dataset.length == 14 + 5
    assert dataset.split_name == "train + test"
    with pytest.raises(UsageError, match="train only"):
        BatchLoader(dataset, PLAIN, LoaderOptions(shuffle_labels=True))


def test_a_mixture_is_decoded_by_a_device_too(mixed) -> None:
    loader = BatchLoader(mixed(), RANDOM, LoaderOptions(seed=3, shuffle=FULL, decode="gpu"))
    images, labels = DeviceLoader(loader, torch.device("cpu")).load(ALL, 1)
    expected, expected_labels = BatchLoader(mixed(), RANDOM, SHUFFLED).load(ALL, 1)
    assert (images.numpy() == expected).all()
    assert labels.tolist() == expected_labels.tolist()


def test_each_remote_part_is_told_which_of_its_rows_come(mixed, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, list[int]] = {}
    monkeypatch.setattr(ShardedDataset, "remote", True)
    monkeypatch.setattr(
        ShardedDataset, "prefetch", lambda part, rows: told.update({part.index.root.name: rows.tolist()})
    )
    dataset = mixed()
    loader = BatchLoader(dataset, PLAIN, SHUFFLED)
    loader.expect([(1, ALL[:BATCH])])
    parts, own = dataset.parts_of(loader.order(1).rows_at(ALL))
    assert told == {"a": own[parts == 0].tolist(), "b": own[parts == 1].tolist()}


def test_a_row_outside_of_a_mixture_is_refused(mixed) -> None:
    with pytest.raises(NotFound, match="rows 0 to 22 only"):
        mixed().read_many(np.array([23]))


def test_parts_must_agree_on_what_becomes_of_damage(roots: dict[str, Path]) -> None:
    parts = {
        "a": ShardedDataset(roots["a"], "train"),
        "b": ShardedDataset(roots["b"], "train", on_corrupt="skip"),
    }
    with pytest.raises(UsageError, match="the same on_corrupt"):
        MixedDataset(parts, {"a": 1.0, "b": 1.0})
