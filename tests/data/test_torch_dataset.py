import pickle
import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from orchestrator.base.errors import Conflict, DataError, UsageError
from orchestrator.data.decode import encode_png
from orchestrator.data.header import Description
from orchestrator.data.loader import BatchLoader, LoaderOptions
from orchestrator.data.order import FULL
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.schema import Schema
from orchestrator.data.torch_columns import Ragged, host_tensor, to_device
from orchestrator.data.torch_dataset import ShardedIterable
from orchestrator.data.torch_loader import data_loader
from orchestrator.data.transform import Transform, augmentations
from orchestrator.data.writer import DatasetWriter

RANDOM = Transform(3, (0.5,) * 3, (0.25,) * 3, augmentations=augmentations(pad_crop=1, flip=True))
SHUFFLED = LoaderOptions(seed=3, shuffle=FULL)
STEPS = 7  # of 20 samples in batches of 3


@pytest.fixture
def iterable(small: Path):
    """A maker of iterables: 20 samples in global batches of 3."""

    def make(**keys: Any) -> ShardedIterable:
        keys = {"batch_size": 3, "transform": RANDOM, "options": SHUFFLED} | keys
        return ShardedIterable(small, "train", **keys)

    return make


def seen(batches: Iterable[dict[str, Any]]) -> list[tuple[bytes, list[int]]]:
    return [(batch["image"].numpy().tobytes(), batch["label"].tolist()) for batch in batches]


def test_batches_are_those_of_the_batch_loader(iterable, small: Path) -> None:
    loader = BatchLoader(ShardedDataset(small, "train"), RANDOM, SHUFFLED)
    for step, batch in enumerate(iterable()):
        images, labels = loader.load(np.arange(step * 3, min(20, step * 3 + 3), dtype=np.int64), 0)
        assert (batch["image"].numpy() == images).all()
        assert batch["image"].is_contiguous(memory_format=torch.channels_last)
        assert batch["label"].tolist() == labels.tolist()


def test_a_sample_that_fills_up_the_last_batch_is_augmented_anew(iterable, small: Path) -> None:
    batches = list(iterable(last="wrap", fields=("image", "row")))
    images, _ = BatchLoader(ShardedDataset(small, "train"), RANDOM, SHUFFLED).load(np.arange(18, 21), 0)
    assert (batches[-1]["image"].numpy() == images).all()
    assert batches[-1]["row"][2] == batches[0]["row"][0]
    assert not torch.equal(batches[-1]["image"][2], batches[0]["image"][0])


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_loader_processes_change_neither_batches_nor_their_order(iterable, workers: int) -> None:
    alone, made = iterable(), iterable()
    loader = data_loader(made, workers)
    for epoch in (0, 1):
        alone.set_epoch(epoch)
        loader.set_epoch(epoch)
        assert seen(loader) == seen(alone)
        assert len(loader) == STEPS


def test_a_plain_data_loader_gives_the_same(iterable) -> None:
    assert seen(DataLoader(iterable(), batch_size=None, num_workers=2)) == seen(iterable())


def test_light_worker_processes_give_the_same(iterable) -> None:
    made = iterable(options=LoaderOptions(seed=3, shuffle=FULL, workers=2))
    assert seen(data_loader(made)) == seen(iterable())
    made.loader.close()


def test_epochs_differ_and_come_again(iterable) -> None:
    made = iterable()
    first = seen(made)
    made.set_epoch(1)
    assert seen(made) != first
    made.set_epoch(0)
    assert seen(made) == first == seen(made)


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("last", ["keep", "drop", "wrap", "pad"])
def test_the_ranks_together_have_the_global_batch(iterable, world_size: int, last: str) -> None:
    whole = seen(iterable(last=last))
    ranks = [iterable(last=last, rank=rank, world_size=world_size) for rank in range(world_size)]
    for batch, *parts in zip(whole, *map(seen, ranks), strict=True):
        images, labels = zip(*parts, strict=True)
        assert (b"".join(images), list(chain.from_iterable(labels))) == batch


