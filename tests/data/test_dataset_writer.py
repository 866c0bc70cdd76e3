import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.base.errors import Conflict, DataError
from orchestrator.data.decode import encode_png
from orchestrator.data.header import Description
from orchestrator.data.index import DatasetIndex
from orchestrator.data.schema import Schema
from orchestrator.data.writer import DatasetWriter, Limits

SCHEMA = Schema.of([("image", "image"), ("label", "label")])


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


def test_the_same_records_give_the_same_bytes(make_dataset) -> None:
    first, second = make_dataset("one"), make_dataset("two")
    one, two = files(first), files(second)
    assert one.keys() == two.keys()
    assert all(one[name] == two[name] for name in one if name != "index.json")
    assert DatasetIndex.open(first).version == DatasetIndex.open(second).version


def test_a_changed_record_is_another_version(make_dataset) -> None:
    versions = {DatasetIndex.open(make_dataset(f"d{rows}", train=rows)).version for rows in (19, 20)}
    assert len(versions) == 2


def test_pandas_is_not_imported_to_write_a_dataset(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from orchestrator.data.shard import ShardWriter;"
        "from orchestrator.data.schema import Schema;"
        "writer = ShardWriter(Path(sys.argv[1]), Schema.of([('label', 'label'), ('depth', 'float64')]));"
        "writer.write({'label': [3], 'depth': [0.5]}, 1); writer.finish(); sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path / "shard.arrow")], check=False).returncode == 0


def test_arrow_itself_reads_the_shards(small: Path) -> None:
    tables = [pa.ipc.open_file(str(path)).read_all() for path in sorted(small.glob("train-*.arrow"))]
    assert [table.num_rows for table in tables] == [8, 8, 4]
    assert tables[0].schema == pa.schema(
        [pa.field("image", pa.large_binary(), nullable=False), pa.field("label", pa.int64(), nullable=False)]
    )
    assert tables[1]["label"].to_pylist() == [row % 5 for row in range(8, 16)]
    for table in tables:
        table.validate(full=True)


def test_the_index_is_complete_and_no_temporary_file_is_left(small: Path) -> None:
    names = {path.name for path in small.iterdir()}
    shards = {"train-00000.arrow", "train-00001.arrow", "train-00002.arrow", "test-00000.arrow"}
    assert names == shards | {"index.json", "table.bin"}


def test_shards_end_at_their_limit_of_bytes(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "d", SCHEMA, Description(name="d"), limits=Limits(shard_bytes=1000)) as writer:
        for row in range(10):
            writer.write("train", {"image": bytes(392), "label": row})
    assert DatasetIndex.open(tmp_path / "d").split("train").shard_rows.tolist() == [3, 3, 3, 1]


def test_an_interrupted_build_leaves_no_dataset_and_the_next_one_starts_clean(tmp_path: Path) -> None:
    def broken() -> None:
        with DatasetWriter(tmp_path / "d", SCHEMA, Description(name="d"), limits=Limits(shard_rows=2)) as writer:
            for row in range(5):
                writer.write("other", {"image": b"x", "label": row})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert not (tmp_path / "d" / "index.json").exists()
    with DatasetWriter(tmp_path / "d", SCHEMA, Description(name="d")) as writer:
        writer.write("train", {"image": b"x", "label": 0})
    assert {path.name for path in (tmp_path / "d").iterdir()} == {"train-00000.arrow", "table.bin", "index.json"}


def test_a_finished_dataset_is_never_overwritten(small: Path) -> None:
    with pytest.raises(Conflict, match="already holds a dataset"):
        DatasetWriter(small, SCHEMA, Description(name="d"))


def test_two_builds_of_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "d", SCHEMA, Description(name="d")) as writer:
        writer.write("train", {"image": b"x", "label": 0})
        with pytest.raises(Conflict, match="another process builds"):
            DatasetWriter(tmp_path / "d", SCHEMA, Description(name="d"))
    assert (tmp_path / "d" / "index.json").exists()


def test_a_folder_with_files_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(Conflict, match=r"it holds thesis\.tex"):
        DatasetWriter(tmp_path, SCHEMA, Description(name="d"))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    "record",
    [
        {"image": b"x"},
        {"image": b"x", "label": 1, "more": 2},
        {"image": "text", "label": 1},
        {"image": None, "label": 1},
    ],
)
def test_a_record_that_does_not_fit_the_columns_is_refused(tmp_path: Path, record: dict[str, object]) -> None:
    writer = DatasetWriter(tmp_path / "d", SCHEMA, Description(name="d"))
    with pytest.raises(DataError):
        writer.write("train", record)


@pytest.mark.parametrize("name", ["", "../up", "a-b", "Train", "a/b", "x" * 70])
def test_a_split_name_that_is_no_safe_file_name_is_refused(tmp_path: Path, name: str) -> None:
    writer = DatasetWriter(tmp_path / "d", SCHEMA, Description(name="d"))
    with pytest.raises(DataError, match="bad split name"):
        writer.add_split(name)


@pytest.mark.parametrize(
    "pairs", [[], [("image", "jpeg")], [("a", "text"), ("a", "label")], [("a.b", "text")], [("A", "text")]]
)
def test_a_bad_schema_is_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(DataError):
        Schema.of(pairs)


def test_png_encoding_is_lossless_and_repeatable() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert encode_png(pixels) == encode_png(pixels)
