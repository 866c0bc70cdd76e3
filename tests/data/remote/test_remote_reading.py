import copy
import errno
import os
import pickle

import numpy as np
import pytest

from orchestrator.base.errors import DataError, NotFound, RemoteUnavailable, UsageError
from orchestrator.data.reader import ShardedDataset
from orchestrator.data.verify import verify

EVERY = np.arange(40, dtype=np.int64)


def values(dataset: ShardedDataset, rows: np.ndarray = EVERY) -> list[int]:
    found = dataset.read_many(rows)
    assert found.skipped.size == 0
    return [view[0] for view in found.values["image"]]


def test_a_remote_dataset_reads_as_the_local_one(bucket) -> None:
    remote, local = bucket.open(), ShardedDataset(bucket.root, "train")
    assert remote.version == local.version
    assert values(remote, EVERY[::-1]) == values(local, EVERY[::-1])
    assert remote.fixed_column("label").tolist() == list(range(40))


def test_only_the_shards_that_are_asked_for_are_fetched(bucket) -> None:
    assert bucket.open().read(17)["label"] == 17
    assert len(bucket.proxy.requests(r"\.arrow$", "HEAD")) == 1
    assert bucket.ranges("train-00002.arrow")


def test_a_second_process_life_finds_shards_and_table_in_the_cache(bucket) -> None:
    values(bucket.open())
    before = len(bucket.proxy.seen)
    assert values(bucket.open()) == list(range(40))
    asked = {one.path.rpartition("/")[2] for one in bucket.proxy.seen[before:]}
    assert asked == {"index.json"}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 503},
        {"kind": "reset"},
        {"kind": "truncate"},
        {"kind": "delay", "seconds": 1.5},
        {"kind": "trickle"},
    ],
    ids=lambda fault: f"{fault['kind']}{fault.get('status', '')}",
)
def test_what_passes_by_is_tried_again(bucket, fault) -> None:
    slow = fault["kind"] in {"delay", "trickle"}
    for path in ["index.json"] if slow else ["index.json", "table.bin", "train-00001.arrow"]:
        bucket.proxy.inject(path=path, times=1 if slow else 3, **fault)
    assert bucket.open().read(9)["label"] == 9
    assert not [one for one in bucket.proxy.faults if one.times]


def test_errors_of_the_head_request_are_tried_again(bucket) -> None:
    bucket.proxy.inject("status", "train-00001.arrow", methods=("HEAD",), status=503, times=2)
    assert bucket.open().read(9)["label"] == 9


def test_a_store_that_stays_broken_is_named_with_rows_and_tries(bucket) -> None:
    dataset = bucket.open(on_corrupt="skip")
    bucket.proxy.inject("status", r"train-00001\.arrow", times=99)
    with pytest.raises(
        RemoteUnavailable, match=r"train-00001\.arrow \(train rows 8 to 15\) cannot be fetched: tried 5 times"
    ) as failed:
        dataset.read(9)
    assert "HTTP 500" in failed.value.message
    assert "start again" in failed.value.hint
    bucket.proxy.faults.clear()
    assert dataset.read(9)["label"] == 9


def test_a_refusal_is_not_tried_again(bucket) -> None:
    dataset = bucket.open()
    bucket.proxy.inject("status", r"train-00001\.arrow", status=403, times=99)
    with pytest.raises(RemoteUnavailable, match="is refused") as failed:
        dataset.read(9)
    assert "credentials" in failed.value.hint
    assert len(bucket.ranges("train-00001.arrow")) == 1


def test_an_unreachable_store_never_lets_a_stale_index_pass(bucket, monkeypatch) -> None:
    values(bucket.open())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(RemoteUnavailable, match=r"index s3://.*/index.json cannot be fetched") as failed:
        bucket.open()
    assert "may be stale" in failed.value.hint


def test_no_error_holds_a_credential(bucket, monkeypatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "HTTP")
    bucket.proxy.inject("status", "index.json", status=403, times=99)
    with pytest.raises(RemoteUnavailable) as failed:
        bucket.open()
    assert "not-so-secret" not in str(failed.value)


def test_an_absent_dataset_is_not_found(empty) -> None:
    with pytest.raises(NotFound, match=r"no dataset at s3://.*it has no index\.json"):
        empty.open()


def test_a_bucket_that_does_not_exist_is_told_from_a_dataset_that_does_not(empty) -> None:
    with pytest.raises(NotFound, match="no dataset at s3://no-such-bucket/data: the bucket does not exist"):
        ShardedDataset("s3://no-such-bucket/data", "train", remote=empty.settings)


def test_an_endpoint_for_s3_alone_is_used_too(bucket, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.proxy.endpoint)
    assert bucket.open().read(3)["label"] == 3


def test_a_partial_download_is_resumed_where_it_ended(bucket) -> None:
    dataset = bucket.open()
    bucket.proxy.inject("status", r"train-00001\.arrow", after=1, times=99)
    with pytest.raises(RemoteUnavailable):
        dataset.read(9)
    part = bucket.folder / "train-00001.arrow.part"
    assert part.stat().st_size == 8192
    bucket.proxy.faults.clear()
    bucket.proxy.seen.clear()
    assert bucket.open().read(9)["label"] == 9
    size = (bucket.root / "train-00001.arrow").stat().st_size
    assert bucket.ranges("train-00001.arrow")[0] == "8192-16383"
    assert bucket.ranges("train-00001.arrow")[-1].endswith(f"-{size - 1}")
    assert not part.exists()


