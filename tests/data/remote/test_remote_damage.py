import json
import logging

import numpy as np
import pytest

from orchestrator.base.errors import DataError, ShardCorrupt
from orchestrator.data.index import DatasetIndex
from orchestrator.data.quarantine import Quarantine
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.verify import verify

EVERY = np.arange(40, dtype=np.int64)


def flipped(at: int):
    return lambda content: content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


def quarantine(bucket, name: str):
    path = Quarantine.of(DatasetIndex.open(bucket.root).catalog).folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def downloads(bucket, name: str) -> int:
    return sum(one.startswith("0-") for one in bucket.ranges(name))


def test_a_bit_that_flips_on_the_way_is_fetched_again_and_nobody_is_told(bucket) -> None:
    bucket.proxy.inject("flip", "train-00001.arrow")
    found = bucket.open().read_many(EVERY)
    assert found.skipped.size == 0
    assert downloads(bucket, "train-00001.arrow") == 2
    assert quarantine(bucket, "train-00001.arrow") is None


def test_a_bit_that_flips_in_the_cache_is_fetched_again(bucket) -> None:
    bucket.open().read(9)
    cached = bucket.folder / "train-00001.arrow"
    cached.write_bytes(flipped(bucket.offset(9) + 3)(cached.read_bytes()))
    assert bucket.open().read(9)["label"] == 9
    assert downloads(bucket, "train-00001.arrow") == 2
    assert quarantine(bucket, "train-00001.arrow") is None


def test_damage_in_the_bucket_fails_with_shard_rows_url_and_quarantine(bucket) -> None:
    bucket.damage("train-00001.arrow", flipped(bucket.offset(9) + 3))
    with pytest.raises(ShardCorrupt, match=r"shard s3://.*/train-00001\.arrow has .*wrong checksum \(train rows 9\)"):
        bucket.open().read_many(EVERY)
    entry = quarantine(bucket, "train-00001.arrow")
    assert (entry["split"], entry["rows"], entry["location"]) == ("train", [[9, 9]], bucket.url)
    assert entry["first_seen"]


def test_skip_leaves_out_the_damaged_rows_alone_and_downloads_twice_at_most(bucket) -> None:
    bucket.damage("train-00001.arrow", flipped(bucket.offset(9) + 3))
    dataset = bucket.open(on_corrupt="skip")
    for _ in range(3):
        found = dataset.read_many(EVERY)
        assert found.skipped.tolist() == [9]
        assert found.values["label"].tolist() == [row for row in range(40) if row != 9]
    assert dataset.corrupt_rows == {9}
    assert downloads(bucket, "train-00001.arrow") == 2


def test_another_process_of_the_node_uses_the_damaged_copy_that_is_here(bucket) -> None:
    bucket.damage("train-00001.arrow", flipped(bucket.offset(9) + 3))
    bucket.open(on_corrupt="skip").read_many(EVERY)
    again = bucket.open(on_corrupt="skip")
    assert again.read_many(EVERY).skipped.tolist() == [9]
    assert downloads(bucket, "train-00001.arrow") == 2


def test_a_repaired_shard_is_used_at_once_whatever_the_quarantine_says(bucket) -> None:
    bucket.damage("train-00001.arrow", flipped(bucket.offset(9) + 3))
    bucket.open(on_corrupt="skip").read_many(EVERY)
    bucket.damage("train-00001.arrow", lambda content: content)
    assert bucket.open().read_many(EVERY).skipped.size == 0
    assert quarantine(bucket, "train-00001.arrow") is not None


@pytest.mark.parametrize(("change", "what"), [(None, "is not there"), (lambda c: c[:-7], r"has \d+ bytes, .*")])
def test_a_missing_or_truncated_shard_fails_by_name_and_range(bucket, change, what) -> None:
    bucket.delete("train-00001.arrow") if change is None else bucket.damage("train-00001.arrow", change)
    with pytest.raises(ShardCorrupt, match=rf"train-00001\.arrow {what} \(train rows 8 to 15\)"):
        bucket.open().read_many(EVERY)
    assert quarantine(bucket, "train-00001.arrow")["rows"] == [[8, 15]]


