"""Names and free text: what could break out of a shell, a path, a file of a batch system or a terminal is refused."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import SpecError
from orchestrator.base.paths import bundled
from orchestrator.spec.card import DatasetCard
from orchestrator.spec.load import freeze_workload, load_card, load_profile, parse_workload
from orchestrator.spec.profile import ClusterProfile
from orchestrator.testing.workloads import workload_in

HOSTILE = [
    "a\nb", "a\n", "\na", "a\0b", "a;b", "$(id)", "`id`", "a'b", 'a"b', "../a", "a/b", "-a", "--flag", ".a", "", " a",
    "a b", "a" * 300, "a\x1b[2J", "<script>", "a|b", "a&b", "a*", "~", "a\\b", "a\u202eb", "ａ", "a\u2028b", "a%0ab",
    "{a}", "#a",
]  # fmt: skip
NAMES = ["name", "team", "depends_on.0", "tracking.experiment", "tracking.tags.KEY", "env.KEY"]


def document(path: str, value: str) -> dict[str, Any]:
    """A workload with `value` as the name at `path` (as the key, where the path ends in KEY)."""
    workload: dict[str, Any] = {"name": "a", "command": ["true"]}
    first, *rest = path.split(".")
    if not rest:
        workload[first] = value
    elif rest == ["0"]:
        workload[first] = [value]
    elif rest[-1] == "KEY":
        below = {value: "x"}
        workload[first] = below if rest == ["KEY"] else {rest[0]: below}
    else:
        workload[first] = {rest[0]: value}
    return workload


def parse(workload: dict[str, Any]) -> str:
    return freeze_workload(parse_workload(json.dumps(workload, ensure_ascii=False), "w.yaml"))


@pytest.mark.parametrize("path", NAMES)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused_everywhere(path: str, name: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(document(path, name))
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs"} for c in str(caught.value).replace("\n", ""))


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "0", "x" * 63])
def test_a_plain_name_is_accepted(name: str) -> None:
    assert parse(document("name", name))


@pytest.mark.parametrize(
    "variable",
    ["LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PYTHONSTARTUP", "BASH_ENV", "ENV", "IFS", "GCONV_PATH",
     "ORCHESTRATOR_TOKEN", "SLURM_JOB_ID", "RANK", "WORLD_SIZE", "MASTER_ADDR", "CUDA_VISIBLE_DEVICES", "A=B", "A B",
     "1A"],
)  # fmt: skip
def test_an_environment_that_changes_how_programs_load_is_refused(variable: str) -> None:
    with pytest.raises(SpecError, match=r"w\.yaml:1:\d+: env\."):
        parse(document("env.KEY", variable))


@pytest.mark.parametrize("variable", ["GREETING", "OMP_NUM_THREADS", "PYTHONPATH", "RANKING", "_A1", "ENVIRONMENT"])
def test_an_ordinary_environment_is_accepted(variable: str) -> None:
    assert parse(document("env.KEY", variable))


@pytest.mark.parametrize("path", ["env.A", "tracking.tags", "workdir"])
@pytest.mark.parametrize("text", ["a\nb", "a\0b", "a\x1b[2J", "a\tb", "a\x85b", "a\u202eb", "\udc80"])
def test_a_line_is_one_line_without_control_characters(path: str, text: str) -> None:
    workload: dict[str, Any] = {"name": "a", "command": ["true"]}
    value = {
        "env.A": {"env": {"A": text}},
        "tracking.tags": {"tracking": {"tags": {"a": text}}},
        "workdir": {"workdir": text},
    }
    with pytest.raises(SpecError):
        parse_workload(json.dumps({**workload, **value[path]}), "w.yaml")


@pytest.mark.parametrize("text", ["$(id)", "'; rm -rf /", "<script>", "ünï", "日本", "👩‍🔬", "%n", "{x}", "&a *b !c"])
def test_free_text_is_kept_as_it_was_written(text: str) -> None:
    workload = {"name": "a", "command": ["echo", text], "env": {"A": text}, "description": text}
    frozen = json.loads(parse(workload))
    assert (frozen["command"][1], frozen["env"]["A"], frozen["description"]) == (text, text, text)


def strings(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every string in a document."""
    if isinstance(document, str):
        yield path
    elif isinstance(document, dict | list):
        pairs = document.items() if isinstance(document, dict) else enumerate(document)
        for key, value in pairs:
            yield from strings(value, (*path, key))


def replaced(document: Any, path: tuple[str | int, ...], value: str) -> Any:
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(document[path[0]], path[1:], value)
    return copy


EXAMPLES = [
    json.loads(freeze_workload(workload_in(bundled("workloads") / "regnet_sweep.yaml"))),
    json.loads(freeze_workload(workload_in(bundled("workloads") / "command.yaml"))),
    load_profile("local").model_dump(mode="json"),
    load_card("digits").model_dump(mode="json"),
]
HOSTILE_TEXT = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=30), st.text(alphabet="a;$()'\"/.-\n\0\x1b\u202e", max_size=20)
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_stands_in_a_string_is_kept_exactly_or_refused(data: st.DataObject) -> None:
    example = data.draw(st.sampled_from(EXAMPLES))
    path = data.draw(st.sampled_from(sorted(strings(example), key=str)))
    text = data.draw(HOSTILE_TEXT)
    hostile = replaced(example, path, text)
    kept = _accepted(hostile)
    if kept is not None:
        there: Any = kept
        for part in path:
            there = there[part]
        assert there == text or not isinstance(there, str) or ".." in there
        assert not any(ord(c) < 32 and c not in "\t\n" for c in json.dumps(kept))


def _accepted(document: dict[str, Any]) -> dict[str, Any] | None:
    try:
        if "backend" in document:
            return ClusterProfile.model_validate(document).model_dump(mode="json")
        if "converter" in document:
            return DatasetCard.model_validate(document).model_dump(mode="json")
        return dict(json.loads(parse(document)))
    except (ValueError, SpecError):
        return None
