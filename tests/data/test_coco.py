import contextlib
import io
import json
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as reference
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from orchestrator.base.errors import DataError, NotFound
from orchestrator.data.build import build
from orchestrator.data.converters import coco
from orchestrator.data.describe import names_of
from orchestrator.data.index import DatasetIndex
from orchestrator.data.reader import ShardedDataset
from orchestrator.spec.card import DatasetCard
from orchestrator.spec.load import load_card

Picture = Callable[..., np.ndarray]
Json = dict[str, Any]

HEIGHT, WIDTH = 20, 30
CROWD = {"size": [HEIGHT, WIDTH], "counts": [100, 7, 13, 7, 473]}
TEXT = {
    "size": [HEIGHT, WIDTH],
    "counts": reference.encode(np.eye(HEIGHT, WIDTH, dtype=np.uint8, order="F"))["counts"].decode(),
}


def annotation(number: int, image: int, category: int, segmentation: Any, **more: Any) -> Json:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [1.1 * number, 2.7, 9.33, 8.1],
        "area": 702.1057499999998 + number,
        "iscrowd": 0,
        "segmentation": segmentation,
    } | more


class Source:
    """Three images in `val2017` and their JSONs, which tests change before they build."""

    def __init__(self, root: Path, picture: Picture) -> None:
        self.root = root
        (root / "val2017").mkdir(parents=True)
        (root / "annotations/panoptic_val2017").mkdir(parents=True)
        images = [
            {"id": number, "file_name": f"{number:012d}.png", "height": HEIGHT, "width": WIDTH} for number in (42, 7, 9)
        ]
        for image in images:
            pixels = picture(image["id"], WIDTH)[:HEIGHT]
            Image.fromarray(pixels).save(root / "val2017" / image["file_name"])
            Image.fromarray(pixels).save(root / "annotations/panoptic_val2017" / image["file_name"])
        triangle = [[2.5, 3.5, 12.0, 3.25, 7.75, 15.5]]
        self.instances: Json = {
            "images": images,
            "categories": [
                {"id": 90, "name": "toothbrush", "supercategory": "indoor"},
                {"id": 1, "name": "person", "supercategory": "person"},
                {"id": 18, "name": "dog", "supercategory": "animal"},
            ],
            "annotations": [
                annotation(500, 42, 90, triangle),
                annotation(3, 7, 18, [*triangle, [15, 2, 25, 2, 25, 9]]),
                annotation(11, 42, 1, CROWD, iscrowd=1),
                annotation(12, 42, 18, TEXT),
            ],
        }
        self.panoptic: Json = {
            "images": images,
            "categories": [
                {"id": 200, "name": "rug", "supercategory": "textile", "isthing": 0},
                {"id": 1, "name": "person", "supercategory": "person", "isthing": 1},
            ],
            "annotations": [
                {
                    "image_id": image["id"],
                    "file_name": image["file_name"],
                    "segments_info": [
                        {"id": 70000 + image["id"], "category_id": 200, "area": 12, "bbox": [0, 1, 2, 3], "iscrowd": 0},
                        {"id": 5, "category_id": 1, "area": 588, "bbox": [0, 0, 30, 20], "iscrowd": 1},
                    ],
                }
                for image in images
            ],
        }

    def write(self) -> Path:
        for name in ("instances", "panoptic"):
            (self.root / f"annotations/{name}_val2017.json").write_text(json.dumps(getattr(self, name)))
        return self.root


@pytest.fixture
def source(tmp_path: Path, picture: Picture) -> Source:
    return Source(tmp_path / "source", picture)


@pytest.fixture
def card() -> DatasetCard:
    document = load_card("coco2017").model_dump() | {"splits": {"validation": "val2017"}}
    return DatasetCard.model_validate(document)


def with_columns(card: DatasetCard, columns: Json, **layout: Any) -> DatasetCard:
    return DatasetCard.model_validate(card.model_dump() | {"columns": columns, "layout": layout})


def rows(root: Path, split: str = "validation") -> dict[int, Json]:
    dataset = ShardedDataset(root, split)
    return {record["image_id"]: record for record in map(dataset.read, range(len(dataset)))}


