import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_kit import jpeg

from orchestrator.base.errors import DataError, NotFound
from orchestrator.data.build import build
from orchestrator.data.converters import table_rows
from orchestrator.data.converters.parquet import scan
from orchestrator.data.source import BadSample
from orchestrator.spec.card import DatasetCard

MakeCard = Callable[..., DatasetCard]


def table_card(columns: dict[str, Any], **keys: Any) -> DatasetCard:
    return DatasetCard.model_validate(
        {
            "name": "tagged",
            "title": "Tagged images",
            "converter": "parquet",
            "source": "folder",
            "columns": {"image": {"type": "image"}, **columns},
            "splits": {"train": "train/*.parquet"},
            "row_order": "source",
        }
        | keys
    )


def save(path: Path, columns: dict[str, Any], rows_a_group: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=rows_a_group)
    return path


def records(card: DatasetCard, source: Path) -> list[dict[str, Any]]:
    return [dict(sample.read()) for sample in scan(card, source).samples]


def test_images_tags_and_captions_come_from_all_row_groups_of_all_files(tmp_path: Path) -> None:
    for file in range(2):
        save(
            tmp_path / f"train/part-{file}.parquet",
            {
                "image": [jpeg(10 * file + row) for row in range(10)],
                "tags": [["a", f"{row}"] for row in range(10)],
                "caption": [f"picture {file}.{row}" for row in range(10)],
            },
        )
    card = table_card({"tags": {"type": "text_list"}, "text": {"type": "text", "field": "caption"}})
    found = records(card, tmp_path)
    assert [record["text"] for record in found] == [f"picture {file}.{row}" for file in (0, 1) for row in range(10)]
    assert found[13]["image"] == jpeg(13)
    assert found[13]["tags"] == ["a", "3"]


def test_each_row_group_is_read_once_in_the_order_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "train/a.parquet", {"image": [jpeg(row) for row in range(12)]}, rows_a_group=3)
    calls: list[int] = []
    inner = pq.ParquetFile.read_row_group

    def counted(self: pq.ParquetFile, place: int, **keys: Any) -> pa.Table:
        calls.append(place)
        return inner(self, place, **keys)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    records(table_card({}), tmp_path)
    assert calls == [0, 1, 2, 3]


