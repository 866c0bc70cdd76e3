import bz2
import pickle
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import numpy as np
import pytest
from data_kit import jpeg

from orchestrator.base.errors import DataError, NotFound
from orchestrator.data.build import build
from orchestrator.data.converters.yfcc100m import FIELDS, scan
from orchestrator.spec.card import DatasetCard


def flickr_card(**keys: Any) -> DatasetCard:
    return DatasetCard.model_validate(
        {
            "name": "flickr",
            "title": "Photos",
            "converter": "yfcc100m",
            "source": "folder",
            "columns": {
                "image": {"type": "image"},
                "tags": {"type": "text_list", "field": "user_tags"},
                "title": {"type": "text"},
                "latitude": {"type": "float64"},
            },
            "splits": {"train": 1.0},
        }
        | keys
    )


def line(number: int, *, without: tuple[str, ...] = (), **cells: str) -> str:
    row = dict.fromkeys(FIELDS, "x") | {
        "line": str(number),
        "id": str(1000 + number),
        "hash": f"{number:032x}",
        "title": quote_plus(f"Photo, {number} 100%"),
        "user_tags": ",".join(quote_plus(tag) for tag in ("new york", "café", "a,b")),
        "latitude": "",
        "marker": "0",
    }
    return "\t".join(value for name, value in (row | cells).items() if name not in without) + "\n"


def place_photo(source: Path, number: int, *, by_hash: bool = True) -> Path:
    name = f"{number:032x}"
    path = source / "data/images" / (f"{name[:3]}/{name[3:6]}/{name}.jpg" if by_hash else f"{1000 + number}.jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(number))
    return path


@pytest.mark.parametrize(
    ("without", "by_hash"),
    [((), True), (("line",), True), (("hash",), False), (("line", "hash"), False), ((), False)],
    ids=["25 fields", "24, no line", "24, no hash", "23", "25, named by identifier"],
)
def test_photos_are_found_by_hash_or_identifier_in_every_release(
    tmp_path: Path, without: tuple[str, ...], by_hash: bool
) -> None:
    place_photo(tmp_path, 1, by_hash=by_hash)
    place_photo(tmp_path, 3, by_hash=by_hash)
    (tmp_path / "yfcc100m_dataset").write_text(
        "".join(line(number, without=without, latitude="51.5" if number == 3 else "") for number in range(1, 4))
    )
    found = scan(flickr_card(), tmp_path)
    assert [sample.name for sample in found.samples] == ["photo 1001", "photo 1003"]
    assert [(entry.name, entry.reason) for entry in found.skipped] == [
        ("yfcc100m_dataset:2", "its photo is not on disk")
    ]
    record = pickle.loads(pickle.dumps(found.samples[1])).read()
    assert record == {
        "image": jpeg(3),
        "tags": ["new york", "café", "a,b"],
        "title": "Photo, 3 100%",
        "latitude": 51.5,
    }
    assert np.isnan(found.samples[0].read()["latitude"])


def test_videos_and_rows_that_are_none_are_listed(tmp_path: Path) -> None:
    place_photo(tmp_path, 5)
    (tmp_path / "yfcc100m_dataset-0").write_text(
        line(1, marker="1")
        + "too\tfew\n"
        + line(2, id="../../etc/passwd")
        + line(3, hash="../../../secret")
        + "\n"
        + line(5).replace("\n", "\r\n")
    )
    found = scan(flickr_card(), tmp_path)
    assert [sample.name for sample in found.samples] == ["photo 1005"]
    assert [entry.reason for entry in found.skipped] == [
        "a video",
        "a row of 2 fields; there should be 23 to 25",
        "its identifier is no number",
        "its hash is none",
        "a row of 1 fields; there should be 23 to 25",
    ]


def test_a_photo_behind_a_link_out_of_the_source_is_listed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    outside = place_photo(tmp_path, 1)
    place_photo(source, 2)
    name = f"{1:032x}"
    link = source / "data/images" / name[:3] / name[3:6] / f"{name}.jpg"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    (source / "yfcc100m_dataset").write_text(line(1) + line(2))
    found = scan(flickr_card(), source)
    assert [sample.name for sample in found.samples] == ["photo 1002"]
    assert found.skipped[0].reason == "a symbolic link that leads out of the source"


def test_a_compressed_table_is_refused_with_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "yfcc100m_dataset.bz2").write_bytes(bz2.compress(line(1).encode()))
    with pytest.raises(DataError, match="is compressed") as caught:
        scan(flickr_card(), tmp_path)
    assert "bunzip2 --keep yfcc100m_dataset.bz2" in caught.value.hint


def test_fields_that_rows_lack_and_absent_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file matches"):
        scan(flickr_card(), tmp_path)
    columns = {"image": {"type": "image"}, "text": {"type": "text", "field": "caption"}}
    with pytest.raises(DataError, match="no field 'caption'"):
        scan(flickr_card(columns=columns), tmp_path)


def test_tags_become_numbers_of_a_vocabulary_and_the_photos_are_built(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(4):
        place_photo(source, number)
    (source / "yfcc100m_dataset").write_text("".join(map(line, range(4))))
    (source / "tags.txt").write_text("café\nlondon\nnew york\n")
    columns = {"image": {"type": "image"}, "tags": {"type": "int64_list", "field": "user_tags"}}
    card = flickr_card(columns=columns, layout={"labels": "tags.txt"})
    assert scan(card, source).samples[0].read()["tags"].tolist() == [2, 0]
    assert scan(card, source).classes == ("café", "london", "new york")
    assert build(card, source, tmp_path / "out").rows == {"train": 4}
