import pytest

from orchestrator.base.errors import Conflict, DataError, NotFound, RemoteUnavailable, UsageError
from orchestrator.cli.main import run
from orchestrator.data.remote.storage import Storage
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


def test_publishing_again_uploads_nothing_and_says_so(empty, capfd) -> None:
    assert publish(empty.root, empty.url, settings=empty.settings) == 7
    empty.proxy.seen.clear()
    capfd.readouterr()
    assert run(["data", "publish", str(empty.root), empty.url]) == 0
    assert puts(empty) == [MARKER]
    out, err = capfd.readouterr()
    assert "already: nothing uploaded" in out
    assert "B/s" not in err


def test_publishing_again_uploads_what_is_damaged_and_no_more(bucket) -> None:
    publish(bucket.root, bucket.url, settings=bucket.settings)
    bucket.damage("train-00001.arrow", lambda content: content[:-1] + b"\xff")
    bucket.proxy.seen.clear()
    assert publish(bucket.root, bucket.url, settings=bucket.settings) == 1
    assert puts(bucket) == [MARKER, "train-00001.arrow"]


def test_of_two_that_publish_to_one_url_at_once_one_goes_on(empty, monkeypatch) -> None:
    create = Storage.create

    def late(storage: Storage, name: str, content: bytes) -> bool:
        empty.put(MARKER, b'{"version": "another"}')  # it comes between the question and the claim
        return create(storage, name, content)

    monkeypatch.setattr(Storage, "create", late)
    with pytest.raises(Conflict, match="version another, is being published"):
        publish(empty.root, empty.url, settings=empty.settings)
    assert not [name for name in puts(empty) if name.endswith(".arrow")]


def test_a_marker_that_another_publisher_has_deleted_is_no_failure(empty, monkeypatch) -> None:
    monkeypatch.setattr(Storage, "delete", _gone)
    assert publish(empty.root, empty.url, settings=empty.settings) == 7


def _gone(storage: Storage, name: str) -> None:
    raise FileNotFoundError(name)


def test_publishing_without_credentials_says_so_and_nothing_of_a_cache(empty, monkeypatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(RemoteUnavailable, match="refused") as failed:
        publish(empty.root, empty.url, settings=empty.settings)
    assert "credentials" in failed.value.hint
    assert "cache" not in str(failed.value)


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
