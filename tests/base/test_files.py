from pathlib import Path

import pytest

from orchestrator.base.files import create_exclusive, read_json, write_atomic, write_json


def test_a_write_replaces_the_whole_file_and_leaves_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "document"
    write_atomic(path, b"a much longer first content")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write_atomic(path, b"secret", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_the_first_exclusive_creation_counts(tmp_path: Path) -> None:
    path = tmp_path / "claim"
    assert create_exclusive(path, b"first")
    assert not create_exclusive(path, b"second")
    assert path.read_bytes() == b"first"


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"[1, 2]", b"\xff\xfe"])
def test_a_half_written_json_reads_as_absent(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "document.json"
    path.write_bytes(content)
    assert read_json(path) is None


def test_an_absent_json_reads_as_absent(tmp_path: Path) -> None:
    assert read_json(tmp_path / "nothing" / "here.json") is None
