"""The JSON Schemas: what editors see agrees with what the loader takes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import SpecError
from orchestrator.base.paths import bundled
from orchestrator.spec.compose import compose
from orchestrator.spec.load import parse_workload
from orchestrator.spec.nodes import Source, plain
from orchestrator.spec.schema import KINDS, Kind, json_schema

FOLDERS: dict[Kind, str] = {"workload": "workloads", "profile": "cluster", "card": "datasets"}
BUNDLED = [(kind, path) for kind, folder in FOLDERS.items() for path in sorted(bundled(folder).glob("*.yaml"))]
WORKLOAD = jsonschema.Draft202012Validator(json_schema("workload"))


def read(path: Path) -> Any:
    node, _ = compose(Source(path.name, path.read_text()))
    assert node is not None
    return plain(node)


EXAMPLES = [read(path) for kind, path in BUNDLED if kind == "workload"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_schema_is_one(kind: Kind) -> None:
    schema = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    json.dumps(schema, allow_nan=False)


@pytest.mark.parametrize(("kind", "path"), BUNDLED, ids=lambda value: getattr(value, "stem", value))
def test_every_bundled_document_fits_its_schema(kind: Kind, path: Path) -> None:
    jsonschema.Draft202012Validator(json_schema(kind)).validate(read(path))


@pytest.mark.parametrize("kind", KINDS)
def test_no_mapping_takes_unknown_keys(kind: Kind) -> None:
    schema = json_schema(kind)
    mappings = [part for part in _parts(schema) if "properties" in part]
    assert len(mappings) > 3
    assert all(part["additionalProperties"] is False for part in mappings)


@pytest.mark.parametrize(
    ("section", "key", "good", "bad"),
    [
        ("resources", "workers", ["2..8", 4, "4"], ["many", -1, True, None]),
        ("resources", "memory_per_worker", ["32GiB", 0, "1.5 MB"], ["32 gigs", -1]),
        ("train", "epochs", [1], [0, "1", 1.5, None]),
        ("search", "space", [{"depth": "4..12"}, {"wa": {"range": "8..64"}}], [{"depth": "deep"}, {"deep": 1}]),
        ("search", "constraints", [{"flops": "1M..3M"}, {"params": 5}], [{"flops": "1X"}, {"flop": "1M"}]),
    ],
)
def test_quantities_may_be_written_as_people_write_them(
    section: str, key: str, good: list[Any], bad: list[Any]
) -> None:
    example = next(e for e in EXAMPLES if "search" in e)
    for value, fits in [(v, True) for v in good] + [(v, False) for v in bad]:
        assert WORKLOAD.is_valid({**example, section: {**example[section], key: value}}) is fits
        assert _loads({**example, section: {**example[section], key: value}}) is fits


def test_keys_say_what_they_mean() -> None:
    optim = json_schema("workload")["$defs"]["Optim"]["properties"]
    assert optim["lr"]["description"] == "peak learning rate, for a whole global batch"
    assert "title" in json_schema("card")["properties"]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_the_schema_refuses_the_loader_refuses(data: st.DataObject) -> None:
    document = copy.deepcopy(data.draw(st.sampled_from(EXAMPLES)))
    part = data.draw(st.sampled_from([p for p in _parts(document) if p]))
    key = data.draw(st.sampled_from(sorted(part)))
    match data.draw(st.sampled_from(["remove", "rename", "replace"])):
        case "remove":
            del part[key]
        case "rename":
            part[data.draw(st.sampled_from(["nmae", "", "a b", "lr", "name", key.upper()]))] = part.pop(key)
        case "replace":
            part[key] = data.draw(ANYTHING)
    if not WORKLOAD.is_valid(document):
        assert not _loads(document)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-5, 5)
    | st.sampled_from(["", "x", "1..2", "9m", "1GiB", "auto"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "lr", "low"]), inner, max_size=2),
    max_leaves=3,
)


def _loads(document: dict[str, Any]) -> bool:
    try:
        parse_workload(json.dumps(document, ensure_ascii=False), "w.yaml")
    except SpecError:
        return False
    return True


def _parts(document: Any) -> list[dict[str, Any]]:
    below = document.values() if isinstance(document, dict) else document if isinstance(document, list) else []
    return ([document] if isinstance(document, dict) else []) + [part for value in below for part in _parts(value)]