def test_a_partial_download_of_another_object_is_not_glued_on(bucket) -> None:
    dataset = bucket.open()
    part = bucket.folder / "train-00001.arrow.part"
    part.write_bytes(b"x" * 8192)
    part.with_name("train-00001.arrow.part.json").write_text('{"tag": "\\"other\\"", "size": 1}')
    assert dataset.read(9)["label"] == 9
    assert bucket.ranges("train-00001.arrow")[0].startswith("0-")


def test_a_dataset_that_is_published_anew_gets_a_folder_of_its_own(bucket) -> None:
    old = bucket.open()
    assert values(old) == list(range(40))
    bucket.replace()
    new = bucket.open()
    assert new.version != old.version
    assert values(new) == list(range(100, 140))
    assert values(old) == list(range(40))


def test_a_copy_by_pickle_opens_the_same_dataset(bucket) -> None:
    again = pickle.loads(pickle.dumps(bucket.open(on_corrupt="skip")))
    assert (again.on_corrupt, again.index.location) == ("skip", bucket.url)
    assert values(copy.copy(again)) == list(range(40))


def test_a_fork_reads_on_with_connections_of_its_own(bucket) -> None:
    dataset = bucket.open()
    dataset.read(0)
    dataset.prefetch(EVERY[:16])
    child = os.fork()
    if child == 0:
        dataset.prefetch(EVERY)
        os._exit(0 if values(dataset) == list(range(40)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert values(dataset) == list(range(40))


def test_a_cache_that_is_smaller_than_a_shard_is_refused_with_what_to_set(bucket) -> None:
    with pytest.raises(UsageError, match=r"is smaller than train-00000\.arrow") as failed:
        bucket.open(cache_bytes=10_000).read(0)
    assert "ORCHESTRATOR_CACHE_BYTES" in failed.value.hint


def test_a_large_table_is_fetched_shard_by_shard(bucket) -> None:
    table = (bucket.root / "table.bin").stat().st_size
    dataset = bucket.open(whole_table_bytes=100, chunk_bytes=1 << 20)
    assert dataset.read(9)["label"] == 9
    fetched = [range(*map(int, one.split("-"))) for one in bucket.ranges("table.bin")]
    assert sum(len(one) + 1 for one in fetched) < table
    assert values(bucket.open(whole_table_bytes=100), EVERY[8:16]) == list(range(8, 16))
    assert len(bucket.ranges("table.bin")) == len(fetched)


def test_all_labels_of_a_large_table_fetch_the_rest_of_it_once(bucket) -> None:
    dataset = bucket.open(whole_table_bytes=100)
    dataset.read(9)
    assert dataset.fixed_column("label").tolist() == list(range(40))
    before = len(bucket.ranges("table.bin"))
    assert bucket.open(whole_table_bytes=100).fixed_column("label").tolist() == list(range(40))
    assert len(bucket.ranges("table.bin")) == before
    assert not (bucket.folder / "table.have").exists()


def test_a_damaged_table_is_refused(bucket) -> None:
    bucket.damage("table.bin", lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(DataError, match=r"table\.bin is not the one in the index"):
        bucket.open()
    dataset = bucket.open(whole_table_bytes=100)
    with pytest.raises(DataError, match=r"table\.bin is not the one in the index"):
        dataset.fixed_column("label")


def test_a_flipped_bit_on_the_way_of_table_records_is_mended(bucket) -> None:
    dataset = bucket.open(whole_table_bytes=100, chunk_bytes=1 << 20)
    bucket.proxy.inject("flip", "table.bin")
    assert values(dataset) == list(range(40))


def test_verify_streams_every_shard_once_and_leaves_the_cache_alone(bucket, monkeypatch) -> None:
    report = verify(bucket.url)
    assert (report.ok, report.rows) == (True, 40)
    assert len(bucket.proxy.requests(r"\.arrow$", "HEAD")) == 5
    assert not list(bucket.folder.glob("*.arrow"))


def test_verify_names_every_damaged_shard_of_a_bucket(bucket) -> None:
    bucket.delete("train-00000.arrow")
    bucket.damage("train-00001.arrow", lambda content: content[:-1])
    at = bucket.offset(17)
    bucket.damage("train-00002.arrow", lambda content: content[:at] + b"\xff" + content[at + 1 :])
    problems = verify(bucket.url).problems
    assert [(problem.file, problem.rows) for problem in problems] == [
        ("train-00000.arrow", ()),
        ("train-00001.arrow", ()),
        ("train-00002.arrow", ()),
        ("train-00002.arrow", (17,)),
    ]
    assert problems[0].range == "train rows 0 to 7"


def test_a_file_url_is_read_as_a_folder(bucket) -> None:
    assert ShardedDataset(f"file://{bucket.root}", "train").index.files.remote is False
    with pytest.raises(UsageError, match=r"`\.\.`"):
        ShardedDataset(f"file://{bucket.root}/../tiny", "train")


def test_any_protocol_of_fsspec_is_read(bucket) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    for path in bucket.root.iterdir():
        files.pipe_file(f"/tiny/{path.name}", path.read_bytes())
    assert values(ShardedDataset("memory://tiny", "train", remote=bucket.settings)) == list(range(40))


def test_a_table_that_vanishes_is_no_damage_to_a_shard(bucket) -> None:
    dataset = bucket.open(on_corrupt="skip", whole_table_bytes=100)
    bucket.delete("table.bin")
    with pytest.raises(DataError, match=r"side table .*table\.bin is not there"):
        dataset.read_many(EVERY)
    assert dataset.corrupt_rows == set()


def test_a_full_disk_is_named_with_what_to_set(bucket, monkeypatch) -> None:
    dataset = bucket.open()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RemoteUnavailable, match="the disk of the cache is full") as failed:
        dataset.read(9)
    assert "ORCHESTRATOR_CACHE_DIR" in failed.value.hint
