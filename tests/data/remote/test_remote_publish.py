import pytest

from orchestrator.base.errors import Conflict, DataError, NotFound, RemoteUnavailable, UsageError
from orchestrator.data.remote.upload import MARKER, publish


def puts(bucket) -> list[str]:
    return [one.path.rpartition("/")[2] for one in bucket.proxy.requests("/data/", "PUT")]


def test_a_published_dataset_reads_as_the_local_one_and_its_index_came_last(empty) -> None:
    calls: list[tuple[int, int]] = []
    publish(empty.root, empty.url, lambda done, total: calls.append((done, total)), settings=empty.settings)
    assert empty.open().read(9)["label"] == 9
    assert puts(empty)[0] == MARKER
    assert puts(empty)[-1] == "index.json"
    size = sum(path.stat().st_size for path in empty.root.iterdir())
    assert calls[-1] == (size, size)
    kept = empty.client.list_objects_v2(Bucket=empty.name)["Contents"]
    assert {one["Key"] for one in kept} == {f"data/{path.name}" for path in empty.root.iterdir()}


def test_an_interrupted_publication_goes_on_with_what_is_missing(empty) -> None:
    empty.proxy.inject("status", r"train-00003\.arrow", methods=("PUT",), status=403, times=99)
    with pytest.raises(RemoteUnavailable, match="refused"):
        publish(empty.root, empty.url, settings=empty.settings)
    with pytest.raises(NotFound):
        empty.open()
    there = {one["Key"] for one in empty.client.list_objects_v2(Bucket=empty.name)["Contents"]}
    empty.proxy.faults.clear()
    empty.proxy.seen.clear()
    publish(empty.root, empty.url, settings=empty.settings)
    assert not {f"data/{name}" for name in puts(empty)} & there
    assert empty.open().read(25)["label"] == 25


def test_errors_that_pass_by_are_tried_again(empty) -> None:
    empty.proxy.inject("status", r"train-00001\.arrow", methods=("PUT", "HEAD"), status=503, times=3)
    empty.proxy.inject("reset", "table.bin", methods=("PUT",))
    publish(empty.root, empty.url, settings=empty.settings)
    assert empty.open().read(9)["label"] == 9


def test_publishing_again_uploads_nothing(empty) -> None:
    publish(empty.root, empty.url, settings=empty.settings)
    empty.proxy.seen.clear()
    publish(empty.root, empty.url, settings=empty.settings)
    assert puts(empty) == [MARKER]


def test_another_dataset_is_not_overwritten(bucket) -> None:
    bucket.replace()
    with pytest.raises(Conflict, match="holds another dataset"):
        publish(bucket.root, bucket.url, settings=bucket.settings)
    assert puts(bucket) == []


def test_a_place_where_another_dataset_is_being_published_is_left_alone(empty) -> None:
    empty.put(MARKER, b'{"version": "another"}')
    with pytest.raises(Conflict, match="is being published"):
        publish(empty.root, empty.url, settings=empty.settings)


def test_a_damaged_local_shard_is_not_published(empty) -> None:
    shard = empty.root / "train-00001.arrow"
    content = bytearray(shard.read_bytes())
    content[500] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match="is not as the index says") as failed:
        publish(empty.root, empty.url, settings=empty.settings)
    assert "data verify" in failed.value.hint


def test_a_bucket_that_is_not_there_is_named(empty) -> None:
    with pytest.raises(NotFound, match="cannot write to s3://no-such-bucket") as failed:
        publish(empty.root, "s3://no-such-bucket/data", settings=empty.settings)
    assert "bucket" in failed.value.hint


def test_a_folder_is_no_place_to_publish_to(empty, tmp_path) -> None:
    with pytest.raises(UsageError, match="is a local folder"):
        publish(empty.root, str(tmp_path / "x"), settings=empty.settings)
