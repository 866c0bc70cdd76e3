import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import pytest
import webdataset
from data_kit import jpeg

from orchestrator.base.errors import DataError
from orchestrator.data.build import build
from orchestrator.data.converters.webdataset import scan
from orchestrator.data.source import BadSample
from orchestrator.spec.card import DatasetCard

TAGS = {"image": {"type": "image"}, "tags": {"type": "text_list", "field": "json.meta.tags"}, "text": {"type": "text"}}


def tar_card(columns: dict[str, Any], **keys: Any) -> DatasetCard:
    return DatasetCard.model_validate(
        {
            "name": "tars",
            "title": "Tars",
            "converter": "webdataset",
            "source": "folder",
            "columns": columns,
            "splits": {"train": "train-{000000..000001}.tar"},
            "row_order": "source",
        }
        | keys
    )


def pack(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def one_tar(**keys: Any) -> DatasetCard:
    columns = keys.pop("columns", {"image": {"type": "image"}})
    return tar_card(columns, splits={"train": "a.tar"}, **keys)


def names(source: Path, card: DatasetCard) -> list[str]:
    return [sample.name for sample in scan(card, source).samples]


def test_tars_of_webdatasets_own_writer_are_read(tmp_path: Path) -> None:
    with webdataset.ShardWriter(str(tmp_path / "train-%06d.tar"), maxcount=3, verbose=0) as writer:
        for number in range(6):
            document = {"meta": {"tags": ["a", str(number)]}}
            writer.write({"__key__": f"{number:04d}", "jpg": jpeg(number), "json": document, "txt": f"text {number}"})
    found = scan(tar_card(TAGS), tmp_path)
    assert found.skipped == ()
    assert [sample.name for sample in found.samples][2:4] == ["train-000000.tar: 0002", "train-000001.tar: 0003"]
    record = found.samples[4].read()
    assert record == {"image": jpeg(4), "tags": ["a", "4"], "text": "text 4"}


def test_samples_travel_to_other_processes_without_the_tables(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", *[(f"{number:05d}.jpg", b"x") for number in range(2000)])
    sample = scan(one_tar(), tmp_path).samples[1999]
    assert len(pickle.dumps(sample)) < 1000
    assert pickle.loads(pickle.dumps(sample)).read() == {"image": b"x"}


def test_keys_are_folders_and_names_up_to_the_first_dot(tmp_path: Path) -> None:
    pack(
        tmp_path / "a.tar",
        ("x/one.jpg", b"1"),
        ("y/one.jpg", b"2"),
        ("y/two.seg.png", b"mask"),
        ("y/two.JPEG", b"3"),
        ("__meta__", b""),
        (".hidden.jpg", b""),
        ("README", b""),
    )
    assert names(tmp_path, one_tar()) == ["a.tar: x/one", "a.tar: y/one", "a.tar: y/two"]
    card = one_tar(columns={"image": {"type": "image"}, "parts": {"type": "mask", "field": "seg.png"}})
    assert [sample.read()["parts"] for sample in scan(card, tmp_path).samples] == [b"mask"]


def test_labels_are_numbers_or_names_of_the_card(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", ("1.jpg", b""), ("1.cls", b"1\n"), ("2.jpg", b""), ("2.cls", b"cat"), ("3.jpg", b""))
    card = one_tar(columns={"image": {"type": "image"}, "label": {"type": "label", "classes": ["cat", "dog"]}})
    found = scan(card, tmp_path)
    assert found.classes == ("cat", "dog")
    assert [sample.read()["label"] for sample in found.samples] == [1, 0]
    assert [(entry.name, entry.reason) for entry in found.skipped] == [("a.tar: 3", "has no .cls, .class, .index")]


def test_fields_are_chosen_by_the_card(tmp_path: Path) -> None:
    document = json.dumps({"tags": "cat, dog", "size": {"w": 3}}).encode()
    pack(tmp_path / "a.tar", ("1.png", b"png"), ("1.webp", b"webp"), ("1.json", document))
    columns = {
        "image": {"type": "image", "field": "webp;jpg"},
        "tags": {"type": "text_list", "field": "json.tags"},
        "width": {"type": "int64", "field": "json.size.w"},
        "lacking": {"type": "text", "field": "json.no.such"},
    }
    (sample,) = scan(one_tar(columns=columns), tmp_path).samples
    assert sample.read() == {"image": b"webp", "tags": ["cat", "dog"], "width": 3, "lacking": ""}


def test_hashtags_in_tars_become_numbers_of_a_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "hashtags.txt").write_text("cat\ndog\n")
    source = [(1, ["dog", "sky", "cat"]), (2, ["sky"])]
    members = [((f"{n}.jpg", jpeg(n)), (f"{n}.json", json.dumps({"tags": tags}).encode())) for n, tags in source]
    pack(tmp_path / "a.tar", *[member for pair in members for member in pair])
    columns = {"image": {"type": "image"}, "hashtags": {"type": "int64_list", "field": "json.tags"}}
    found = scan(one_tar(columns=columns, layout={"labels": "hashtags.txt"}), tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.samples[0].read()["hashtags"].tolist() == [1, 0]
    with pytest.raises(BadSample, match=r"none of its json\.tags is in the vocabulary"):
        found.samples[1].read()


def test_json_that_is_none_is_a_bad_sample(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", ("1.jpg", b""), ("1.json", b"{"), ("1.txt", b""))
    with pytest.raises(BadSample, match=r"its .json cannot be read"):
        scan(one_tar(columns=TAGS), tmp_path).samples[0].read()


def test_what_is_whole_of_a_truncated_tar_is_used_and_the_rest_listed(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", *[(f"{number}.jpg", bytes([number]) * 5000) for number in range(5)])
    path.write_bytes(path.read_bytes()[: 3 * (512 + 5120) + 512 + 100])
    found = scan(one_tar(), tmp_path)
    assert [sample.read()["image"][:1] for sample in found.samples] == [b"\0", b"\1", b"\2"]
    assert found.skipped[0].name == "a.tar: 3.jpg"
    assert found.skipped[0].reason == "truncated: the tar ends before it does"


@pytest.mark.parametrize("keep", [2 * 1024, 2 * 1024 + 100], ids=["between members", "inside a header"])
def test_a_tar_without_its_end_mark_is_listed(tmp_path: Path, keep: int) -> None:
    path = pack(tmp_path / "a.tar", *[(f"{number}.jpg", bytes(512)) for number in range(5)])
    path.write_bytes(path.read_bytes()[:keep])
    found = scan(one_tar(), tmp_path)
    assert len(found.samples) == 2
    assert [entry.name for entry in found.skipped] == ["a.tar"]
    assert found.skipped[0].reason.startswith("truncated or damaged")


def test_a_damaged_header_is_listed(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", *[(f"{number}.jpg", bytes(512)) for number in range(5)])
    content = bytearray(path.read_bytes())
    content[2 * 1024 + 5] ^= 0xFF
    path.write_bytes(content)
    found = scan(one_tar(), tmp_path)
    assert len(found.samples) == 2
    assert found.skipped[0].reason.startswith("truncated or damaged")


def test_keys_and_extensions_that_come_twice_are_listed(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", ("1.jpg", b"a"), ("2.jpg", b"b"), ("2.JPG", b"c"), ("1.jpg", b"d"))
    found = scan(one_tar(), tmp_path)
    assert [sample.read()["image"] for sample in found.samples] == [b"a", b"b"]
    assert {entry.name: entry.reason for entry in found.skipped} == {
        "a.tar: 2.JPG": "the sample has a member of this extension already",
        "a.tar: 1": "its key was there before, in other members",
    }


def test_names_that_lead_out_are_only_names(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    pack(source / "a.tar", ("../../evil.jpg", jpeg(1)), ("/etc/evil.jpg", jpeg(2)))
    report = build(one_tar(), source, tmp_path / "out")
    assert report.rows == {"train": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_links_in_a_tar_are_listed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("1.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
        entry = tarfile.TarInfo("2.jpg")
        archive.addfile(entry, io.BytesIO(b""))
    found = scan(one_tar(), tmp_path)
    assert [sample.name for sample in found.samples] == ["a.tar: 2"]
    assert found.skipped[0].reason == "a link, a device or a sparse file"


def test_a_compressed_tar_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w:gz"):
        pass
    with pytest.raises(DataError, match="is compressed") as caught:
        scan(one_tar(), tmp_path)
    assert "unpack" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"junk" * 300])
def test_a_source_of_files_that_are_no_tars_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(DataError, match="no sample of the tars") as caught:
        scan(one_tar(), tmp_path)
    assert "a.tar" in caught.value.hint


def test_a_tar_that_became_shorter_after_the_scan_is_a_bad_sample(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", ("1.jpg", bytes(5000)))
    (sample,) = scan(one_tar(), tmp_path).samples
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadSample, match="shorter"):
        sample.read()


def test_long_names_foreign_letters_and_old_headers_are_read(tmp_path: Path) -> None:
    long = "folder/" * 30 + "x" * 120
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        found = ["é.jpg", "a/b.jpg"] if kind == tarfile.USTAR_FORMAT else ["é.jpg", f"{long}.jpg", "a/b.jpg"]
        with tarfile.open(tmp_path / "a.tar", "w", format=kind) as archive:
            for number, name in enumerate(["", *found]):
                entry = tarfile.TarInfo(name or "a")
                entry.type = tarfile.REGTYPE if name else tarfile.DIRTYPE
                entry.mtime = number + 0.5 if kind == tarfile.PAX_FORMAT else number
                entry.size = number * 300 if name else 0
                archive.addfile(entry, io.BytesIO(bytes([number]) * entry.size))
        samples = scan(one_tar(), tmp_path).samples
        assert [sample.name for sample in samples] == [f"a.tar: {name[:-4]}" for name in found]
        assert [sample.read()["image"] for sample in samples] == [
            bytes([n]) * 300 * n for n in range(1, len(found) + 1)
        ]


def test_a_member_of_negative_size_ends_the_scan(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", ("1.jpg", bytes(512)), ("2.jpg", bytes(512)))
    content = bytearray(path.read_bytes())
    header = content[1024:1536]
    header[124:136] = b"-0000002000\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content[1024:1536] = header
    path.write_bytes(content)
    found = scan(one_tar(), tmp_path)
    assert [sample.name for sample in found.samples] == ["a.tar: 1"]
    assert found.skipped[-1].reason.startswith("truncated or damaged")