RESUMES = [(0, 0, step) for step in range(STEPS + 1)] + [(0, 2, 3), (2, 0, 0), (2, 0, 4), (2, 3, 5), (2, 2, STEPS)]


@pytest.mark.parametrize(("before", "after", "step"), RESUMES)
def test_a_resume_goes_on_at_the_next_batch(iterable, before: int, after: int, step: int) -> None:
    source = iterable()
    source.set_epoch(1)
    expected = seen(source)
    first = data_loader(iterable(), before)
    first.set_epoch(1)
    handed_out = iter(first)
    begun = seen(next(handed_out) for _ in range(step))
    state = pickle.loads(pickle.dumps(first.state_dict()))
    second = data_loader(iterable(), after)
    second.load_state_dict(state)
    second.set_epoch(1)
    assert begun + seen(second) == expected
    second.set_epoch(2)
    source.set_epoch(2)
    assert seen(second) == seen(source)


def test_a_resume_with_another_world_size_uses_each_sample_once(iterable) -> None:
    first = data_loader(iterable())
    handed_out = iter(first)
    begun = [next(handed_out) for _ in range(3)]
    parts = []
    for rank in range(2):
        loader = data_loader(iterable(rank=rank, world_size=2))
        loader.load_state_dict(first.state_dict())
        parts.append([batch["label"].tolist() for batch in loader])
    rest = [left + right for left, right in zip(*parts, strict=True)]
    assert [batch["label"].tolist() for batch in begun] + rest == [labels for _, labels in seen(iterable())]


def in_loader_process(monkeypatch: pytest.MonkeyPatch, number: int, count: int) -> None:
    info = SimpleNamespace(id=number, num_workers=count)
    monkeypatch.setattr("orchestrator.data.torch_place.get_worker_info", lambda: info)


def test_the_state_of_a_loader_process_resumes_that_process(
    iterable, monkeypatch: pytest.MonkeyPatch
) -> None:  # the contract of torchdata's StatefulDataLoader
    expected = seen(iterable())
    in_loader_process(monkeypatch, 1, 2)
    made = iterable()
    batches = iter(made)
    assert seen(next(batches) for _ in range(2)) == expected[1:5:2]
    again = iterable()
    again.load_state_dict(made.state_dict())
    assert seen(again) == expected[5::2]


@pytest.mark.parametrize("started", [False, True])
def test_a_loader_process_that_made_nothing_yet_has_the_state_of_its_first_batch(
    iterable, monkeypatch: pytest.MonkeyPatch, started: bool
) -> None:
    expected = seen(iterable())
    in_loader_process(monkeypatch, 1, 2)
    made = iterable()
    begun = iter(made) if started else None
    again = iterable()
    again.load_state_dict(made.state_dict())
    del begun
    assert seen(again) == expected[1::2]