def ground_truth(root: Path, split: str = "validation") -> Json:
    """COCO's JSON, made of nothing but a dataset's rows and attributes."""
    categories = DatasetIndex.open(root).header.description.attributes["categories"]
    found: Json = {"images": [], "annotations": [], "categories": categories}
    for image, row in sorted(rows(root, split).items()):
        size = {"height": row["height"], "width": row["width"]}
        found["images"].append({"id": image, "file_name": row["file_name"]} | size)
        for place, number in enumerate(row["annotation_ids"].tolist()):
            found["annotations"].append(
                {
                    "id": number,
                    "image_id": image,
                    "category_id": categories[row["labels"][place]]["id"],
                    "bbox": row["boxes"][place].tolist(),
                    "area": float(row["areas"][place]),
                    "iscrowd": int(row["crowd"][place]),
                    "segmentation": {"size": list(size.values()), "counts": bytes(row["masks"][place]).decode()},
                }
            )
    return found


def opened(document: Json) -> COCO:
    coco = COCO()
    coco.dataset = json.loads(json.dumps(document))
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def evaluated(document: Json, detections: list[Json], kind: str) -> np.ndarray:
    truth = opened(document)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(detections), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.asarray(evaluation.stats)


def assert_same_ground_truth(found: Json, original: Json) -> None:
    ours, theirs = opened(found), opened(original)
    assert ours.imgs.keys() == theirs.imgs.keys()
    assert ours.anns.keys() == theirs.anns.keys()
    for number, expected in theirs.anns.items():
        one = ours.anns[number]
        assert [one[key] for key in ("image_id", "category_id", "bbox", "area", "iscrowd")] == [
            expected[key] for key in ("image_id", "category_id", "bbox", "area", "iscrowd")
        ]
        assert np.array_equal(ours.annToMask(one), theirs.annToMask(expected))
    keys = ("image_id", "category_id", "bbox", "segmentation")
    noise = np.random.default_rng(0)
    detections = [
        {key: one[key] for key in keys}
        | {"segmentation": theirs.annToRLE(one), "score": float(noise.random()), "bbox": shifted(one["bbox"], noise)}
        for one in theirs.anns.values()
    ]
    for detection in detections:
        if isinstance(detection["segmentation"]["counts"], bytes):
            detection["segmentation"]["counts"] = detection["segmentation"]["counts"].decode()
    for kind in ("bbox", "segm"):
        stats = evaluated(found, detections, kind)
        assert np.array_equal(stats, evaluated(original, detections, kind))
        assert stats[0] > 0.1


def shifted(box: list[float], noise: np.random.Generator) -> list[float]:
    return [box[0] + noise.normal() * 0.05 * box[2], box[1], box[2], box[3] * (1 + 0.1 * noise.random())]


def test_ground_truth_made_of_the_rows_is_the_sources_to_the_last_digit(
    source: Source, tmp_path: Path, card: DatasetCard
) -> None:
    report = build(card, source.write(), tmp_path / "out")
    assert (report.rows, report.skipped) == ({"validation": 3}, ())
    assert_same_ground_truth(ground_truth(tmp_path / "out"), source.instances)


def test_the_real_images_give_the_ground_truth_of_their_json(tmp_path: Path, card: DatasetCard) -> None:
    folder = os.environ.get("ORCHESTRATOR_TEST_DATA")
    if folder is None:
        pytest.skip("ORCHESTRATOR_TEST_DATA is unset: no COCO images here")
    with tarfile.open(Path(folder) / "coco_mini.tar.gz") as archive:
        archive.extractall(tmp_path, (member for member in archive if "train2017" not in member.name), filter="data")
    report = build(card, tmp_path / "coco_mini", tmp_path / "out")
    assert (report.rows, report.skipped) == ({"validation": 50}, ())
    annotations = tmp_path / "coco_mini/annotations"
    assert_same_ground_truth(
        ground_truth(tmp_path / "out"), json.loads((annotations / "instances_val2017.json").read_text())
    )
    panoptic = json.loads((annotations / "panoptic_val2017.json").read_text())
    assert_same_segments(tmp_path / "out", panoptic, annotations / "panoptic_val2017")