@pytest.mark.parametrize("change", [None, lambda content: content[:-7]], ids=["missing", "truncated"])
def test_skip_leaves_a_missing_or_truncated_shard_out_and_names_its_range(bucket, change) -> None:
    bucket.delete("train-00001.arrow") if change is None else bucket.damage("train-00001.arrow", change)
    dataset = bucket.open(on_corrupt="skip")
    asked = []
    for _ in range(2):
        found = dataset.read_many(EVERY[::-1])
        asked.append(len(bucket.proxy.requests("train-00001.arrow", "HEAD")))
        assert sorted(found.skipped.tolist()) == list(range(8, 16))
        assert found.values["label"].tolist() == [row for row in range(39, -1, -1) if not 8 <= row <= 15]
    assert dataset.corrupt_rows == set(range(8, 16))
    assert [str(part) for part in dataset.lost] == ["train rows 8 to 15"]
    assert asked[0] == asked[1], "what is lost is not asked for again"
    assert asked[0] in {1, 2}, "once, and once more where the answer was slow"
    with pytest.raises(ShardCorrupt, match="cannot be read"):
        dataset.read(9)


def test_a_lost_shard_of_a_folder_is_skipped_too(bucket) -> None:
    (bucket.root / "train-00000.arrow").unlink()
    (bucket.root / "train-00004.arrow").write_bytes(b"short")
    dataset = ShardedDataset(bucket.root, "train", on_corrupt="skip")
    assert dataset.read_many(EVERY).rows.tolist() == list(range(8, 32))
    assert [part.first for part in dataset.lost] == [0, 32]
    assert quarantine(bucket, "train-00004.arrow")["rows"] == [[32, 39]]


def test_all_rows_of_a_batch_may_be_lost(bucket) -> None:
    bucket.delete("train-00001.arrow")
    found = bucket.open(on_corrupt="skip").read_many(EVERY[8:16])
    assert (len(found.rows), found.skipped.tolist()) == (0, list(range(8, 16)))


def test_a_quarantine_that_cannot_be_written_stops_nothing(bucket, monkeypatch, caplog) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", "/proc/nowhere")
    bucket.delete("train-00001.arrow")
    with caplog.at_level(logging.WARNING):
        assert bucket.open(on_corrupt="skip").read_many(EVERY).skipped.size == 8
    assert "cannot write /proc/nowhere" in caplog.text


@pytest.mark.parametrize(
    ("at", "options"), [(3, {}), (64 + 50, {"whole_table_bytes": 100})], ids=["preamble of whole", "shards of sparse"]
)
def test_a_damaged_head_of_the_cached_table_is_mended(bucket, at, options) -> None:
    held = bucket.open(**options)
    table = bucket.folder / "table.bin"
    with table.open("r+b") as file:
        file.seek(at)
        file.write(bytes([(bucket.root / "table.bin").read_bytes()[at] ^ 4]))
    assert bucket.open(**options).read(9)["label"] == 9
    before = len(bucket.ranges("table.bin"))
    assert bucket.open(**options).read(9)["label"] == 9
    assert len(bucket.ranges("table.bin")) == before
    assert held.read(17)["label"] == 17


def test_a_folder_in_the_place_of_a_cached_shard_is_named(bucket) -> None:
    dataset = bucket.open()
    (bucket.folder / "train-00001.arrow").mkdir()
    with pytest.raises(DataError, match=r"the cache cannot be used: .*train-00001\.arrow: Is a directory"):
        dataset.read(9)


def test_verify_writes_what_it_finds_to_the_quarantine(bucket) -> None:
    bucket.damage("train-00001.arrow", flipped(bucket.offset(9) + 3))
    bucket.delete("train-00002.arrow")
    verify(bucket.url)
    assert quarantine(bucket, "train-00001.arrow")["rows"] == [[9, 9]]
    assert quarantine(bucket, "train-00002.arrow")["rows"] == [[16, 23]]
    assert quarantine(bucket, "train-00000.arrow") is None
