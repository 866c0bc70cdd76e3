"""What is refused before anybody asks what a document means (YAML that is ambiguous, hostile or not plain data)."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import SpecError, UsageError
from orchestrator.spec.compose import MAX_DEPTH, compose
from orchestrator.spec.load import parse_workload
from orchestrator.spec.nodes import Source, plain
from orchestrator.spec.source import MAX_BYTES, read_document

GOOD = "name: hello\ncommand: echo\n"


def refused(text: str | bytes) -> str:
    with pytest.raises(SpecError) as caught:
        parse_workload(text, "w.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        ("name: a\nname: b\ncommand: c\n", "w.yaml:2:1", "duplicate key 'name'"),
        ("name: a\ncommand: c\nenv:\n\tA: b\n", "w.yaml:4:1", "a tab cannot indent"),
        (b"\xef\xbb\xbf" + GOOD.encode(), "w.yaml:1:1", "byte-order mark (UTF-8)"),
        ("\ufeff" + GOOD, "w.yaml:1:1", "byte-order mark"),
        (GOOD.encode("utf-16"), "w.yaml:1:1", "byte-order mark (UTF-16)"),
        (GOOD.replace("\n", "\r\n"), "w.yaml:1:12", "ends with CRLF"),
        (GOOD.replace("\n", "\r"), "w.yaml:1:12", "ends with CR"),
        (b"name: a\ncommand: caf\xe9\n", "w.yaml:2:13", "the byte 0xe9 is not UTF-8"),
        ("name: a\ncommand: a\0b\n", "w.yaml:2:11", "U+0000 cannot be shown"),
        ("name: a\ncommand: a\x1b[1m\n", "w.yaml:2:11", "U+001B cannot be shown"),
        ("name: a\ncommand: a\u2028b\n", "w.yaml:2:11", "U+2028 cannot be shown"),
        ("", "w.yaml:1:1", "the document is empty"),
        ("# nothing but a comment\n", "w.yaml:1:1", "the document is empty"),
        ("---\n", "w.yaml:2:1", "the document is empty"),
        ("- a\n- b\n", "w.yaml:1:1", "expected keys and values at the top"),
        ("just words\n", "w.yaml:1:1", "expected keys and values at the top"),
        (f"{GOOD}---\n{GOOD}", "w.yaml:3:1", "a second document starts here"),
        ("name: !!python/object:os.system a\ncommand: c\n", "w.yaml:1:7", "tags such as !name are not read"),
        ("name: !custom a\ncommand: c\n", "w.yaml:1:7", "tags such as !name are not read"),
        ("name: &a b\ncommand: c\n", "w.yaml:1:7", "anchors such as &a are not read"),
        ("name: *a\ncommand: c\n", "w.yaml:1:7", "aliases such as *a are not read"),
        ("1: a\nname: b\ncommand: c\n", "w.yaml:1:1", "a key is a text"),
        ("? [a]\n: b\nname: b\ncommand: c\n", "w.yaml:1:3", "a key is a text"),
        ("name: a\ncommand: c\npriority: .inf\n", "w.yaml:3:11", ".inf is not a number that can be used"),
        ("name: a\ncommand: c\npriority: .NaN\n", "w.yaml:3:11", ".NaN is not a number that can be used"),
        ("name: a\ncommand: c\ntime_limit: 1e999\n", "w.yaml:3:13", "the number is too large"),
        ("name: a\ncommand: c\nseed: 9223372036854775808\n", "w.yaml:3:7", "the number is too large"),
        (f"name: a\ncommand: c\nseed: {'9' * 5000}\n", "w.yaml:3:7", "the number is too large"),
        ('name: "\\ud800"\ncommand: c\n', "w.yaml:1:7", "half of a character"),
        ("%YAML 1.1\n---\nname: a\ncommand: c\n", "w.yaml:2:1", "YAML 1.2 is read"),
        ('name: "a\ncommand: c\n', "w.yaml:1:7", "the text in quotes does not end"),
        ("name: a: b\ncommand: c\n", "w.yaml:1:8", "a ':' cannot stand here"),
        ("name: @a\ncommand: c\n", "w.yaml:1:7", "a text cannot start with '@'"),
        ("env: {a: [1, 2}\n", "w.yaml:1:15", "expected ',' or the closing ']'"),
    ],
)
def test_a_document_that_is_not_plain_yaml_is_refused_at_its_place(text: str | bytes, place: str, rule: str) -> None:
    message = refused(text)
    assert message.startswith(f"{place}: ")
    assert rule in message.split("\n", 1)[0]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_nesting_without_end_is_refused_without_exhausting_the_stack(opening: str) -> None:
    assert f"nested more than {MAX_DEPTH} deep" in refused("env: " + "\n" * (opening in "- ? ") + opening * 3000)


def test_values_may_be_nested_up_to_the_limit() -> None:
    node, problems = compose(Source("x", "[" * MAX_DEPTH + "]" * MAX_DEPTH))
    assert node is not None
    assert problems == []


def test_an_alias_bomb_is_refused_without_being_expanded() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefgh"))
    started = time.perf_counter()
    assert "aliases such as *a are not read" in refused(bomb)
    assert time.perf_counter() - started < 1


def test_an_alias_bomb_is_answered_in_a_few_lines() -> None:
    names = [f"k{number}" for number in range(30)]
    bomb = "k0: &k0 [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in pairwise(names))
    said = refused(bomb)
    assert len(said.splitlines()) < 10
    assert "anchors such as &k0 are not read, and 29 more like it" in said
    assert "aliases such as *k0 are not read, and 86 more like it" in said


def test_a_habit_that_is_not_read_does_not_hide_the_other_errors() -> None:
    said = refused("name: a b\ncommand: c\nenv: {A: &x b, A: c, B: d, B: e}\n")
    assert "w.yaml:1:7: name:" in said
    assert "duplicate key 'A', and 1 more like it" in said


def test_fifty_megabytes_are_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(SpecError, match="has 50,000,000 bytes; at most 1,048,576 are read"):
        read_document(path)


@pytest.mark.parametrize("text", ["a" * (MAX_BYTES + 1), b"a" * (MAX_BYTES + 1), "é" * (MAX_BYTES // 2 + 1)])
def test_a_text_is_measured_in_bytes(text: str | bytes) -> None:
    assert "at most 1,048,576 are read" in refused(text)


@pytest.mark.parametrize("text", ["!" * MAX_BYTES, "a: " + "b" * (MAX_BYTES - 3)])
def test_a_line_without_end_is_refused_at_once(text: str) -> None:
    started = time.perf_counter()
    assert "at most 100,000 are read" in refused(text)
    assert time.perf_counter() - started < 2


def test_a_document_of_very_many_values_is_refused() -> None:
    assert "more than 50,000 values" in refused("- 1\n" * 60_000)


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(GOOD)
    with pytest.raises(UsageError, match=r"there is no file .*swep.yaml\n  hint: did you mean 'sweep.yaml'"):
        read_document(tmp_path / "swep.yaml")


@pytest.mark.parametrize("name", ["nothere.yaml", "nope.yaml"])
def test_a_file_that_looks_like_none_beside_it_but_for_its_ending_is_no_misspelling(tmp_path: Path, name: str) -> None:
    for beside in ("sleep.yaml", "p6.yaml"):
        (tmp_path / beside).write_text(GOOD)
    with pytest.raises(UsageError) as error:
        read_document(tmp_path / name)
    assert error.value.hint == ""


@pytest.mark.parametrize("name", [".", "/dev/zero", "a\0b", "x" * 5000])
def test_what_is_not_a_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        read_document(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("2026-01-01", "2026-01-01"),
        ("12:30:45", "12:30:45"),
        ("1..2", "1..2"),
        ("=", "="),
        ("'1'", "1"),
        ("|\n  1", "1\n"),
    ],
)
def test_plain_values_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    node, problems = compose(Source("x", f"a: {text}\n"))
    assert problems == []
    assert node is not None
    read = plain(node)["a"]
    assert (read, type(read)) == (value, type(value))


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab1: -?[]{},&*!|>'\"%@`#\n\t~.<\\u\r\0é\u2028\ud800"), max_size=60))
def test_any_text_loads_or_is_refused_in_words(text: str) -> None:
    with pytest.raises(SpecError, match=r"w\.yaml"):
        parse_workload(text, "w.yaml")


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_in_words(content: bytes) -> None:
    with pytest.raises(SpecError, match=r"w\.yaml"):
        parse_workload(content, "w.yaml")