def test_an_image_may_be_a_struct_or_a_path(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/3.jpg").write_bytes(jpeg(3))
    save(tmp_path / "structs/a.parquet", {"image": [{"bytes": jpeg(1), "path": None}]})
    save(tmp_path / "paths/a.parquet", {"image": ["3.jpg"]})
    structs = table_card({}, splits={"train": "structs/*.parquet"})
    paths = table_card({}, splits={"train": "paths/*.parquet"}, layout={"images": "pictures"})
    assert records(structs, tmp_path) == [{"image": jpeg(1)}]
    assert records(paths, tmp_path) == [{"image": jpeg(3)}]
    assert scan(paths, tmp_path).samples[0].size >= len(jpeg(3))


def test_paths_that_lead_out_of_the_source_and_absent_files_are_listed(tmp_path: Path) -> None:
    root = tmp_path / "source"
    (tmp_path / "secret.jpg").write_bytes(jpeg(0))
    save(
        root / "train/a.parquet",
        {"image": ["good.jpg", "../secret.jpg", str(tmp_path / "secret.jpg"), "link.jpg", "absent.jpg", None]},
    )
    (root / "good.jpg").write_bytes(jpeg(1))
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    found = scan(table_card({}), root)
    assert [sample.name for sample in found.samples] == ["train/a.parquet row 0"]
    assert [entry.reason for entry in found.skipped] == [
        "its path leads out of the source",
        "its path is absolute, and so not of this source",
        "a symbolic link that leads out of the source",
        "the file that it names is not there",
        "names no file",
    ]


def test_a_path_beside_bytes_that_are_null_cannot_lead_out_either(tmp_path: Path) -> None:
    images = [{"bytes": None, "path": "/etc/hostname"}, {"bytes": jpeg(1), "path": None}]
    save(tmp_path / "train/a.parquet", {"image": images})
    found = scan(table_card({}), tmp_path)
    assert [entry.reason for entry in found.skipped] == ["its path is absolute, and so not of this source"]
    assert [sample.read() for sample in found.samples] == [{"image": jpeg(1)}]


def test_tags_become_numbers_of_the_vocabulary_and_unknown_ones_are_counted(tmp_path: Path) -> None:
    (tmp_path / "hashtags.txt").write_text("\ufeffcat\r\ndog\r\nnew york\r\n")
    rows = [["dog", "cat", "dog"], ["unheard"], [], None, ["new york", "what", None]]
    save(tmp_path / "train/a.parquet", {"image": [jpeg(row) for row in range(5)], "tags": rows}, rows_a_group=2)
    card = table_card({"tags": {"type": "int64_list"}}, layout={"labels": "hashtags.txt"})
    found = scan(card, tmp_path)
    assert found.classes == ("cat", "dog", "new york")
    assert [entry.count for entry in found.skipped] == [1, 3]
    assert [sample.read()["tags"].tolist() for sample in found.samples] == [[1, 0], [2]]
    assert [(entry.name, entry.reason) for entry in found.skipped] == [
        ("tags", "2 of 6 tags are not among the 3 of the vocabulary: they are dropped"),
        ("3 rows", "none of its tags is in the vocabulary"),
    ]


@pytest.mark.parametrize(("separator", "text"), [(",", "new york, cat,,"), (" ", "new cat  york"), ("|", "cat|cat")])
def test_tags_in_one_string_are_cut_at_the_separator(tmp_path: Path, separator: str, text: str) -> None:
    save(tmp_path / "train/a.parquet", {"image": [jpeg(0)], "tags": [text]})
    expected = [tag.strip() for tag in text.split(separator) if tag.strip()]
    raw = table_card({"tags": {"type": "text_list", "separator": separator}})
    assert records(raw, tmp_path)[0]["tags"] == expected
    known = table_card({"tags": {"type": "int64_list", "separator": separator, "classes": ["cat"]}})
    found = scan(known, tmp_path)
    assert len(found.samples) == ("cat" in expected)


def test_class_names_are_sorted_and_splits_can_be_cut_by_them(tmp_path: Path) -> None:
    names = ["b", "a", "c", "a"] * 10
    save(tmp_path / "some.parquet", {"image": [jpeg(row) for row in range(40)], "label": names})
    card = table_card({"label": {"type": "label"}}, splits={"train": 0.5, "test": 0.5})
    found = scan(card, tmp_path)
    assert found.classes == ("a", "b", "c")
    assert [sample.stratum for sample in found.samples[:4]] == [1, 0, 2, 0]
    assert found.samples[2].read()["label"] == 2
    report = build(card, tmp_path, tmp_path / "out")
    assert report.rows == {"train": 20, "test": 20}


def test_numbers_as_classes_are_named_by_themselves(tmp_path: Path) -> None:
    save(tmp_path / "train/a.parquet", {"image": [jpeg(0), jpeg(1)], "label": [3, 1]})
    assert scan(table_card({"label": {"type": "label"}}), tmp_path).classes == ("0", "1", "2", "3")


def test_rows_without_image_or_label_are_bad_samples(tmp_path: Path) -> None:
    save(tmp_path / "train/a.parquet", {"image": [None, jpeg(1), jpeg(2)], "label": ["a", None, "z"]})
    card = table_card({"label": {"type": "label", "classes": ["a"]}})
    for sample, reason in zip(
        scan(card, tmp_path).samples, ("has no image", "has no label", "'z' is no class of the card"), strict=True
    ):
        with pytest.raises(BadSample, match=reason):
            sample.read()


def test_damaged_empty_and_different_files_are_listed_and_the_rest_is_used(tmp_path: Path) -> None:
    whole = save(tmp_path / "train/a.parquet", {"image": [jpeg(0)], "label": [1]}).read_bytes()
    (tmp_path / "train/b.parquet").write_bytes(whole[:-40])
    (tmp_path / "train/c.parquet").write_bytes(b"")
    save(tmp_path / "train/d.parquet", {"image": ["a path"], "label": [1]})
    save(tmp_path / "train/e.parquet", {"extra": [1], "image": [jpeg(4)], "label": [0]})
    found = scan(table_card({"label": {"type": "label"}}), tmp_path)
    assert [sample.name for sample in found.samples] == ["train/a.parquet row 0", "train/e.parquet row 0"]
    reasons = {entry.name: entry.reason for entry in found.skipped}
    assert reasons.pop("train/b.parquet").startswith("not a whole Parquet file")
    assert reasons == {
        "train/c.parquet": "the file is empty",
        "train/d.parquet": "its columns differ from those of the first file",
    }


def test_a_damaged_row_group_costs_its_own_rows_only(tmp_path: Path) -> None:
    path = save(tmp_path / "train/a.parquet", {"image": [jpeg(row, 40) for row in range(8)]}, rows_a_group=4)
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + 30] = bytes(30)
    path.write_bytes(content)
    report = build(table_card({}), tmp_path, tmp_path / "out")
    assert report.rows == {"train": 4}
    assert sorted(entry.name for entry in report.skipped) == [f"train/a.parquet row {row}" for row in range(4)]
    assert all(entry.reason.startswith("row group 0 cannot be read") for entry in report.skipped)