def assert_same_segments(root: Path, panoptic: Json, pngs: Path) -> None:
    found = rows(root)
    categories = DatasetIndex.open(root).header.description.attributes["panoptic_categories"]
    for one in panoptic["annotations"]:
        row = found[one["image_id"]]
        assert bytes(row["mask"]) == (pngs / one["file_name"]).read_bytes()
        assert one["segments_info"] == [
            {"id": number, "category_id": categories[label]["id"], "iscrowd": crowd, "bbox": box, "area": area}
            for number, label, crowd, box, area in zip(
                row["segment_ids"].tolist(),
                row["segment_labels"].tolist(),
                row["segment_crowd"].tolist(),
                row["segment_boxes"].tolist(),
                row["segment_areas"].tolist(),
                strict=True,
            )
        ]


def test_panoptic_segments_and_their_png_are_kept_exactly(source: Source, tmp_path: Path, card: DatasetCard) -> None:
    build(card, source.write(), tmp_path / "out")
    assert_same_segments(tmp_path / "out", source.panoptic, source.root / "annotations/panoptic_val2017")


def test_class_numbers_are_ranks_of_category_ids_and_the_attributes_keep_the_ids(
    source: Source, tmp_path: Path, card: DatasetCard
) -> None:
    build(card, source.write(), tmp_path / "out")
    about = DatasetIndex.open(tmp_path / "out").header.description
    assert about.classes == ("person", "dog", "toothbrush")
    assert rows(tmp_path / "out")[42]["labels"].tolist() == [2, 0, 1]
    assert about.attributes["categories"] == sorted(source.instances["categories"], key=lambda entry: entry["id"])
    assert [entry["isthing"] for entry in about.attributes["panoptic_categories"]] == [1, 0]
    index = DatasetIndex.open(tmp_path / "out")
    named = {name: names_of(index, index.schema.column(name)) for name in ("labels", "segment_labels", "crowd")}
    panoptic = [entry["name"] for entry in about.attributes["panoptic_categories"]]
    assert named == {"labels": about.classes, "segment_labels": panoptic, "crowd": ()}


def test_an_image_with_nothing_on_it_is_a_row(source: Source, tmp_path: Path, card: DatasetCard) -> None:
    build(card, source.write(), tmp_path / "out")
    empty = rows(tmp_path / "out")[9]
    assert empty["boxes"].shape == (0, 4)
    assert (len(empty["labels"]), list(empty["masks"])) == (0, [])


def test_panoptic_alone_needs_no_instances(source: Source, tmp_path: Path, card: DatasetCard) -> None:
    source.write()
    (source.root / "annotations/instances_val2017.json").unlink()
    columns = {"image": {"type": "image"}, "image_id": {"type": "int64"}, "mask": {"type": "mask"}}
    alone = with_columns(card, columns, panoptic="annotations/panoptic_{split}.json")
    build(alone, source.root, tmp_path / "out")
    assert DatasetIndex.open(tmp_path / "out").header.description.classes == ("person", "rug")
    assert len(rows(tmp_path / "out")) == 3


def test_a_column_has_the_name_that_the_card_gives_it(source: Source, tmp_path: Path, card: DatasetCard) -> None:
    columns = {"photo": {"type": "image", "field": "image"}, "image_id": {"type": "int64"}}
    build(with_columns(card, columns), source.write(), tmp_path / "out")
    stored = (source.root / "val2017/000000000007.png").read_bytes()
    assert bytes(rows(tmp_path / "out")[7]["photo"]) == stored


def test_a_column_that_coco_has_not_is_refused_with_those_that_it_has(source: Source, card: DatasetCard) -> None:
    columns = {"image": {"type": "image"}, "caption": {"type": "text"}, "mask": {"type": "mask"}}
    with pytest.raises(DataError, match=r"no 'caption'(.|\n)*annotation_ids(.|\n)*layout\.panoptic also mask"):
        coco.scan(with_columns(card, columns), source.write())


def test_a_column_of_a_kind_that_cannot_hold_its_values_is_refused(source: Source, card: DatasetCard) -> None:
    columns = {"image": {"type": "image"}, "areas": {"type": "int64_list"}}
    with pytest.raises(DataError, match="areas is float64_list"):
        coco.scan(with_columns(card, columns), source.write())