def test_a_loader_process_begins_the_next_epoch_with_a_state_of_that_epoch(
    iterable, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_loader_process(monkeypatch, 1, 2)
    made = iterable()
    seen(made)
    made.set_epoch(1)
    _begun = iter(made)
    assert (made.state_dict()["epoch"], made.state_dict()["step"]) == (1, 1)


def test_the_state_of_a_loader_process_is_for_no_other(iterable, monkeypatch: pytest.MonkeyPatch) -> None:
    made, other = iterable(), iterable()
    with monkeypatch.context() as patched:
        in_loader_process(patched, 1, 2)
        state = made.state_dict()
    with pytest.raises(Conflict, match="that of loader process 1 of 2"):
        other.load_state_dict(state)


def late_second(number: int) -> None:
    time.sleep(0.5 * number)


def test_a_loader_process_that_starts_after_the_last_batch_makes_none_twice(iterable) -> None:
    first = data_loader(iterable(fields=("position",)))
    handed_out = iter(first)
    for _ in range(STEPS - 1):
        next(handed_out)
    second = data_loader(iterable(fields=("position",)), 2)
    second.worker_init_fn = late_second
    second.load_state_dict(first.state_dict())
    assert [batch["position"].tolist() for batch in second] == [[18, 19]]
    assert len(list(second)) == STEPS


@pytest.mark.parametrize("workers", [0, 1])
def test_after_the_state_of_an_epochs_end_the_next_epoch_comes(iterable, workers: int) -> None:
    first = data_loader(iterable())
    seen(first)
    second, source = data_loader(iterable(), workers), iterable()
    second.load_state_dict(first.state_dict())
    source.set_epoch(1)
    assert seen(second) == seen(source)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_that_ended_with_the_state_comes_again_only_when_iterated_twice(iterable, workers: int) -> None:
    first = data_loader(iterable())
    whole = seen(first)
    second = data_loader(iterable(), workers)
    second.load_state_dict(first.state_dict())
    second.set_epoch(0)
    assert (seen(second), seen(second)) == ([], whole)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_new_iteration_has_a_state_of_its_own(iterable, workers: int) -> None:
    loader = data_loader(iterable(), workers)
    next(iter(loader))
    assert loader.state_dict()["step"] == 1
    _begun = iter(loader)
    assert loader.state_dict()["step"] == 0


def test_loader_processes_that_nobody_counts_leave_no_state(iterable) -> None:
    made = iterable()
    assert made.state_dict()["step"] == 0
    next(iter(DataLoader(made, batch_size=None, num_workers=1)))
    with pytest.raises(Conflict, match="does not tell which it has handed out"):
        made.state_dict()
    made.set_epoch(1)
    assert (made.state_dict()["epoch"], made.state_dict()["step"]) == (1, 0)


@pytest.mark.parametrize(
    "change", [{"step": 10**6}, {"step": -1}, {"epoch": "1"}, {"loader": [1]}, {"epoch": None}], ids=str
)
def test_what_is_no_state_is_refused(iterable, change: dict[str, Any]) -> None:
    state = iterable().state_dict() | change
    with pytest.raises(UsageError, match="no state of these batches"):
        iterable().load_state_dict(state)


@pytest.mark.parametrize("lost", ["epoch", "step", "loader", "of"])
def test_a_state_that_is_not_whole_is_refused(iterable, lost: str) -> None:
    state = iterable().state_dict()
    del state[lost]
    with pytest.raises(UsageError, match="no state of these batches"):
        iterable().load_state_dict(state)


def test_a_state_of_another_order_is_refused(iterable) -> None:
    state = iterable().state_dict()
    with pytest.raises(Conflict, match="another order of samples"):
        iterable(batch_size=4).load_state_dict(state)


def test_padding_is_marked(iterable) -> None:
    *whole, last = list(iterable(last="pad"))
    assert all(batch["real"].tolist() == [True] * 3 for batch in whole)
    assert last["real"].tolist() == [True, True, False]


def test_positions_and_rows_can_be_asked_for(iterable) -> None:
    made = iterable(fields=("position", "row", "label"), transform=None)
    batch = next(iter(made))
    assert batch["position"].tolist() == [0, 1, 2]
    assert batch["row"].tolist() == made.loader.order(0).rows_between(0, 3).tolist()
    assert "image" not in batch


def test_without_a_transform_images_come_encoded(iterable, picture) -> None:
    made = iterable(transform=None, fields=("image", "row"))
    for batch in data_loader(made, 2):
        encoded: Ragged = batch["image"]
        for one, row in zip(encoded.rows(), batch["row"].tolist(), strict=True):
            assert one.numpy().tobytes() == encode_png(picture(row))


def test_uint8_images_are_left_to_the_consumer(iterable) -> None:
    batch = next(iter(iterable(options=LoaderOptions(pixels="uint8"))))
    assert batch["image"].dtype == torch.uint8


def test_an_iterable_can_be_pickled(iterable) -> None:
    made = iterable()
    made.set_epoch(2)
    assert seen(pickle.loads(pickle.dumps(made))) == seen(made)


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_rows_are_told(iterable, small: Path, workers: int) -> None:
    index = ShardedDataset(small, "train").index
    shard = small / index.locate("train", 4)[0]
    content = bytearray(shard.read_bytes())
    content[int(index.table.records[4]["image.offset"]) + 9] ^= 1
    shard.write_bytes(content)
    loader = data_loader(iterable(on_corrupt="skip"), workers)
    for epoch in range(2):
        loader.set_epoch(epoch)
        batches = list(loader)
        assert sum(len(batch["label"]) for batch in batches) == 19
        assert [row for batch in batches for row in batch["skipped"].tolist()] == [4]
    assert loader.skipped_rows == {4}


def test_a_rank_is_one_of_the_world(iterable) -> None:
    with pytest.raises(UsageError, match="rank 2 is none of 2"):
        iterable(rank=2, world_size=2)


def test_a_field_is_a_column(iterable) -> None:
    with pytest.raises(DataError, match="no column 'mask'"):
        iterable(fields=("image", "mask"))


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Two images with values of every other shape."""
    root = tmp_path / "annotated"
    schema = Schema.of(
        [
            ("image", "image"),
            ("boxes", "boxes"),
            ("ids", "int64_list"),
            ("caption", "text"),
            ("tags", "text_list"),
            ("masks", "masks"),
            ("weight", "float64"),
        ]
    )
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    with DatasetWriter(root, schema, Description(name="annotated")) as writer:
        for number in (1, 2):
            record = {
                "image": encode_png(pixels + number),
                "boxes": np.arange(4 * number, dtype=np.float64).reshape(-1, 4),
                "ids": np.arange(number),
                "caption": "ab"[:number],
                "tags": ["x"] * number,
                "masks": [b"m"] * number,
                "weight": number / 2,
            }
            writer.write("train", record)
    return root


@pytest.mark.parametrize("workers", [0, 1])
def test_columns_of_any_length_come_beside_the_images(annotated: Path, workers: int) -> None:
    fields = ("image", "boxes", "ids", "caption", "tags", "masks", "weight")
    transform = Transform(3, (0.0,) * 3, (1.0,) * 3)
    made = ShardedIterable(annotated, "train", batch_size=2, transform=transform, fields=fields)
    (batch,) = data_loader(made, workers)
    assert batch["image"].shape == (2, 3, 4, 4)
    assert [boxes.tolist() for boxes in batch["boxes"].rows()] == [[[0, 1, 2, 3]], [[0, 1, 2, 3], [4, 5, 6, 7]]]
    assert [ids.tolist() for ids in batch["ids"].rows()] == [[0], [0, 1]]
    assert (batch["caption"], batch["tags"], batch["masks"]) == (["a", "ab"], [["x"], ["x", "x"]], [[b"m"], [b"m"] * 2])
    assert batch["weight"].tolist() == [0.5, 1.0]


def test_a_rank_without_samples_has_images_of_the_right_size(iterable) -> None:
    *_, last = iterable(rank=4, world_size=5)
    assert last["image"].shape == (0, 3, 6, 6)


def test_an_iteration_that_was_broken_off_leaves_nothing_behind(iterable) -> None:
    loader = data_loader(iterable(), 2)
    for _ in range(2):
        next(iter(loader))
    loader.set_epoch(1)
    made = iterable()
    made.set_epoch(1)
    assert seen(loader) == seen(made)


def test_a_batch_moves_with_all_its_tensors(annotated: Path) -> None:
    made = ShardedIterable(
        annotated, "train", batch_size=2, fields=("image", "caption", "weight"), options=LoaderOptions(label="")
    )
    moved = to_device(next(iter(made)), torch.device("meta"))
    assert moved["image"].values.device.type == moved["image"].offsets.device.type == moved["weight"].device.type
    assert moved["weight"].device.type == "meta"
    assert moved["caption"] == ["a", "ab"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_lie_in_pinned_memory(iterable) -> None:
    batch = next(iter(data_loader(iterable(), 1)))
    assert batch["image"].is_pinned()
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    assert to_device(batch, torch.device("cuda"))["image"].device.type == "cuda"
    pinned = host_tensor(np.zeros((2, 3, 3, 4), dtype=np.float32).transpose(0, 3, 1, 2), pinned=True)
    assert pinned.is_pinned()
    assert pinned.is_contiguous(memory_format=torch.channels_last)
