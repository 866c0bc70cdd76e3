"""`--set`: what it changes, and what it says where it cannot."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import SpecError
from orchestrator.spec.load import parse_workload
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.workload import CommandWorkload, Workload

REGNET = """\
name: sweep
recipe: regnet
data: {dataset: digits, image_size: 16}
optim: {lr: 0.1}
train: {epochs: 2, batch_size: 64}
search:
"""


def command(*overrides: str, text: str = "name: a\ncommand: [echo, hello]\n") -> CommandWorkload:
    workload = parse_workload(text, "w.yaml", overrides)
    assert isinstance(workload, CommandWorkload)
    return workload


def regnet(*overrides: str) -> RegNetWorkload:
    workload: Workload = parse_workload(REGNET, "w.yaml", ("search.trials=3", *overrides))
    assert isinstance(workload, RegNetWorkload)
    return workload


def refused(*overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_workload(REGNET, "w.yaml", ("search.trials=3", *overrides))
    return str(caught.value)


def test_a_value_is_read_as_yaml_1_2() -> None:
    assert regnet("optim.lr=1e-3").optim.lr == 1e-3
    assert regnet("data.shuffle={window: 4}").data.shuffle != "full"
    assert command("command=[python, train.py]").command == ["python", "train.py"]
    assert command("command=echo a b").command == "echo a b"
    assert command("description='1'").description == "1"
    assert command('description=""').description == ""


def test_a_section_that_is_not_written_is_made() -> None:
    assert regnet("train.checkpoint.keep=5").train.checkpoint.keep.last == 5
    assert regnet("search.space.depth={range: 2..3}").search == regnet("search.space.depth=2..3").search


def test_a_list_is_changed_by_position() -> None:
    assert command("command.1=bye").command == ["echo", "bye"]
    assert command("command[1]=bye").command == ["echo", "bye"]
    assert command("command[0]=cat").command == ["cat", "hello"]


def test_a_key_with_a_dot_stands_in_quotes() -> None:
    assert command('tracking.tags."a.b"=c').tracking.tags == {"a.b": "c"}


def test_the_last_override_counts() -> None:
    assert command("priority=1", "priority=2").priority == 2


def test_an_override_replaces_what_is_wrong_in_the_file() -> None:
    assert command("priority=1", text="name: a\ncommand: b\npriority: high\n").priority == 1


def test_a_section_can_be_taken_away() -> None:
    assert command("time_limit=", text="name: a\ncommand: b\ntime_limit: 3h\n").time_limit is None


@pytest.mark.parametrize(
    ("override", "rule", "caret"),
    [
        ("optim.lr", "expected PATH=VALUE", 8),
        ("=3", "expected PATH=VALUE", 0),
        ("optim..lr=3", "expected PATH=VALUE", 6),
        ("optim.lr=[1", "expected ',' or the closing ']'", 11),
        ("optim.lr=fast", "optim.lr: expected a number, not 'fast'", 9),
        ("optim.lr=&a 1", "anchors such as &a are not read", 9),
        ("optim.lr=!!int 1", "tags such as !name are not read", 9),
        ("optim.lr=.inf", ".inf is not a number that can be used", 9),
        ("optim.lr.x=1", "there is no 'x' in '0.1', which is a single value", 9),
        ("train=3", "train: expected keys and values, not 3", 6),
        ("trian.epochs=3", "unknown key 'trian'", 0),
    ],
)
def test_what_is_wrong_is_shown_in_the_override(override: str, rule: str, caret: int) -> None:
    place, line, pointer = refused(override).splitlines()[:3]
    assert place == f"--set {override}: {rule}"
    assert line == f"    {override}"
    assert pointer == " " * (4 + caret) + "^"


def test_a_position_outside_of_a_list_is_refused() -> None:
    with pytest.raises(SpecError, match=r"the list has no entry '2'\n.*\n.*\n  hint: its entries are 0 to 1"):
        command("command.2=x")


def test_a_control_character_in_an_override_is_refused_and_not_shown() -> None:
    said = refused("name=a\x1b[2J")
    assert "U+001B cannot be shown" in said
    assert "\x1b" not in said


def test_overrides_without_number_are_refused() -> None:
    assert "at most 1,000 can be" in refused(*["seed=1"] * 2000)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from('oprtim.l=0"[]{}: ,&*!#\n\t\0é\ud800'), max_size=30))
def test_any_override_is_applied_or_refused_in_words(text: str) -> None:
    with pytest.raises(SpecError, match="--set"):
        parse_workload(REGNET, "w.yaml", ["search.trials=none", text])