def test_bad_annotations_are_listed_with_their_reason_and_the_image_stays(
    source: Source, tmp_path: Path, card: DatasetCard
) -> None:
    triangle = [[2.5, 3.5, 12.0, 3.25, 7.75, 15.5]]
    good = len(source.instances["annotations"])
    source.instances["annotations"] += [
        annotation(21, 9, 77, triangle),
        annotation(22, 1234, 1, triangle),
        annotation(23, 9, 1, triangle, bbox=[9.98, 188.56, 15.52, -1.0]),
        annotation(True, 9, 1, triangle),
        annotation(24, 9, 1, triangle, bbox=[1, 2, "3"]),
        annotation(25, 9, 1, triangle, area=float("nan")),
        annotation(26, 9, 1, [[1, 2, 3, 4]]),
        annotation(27, 9, 1, {"size": [HEIGHT, WIDTH], "counts": [1, 2, 3]}),
        annotation(28, 9, 1, triangle, iscrowd=2),
        annotation(500, 9, 1, triangle),
        "not an annotation",
    ]
    report = build(card, source.write(), tmp_path / "out")
    name = "annotations/instances_val2017.json"
    assert {entry.name.removeprefix(name): entry.reason for entry in report.skipped} == {
        " annotation 21": "its category is not listed",
        " annotation 22": "its image is not listed",
        " annotation 23": "its box has a negative side",
        f" annotations[{good + 3}]": "its id is no whole number",
        " annotation 24": "its box is not four numbers",
        " annotation 25": "its area is no number",
        " annotation 26": "a polygon has fewer than three points, or half a point",
        " annotation 27": "its runs do not add up to its image",
        " annotation 28": "its iscrowd is neither 0 nor 1",
        " annotation 500": "another annotation has its id",
        f" annotations[{good + 10}]": "it is no JSON object",
    }
    assert (report.left_out, report.annotations_left_out) == (0, 11)
    assert len(rows(tmp_path / "out")[9]["labels"]) == 0


