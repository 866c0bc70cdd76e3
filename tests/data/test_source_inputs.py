"""No file that a source is made of changes unseen between an interrupted build and the next: every converter."""

import io
import itertools
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import savemat

from orchestrator.data import build as build_module
from orchestrator.data.build import build
from orchestrator.data.converters import converter
from orchestrator.data.converters.listing import Listing
from orchestrator.data.reader import ShardedDataset
from orchestrator.spec.card import ConverterName, DatasetCard

IMAGE = {"image": {"type": "image"}}
CLASSES = {"type": "label", "classes": ["cat", "dog"]}


def card(converter: str, columns: dict[str, Any], splits: dict[str, Any], **layout: str) -> DatasetCard:
    document = {"name": "n", "title": "N", "converter": converter, "source": "folder", "row_order": "source"}
    return DatasetCard.model_validate(document | {"columns": columns, "splits": splits, "layout": layout})


def put(root: Path, files: dict[str, Any]) -> None:
    """Write files; what is no bytes becomes JSON."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def image_folder(root: Path) -> DatasetCard:
    put(root, {"train/cat/1.jpg": b"1", "train/dog/2.jpg": b"2"})
    return card("image_folder", IMAGE | {"label": CLASSES}, {"train": "train"})


def imagenet(root: Path) -> DatasetCard:
    put(root, {"train/n00000001/1.JPEG": b"1", "val/ILSVRC2012_val_00000001.JPEG": b"2"})
    put(root, {"data/ILSVRC2012_validation_ground_truth.txt": b"1\n"})
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)]
    savemat(root / "data/meta.mat", {"synsets": np.array([(1, "n00000001", "tench", 0)], fields).reshape(-1, 1)})
    return card("imagenet", IMAGE | {"label": {"type": "label"}}, {"train": "train", "validation": "val"})


def cifar10(root: Path) -> DatasetCard:
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    put(root, dict.fromkeys(names, bytes(3073)) | {"batches.meta.txt": b"cat\ndog\n"})
    return card("cifar10", IMAGE | {"label": CLASSES}, {"train": "train", "test": "test"})


def entry(number: int) -> dict[str, Any]:
    return {"id": number, "file_name": f"{number}.png", "height": 8, "width": 8}


def coco(root: Path) -> DatasetCard:
    document = {"images": [entry(1)], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    segments = [{"image_id": 1, "file_name": "1.png", "segments_info": []}]
    put(root, {"i_train.json": document, "p_train.json": document | {"annotations": segments}})
    put(root, {"train/1.png": picture(1), "p_train/1.png": picture(2)})
    columns = IMAGE | {"boxes": {"type": "boxes"}, "labels": {"type": "int64_list"}, "mask": {"type": "mask"}}
    return card("coco", columns, {"train": "train"}, instances="i_{split}.json", panoptic="p_{split}.json")


def lvis(root: Path) -> DatasetCard:
    document = {"images": [entry(1)], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    put(root, {"lvis_v1_train.json": document, "1.png": picture(1)})
    return card("lvis", IMAGE, {"train": "train"})


def kinetics(root: Path) -> DatasetCard:
    rows = b"label,youtube_id,time_start,time_end,split\nswim,0123456789a,0,10,train\n"
    put(root, {"annotations/train.csv": rows, "train/swim/0123456789a.mp4": b"v"})
    return card("kinetics", {"video": {"type": "video"}, "label": {"type": "label"}}, {"train": "train"})


def something_something(root: Path) -> DatasetCard:
    put(root, {"labels/labels.json": {"Holding": "0"}, "labels/test-answers.csv": b"7;Holding\n"})
    put(root, {"labels/test.json": [{"id": "7"}], "20bn-something-something-v2/7.webm": b"v"})
    return card("something_something", {"video": {"type": "video"}, "label": {"type": "label"}}, {"test": "test"})


def parquet(root: Path) -> DatasetCard:
    put(root, {"labels.txt": b"a\nb\n", "1.png": picture(1), "2.png": picture(2), "3.png": picture(3)})
    structs = [
        {"bytes": None, "path": "2.png"},
        {"bytes": picture(4), "path": "3.jpg"},
        {"bytes": None, "path": "3.png"},
    ]
    table = pa.table({"image": structs, "other": ["1.png"] * 3, "tags": [["a"], ["b"], ["a"]]})
    pq.write_table(table, root / "train.parquet", row_group_size=2)
    columns = IMAGE | {"other": {"type": "image"}, "tags": {"type": "int64_list"}}
    return card("parquet", columns, {"train": "train.parquet"}, labels="labels.txt")


def hugging_face(root: Path) -> DatasetCard:
    table = pa.table({"image": [{"bytes": None, "path": "1.png"}], "label": [0]})
    with pa.ipc.new_stream(str(root / "a.arrow"), table.schema) as file:
        file.write_table(table)
    features = {"label": {"_type": "ClassLabel", "names": ["cat"]}}
    put(root, {"state.json": {"_data_files": ["a.arrow"]}, "dataset_info.json": {"features": features}})
    put(root, {"1.png": picture(1)})
    return card("hugging_face", IMAGE | {"label": {"type": "label"}}, {"train": 1.0})


def webdataset(root: Path) -> DatasetCard:
    put(root, {"labels.txt": b"a\nb\n"})
    with tarfile.open(root / "a.tar", "w") as tar:
        for name in ("1.jpg", "1.cls"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    return card("webdataset", IMAGE | {"label": {"type": "label"}}, {"train": "*.tar"}, labels="labels.txt")


def yfcc100m(root: Path) -> DatasetCard:
    row = ["x", "1001", f"{1:032x}", *["x"] * 21, "0"]
    put(root, {"yfcc100m_dataset": "\t".join(row).encode() + b"\n", "data/images/1001.jpg": b"1"})
    return card("yfcc100m", IMAGE, {"train": 1.0})


MAKERS = (
    image_folder,
    imagenet,
    cifar10,
    coco,
    lvis,
    kinetics,
    something_something,
    parquet,
    hugging_face,
    webdataset,
    yfcc100m,
)


def replace(path: Path, content: bytes) -> None:
    """Write as many bytes, with the old time of modification, as `rsync --times` or `tar` would."""
    before = path.stat()
    assert len(content) == before.st_size
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the clock of some file systems ticks each 4 ms only
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("make", MAKERS)
def test_a_file_of_a_source_that_is_replaced_makes_it_another_source(
    tmp_path: Path, make: Callable[[Path], DatasetCard]
) -> None:
    about = make(tmp_path)
    scan = converter(about.converter)
    before = scan(about, tmp_path, Listing())
    assert before.samples
    assert scan(about, tmp_path, Listing()).inputs == before.inputs
    for path in [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]:
        replace(path, path.read_bytes())
        after = scan(about, tmp_path, Listing())
        assert after.inputs != before.inputs, path.name
        before = after


def test_every_converter_is_among_them() -> None:
    assert {make.__name__ for make in MAKERS} | {"digits"} == set(get_args(ConverterName))


def test_a_vocabulary_that_was_edited_between_two_builds_does_not_mix_their_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "source"
    root.mkdir()
    (root / "labels.txt").write_bytes(b"a\nb\n")
    table = pa.table({"image": [picture(number) for number in range(4)], "tags": [["a"], ["b"]] * 2})
    pq.write_table(table, root / "train.parquet")
    about = card("parquet", IMAGE | {"tags": {"type": "int64_list"}}, {"train": "*.parquet"}, labels="labels.txt")
    about = about.model_copy(update={"shard_size": 100})

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "assemble", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build(about, root, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.arrow"))) == 4
    replace(root / "labels.txt", b"b\na\n")
    assert build(about, root, tmp_path / "out").kept == 0
    tags = [ShardedDataset(tmp_path / "out", "train").read(row)["tags"].tolist() for row in range(4)]
    assert tags == [[1], [0], [1], [0]]


def test_a_scan_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[int] = []
    clock = itertools.count()
    listing = Listing(told.append, monotonic=lambda: float(next(clock)))
    for number in range(200):
        (tmp_path / "train/cat").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"train/cat/{number}.jpg").touch()
    about = card("image_folder", IMAGE | {"label": {"type": "label"}}, {"train": "train"})
    converter("image_folder")(about, tmp_path, listing)
    assert told == [0, 64, 128, 192]