def test_a_column_that_is_not_there_is_an_error_that_lists_those_that_are(tmp_path: Path) -> None:
    save(tmp_path / "train/a.parquet", {"jpg": [jpeg(0)], "tags": [["a"]]})
    with pytest.raises(DataError, match="no column 'image'") as caught:
        scan(table_card({}), tmp_path)
    assert "jpg, tags" in caught.value.hint


def test_a_file_that_changed_since_an_earlier_scan_is_read_anew(tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path / "train/a.parquet", {"image": [jpeg(number)]})
        assert records(table_card({}), tmp_path) == [{"image": jpeg(number)}]


def test_samples_travel_to_other_processes(tmp_path: Path) -> None:
    save(tmp_path / "train/a.parquet", {"image": [jpeg(row) for row in range(8)]})
    samples = pickle.loads(pickle.dumps(scan(table_card({}), tmp_path).samples))
    assert [sample.read()["image"] for sample in samples[6:]] == [jpeg(6), jpeg(7)]


def test_big_tables_in_keyed_order_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "train/a.parquet", {"image": [jpeg(row) for row in range(8)]})
    assert len(scan(table_card({}, row_order="keyed"), tmp_path).samples) == 8
    monkeypatch.setattr(table_rows, "_MOST_READ", 1000)
    with pytest.raises(DataError, match="each row its whole row group") as caught:
        scan(table_card({}, row_order="keyed"), tmp_path)
    assert "row_order: source" in caught.value.hint


@pytest.mark.parametrize("pattern", ["train/*.parquet", "train/{a,b}.parquet", "**/*.parquet", "train/a.parquet"])
def test_patterns_find_files(tmp_path: Path, pattern: str) -> None:
    save(tmp_path / "train/a.parquet", {"image": [jpeg(0)]})
    assert len(scan(table_card({}, splits={"train": pattern}), tmp_path).samples) == 1


def test_a_named_file_that_is_absent_is_listed_and_a_pattern_without_files_refused(tmp_path: Path) -> None:
    save(tmp_path / "0.parquet", {"image": [jpeg(0)]})
    found = scan(table_card({}, splits={"train": "{0..2}.parquet"}), tmp_path)
    assert [(entry.name, entry.reason) for entry in found.skipped] == [
        ("1.parquet", "no such file"),
        ("2.parquet", "no such file"),
    ]
    with pytest.raises(NotFound, match=r"no file matches 'x/\*.parquet'"):
        scan(table_card({}, splits={"train": "x/*.parquet"}), tmp_path)


@pytest.mark.parametrize("pattern", ["../*.parquet", "/etc/*.parquet", "train/../../*.parquet"])
def test_patterns_that_lead_out_of_the_source_are_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(DataError, match="leads out of the source"):
        scan(table_card({}, splits={"train": pattern}), tmp_path)


def test_a_pattern_of_a_billion_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than 1,000,000 files"):
        scan(table_card({}, splits={"train": "{0..999999999}.parquet"}), tmp_path)


@pytest.mark.parametrize(("content", "reason"), [("", "is empty"), ("a\nb\na\n", "lists 'a' twice")])
def test_a_vocabulary_that_is_none_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "tags.txt").write_text(content)
    save(tmp_path / "train/a.parquet", {"image": [jpeg(0)], "tags": [["a"]]})
    with pytest.raises(DataError, match=reason):
        scan(table_card({"tags": {"type": "int64_list"}}, layout={"labels": "tags.txt"}), tmp_path)