def test_a_box_without_an_area_stays_because_evaluation_counts_it(
    source: Source, tmp_path: Path, card: DatasetCard
) -> None:
    flat = annotation(600, 9, 1, [[2.5, 3.5, 12.0, 3.25, 7.75, 15.5]], bbox=[3.0, 4.0, 15.5, 0.0], area=0.0)
    source.instances["annotations"].append(flat)
    build(card, source.write(), tmp_path / "out")
    assert rows(tmp_path / "out")[9]["boxes"].tolist() == [[3.0, 4.0, 15.5, 0.0]]
    theirs = COCO()
    theirs.dataset = {"images": [{"id": 9}], "annotations": [flat], "categories": [{"id": 1}]}
    theirs.createIndex()
    found = theirs.loadRes([{"image_id": 9, "category_id": 1, "bbox": [30.0, 30.0, 5.0, 5.0], "score": 0.5}])
    evaluation = COCOeval(theirs, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    assert evaluation.eval["recall"][0, 0, 0, 0] == 0  # it is -1 where nothing is to be found


def test_images_that_cannot_become_rows_are_listed_with_their_reason(
    source: Source, tmp_path: Path, card: DatasetCard
) -> None:
    sound = {"height": HEIGHT, "width": WIDTH}
    secret = tmp_path / "secret.png"
    secret.write_bytes((source.root / "val2017/000000000007.png").read_bytes())
    (source.root / "val2017/link.png").symlink_to(secret)
    Image.new("RGB", (5, 5)).save(source.root / "val2017/small.png")
    source.instances["images"] += [
        {"id": 51, "file_name": "absent.png"} | sound,
        {"id": 52, "file_name": "../../secret.png"} | sound,
        {"id": 53, "file_name": str(secret)} | sound,
        {"id": 54, "file_name": "link.png"} | sound,
        {"id": 55, "file_name": "small.png"} | sound,
        {"id": 56, "file_name": "000000000007.png", "height": 0, "width": 3},
        {"id": 7, "file_name": "000000000009.png"} | sound,
        {"id": "58", "file_name": "000000000007.png"} | sound,
        {"id": 59, "file_name": "\ud800.png"} | sound,
    ]
    columns = {name: column for name, column in card.model_dump()["columns"].items() if "segment" not in name}
    del columns["mask"]
    report = build(with_columns(card, columns), source.write(), tmp_path / "out")
    name = "annotations/instances_val2017.json"
    assert {entry.name: entry.reason for entry in report.skipped} == {
        "val2017/absent.png": "no such file",
        "val2017/../../secret.png": "its path leads out of the source",
        str(secret): "its path is absolute, and so not of this source",
        "val2017/link.png": "a symbolic link that leads out of the source",
        "val2017/small.png": "it is 5 x 5, its annotations are for 30 x 20",
        f"{name} images[8]": "its height and width are those of no image",
        f"{name} images[9]": "another image has its id",
        f"{name} images[10]": "its id is no whole number",
        f"{name} images[11]": "its file name is no text",
    }
    assert report.rows == {"validation": 3}


def test_a_damaged_or_absent_panoptic_png_leaves_out_its_image(
    source: Source, tmp_path: Path, card: DatasetCard
) -> None:
    pngs = source.root / "annotations/panoptic_val2017"
    (pngs / "000000000009.png").unlink()
    (pngs / "000000000007.png").write_bytes((pngs / "000000000007.png").read_bytes()[:200])
    report = build(card, source.write(), tmp_path / "out")
    reasons = {entry.name: entry.reason for entry in report.skipped}
    assert reasons["000000000009.png"] == "annotations/panoptic_val2017.json says nothing of it"
    assert reasons["val2017/000000000007.png"].startswith("not a whole image")
    assert rows(tmp_path / "out").keys() == {42}


def test_segments_of_unknown_categories_are_listed(source: Source, tmp_path: Path, card: DatasetCard) -> None:
    source.panoptic["annotations"][0]["segments_info"][0]["category_id"] = 3
    report = build(card, source.write(), tmp_path / "out")
    assert [(entry.name, entry.reason) for entry in report.skipped] == [
        (
            "annotations/panoptic_val2017.json annotation of image 42 segments_info[0]",
            "its category is not listed",
        )
    ]
    assert rows(tmp_path / "out")[42]["segment_ids"].tolist() == [5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.pop("categories"), "does not hold the lists"),
        (lambda document: document["categories"].append({"id": 1, "name": "again"}), "two categories with the id 1"),
        (lambda document: document["categories"].append({"id": 5}), "its name is no text"),
    ],
)
def test_a_json_without_sound_categories_is_refused(
    source: Source, card: DatasetCard, change: Callable[[Json], object], message: str
) -> None:
    change(source.instances)
    with pytest.raises(DataError, match=message):
        coco.scan(card, source.write())


def test_a_json_that_is_cut_off_or_absent_is_named(source: Source, card: DatasetCard) -> None:
    path = source.write() / "annotations/instances_val2017.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"instances_val2017\.json is no JSON"):
        coco.scan(card, source.root)
    path.unlink()
    with pytest.raises(NotFound, match=r"instances_val2017\.json"):
        coco.scan(card, source.root)


def test_splits_with_other_categories_are_refused(source: Source, card: DatasetCard) -> None:
    source.write()
    (source.root / "train2017").mkdir()
    source.instances["categories"][0]["id"] = 91
    (source.root / "annotations/instances_train2017.json").write_text(json.dumps(source.instances))
    columns = {"image": {"type": "image"}, "labels": {"type": "int64_list"}}
    both = with_columns(card, columns).model_copy(update={"splits": load_card("coco2017").splits})
    with pytest.raises(DataError, match="other categories than the split before"):
        coco.scan(both, source.root)


def test_a_sample_travels_to_another_process_with_its_own_annotations_only(source: Source, card: DatasetCard) -> None:
    sample = coco.scan(card, source.write()).samples[0]
    content = pickle.dumps(sample.read)
    assert len(content) < 4000
    record, again = sample.read(), pickle.loads(content)()
    assert record.keys() == again.keys() == card.columns.keys()
    assert [bytes(mask) for mask in record["masks"]] == [bytes(mask) for mask in again["masks"]]
