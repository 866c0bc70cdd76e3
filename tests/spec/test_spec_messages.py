"""The messages that people read, to the letter: place, line, caret, rule and hint."""

from __future__ import annotations

import pytest

from orchestrator.base.errors import SpecError
from orchestrator.spec.diagnostics import SHOWN, Diagnostic, did_you_mean, refusal
from orchestrator.spec.load import parse_workload

REGNET = """\
name: sweep
recipe: regnet
data:
  dataset: digits
  image_size: 16
optim:
  lr: 0.1
train:
  epochs: 2
  batch_size: 64
search:
  trials: 24
"""


def message(text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_workload(text, "w.yaml", overrides)
    return str(caught.value)


def test_a_misspelt_key() -> None:
    assert message(REGNET.replace("lr: 0.1", "lr: 0.1\n  schedul: cosine")) == (
        "w.yaml:8:3: unknown key 'schedul' in optim\n      schedul: cosine\n      ^\n  hint: did you mean 'schedule'?"
    )


def test_what_follows_from_a_misspelt_key_alone_is_not_told_and_what_is_wrong_below_it_is() -> None:
    text = REGNET.replace("recipe:", "recpie:").replace("optim:", "optm:").replace("lr: 0.1", "lr: -1")
    assert message(text) == (
        "w.yaml:2:1: unknown key 'recpie'\n    recpie: regnet\n    ^\n  hint: did you mean 'recipe'?\n"
        "w.yaml:6:1: unknown key 'optm'\n    optm:\n    ^\n  hint: did you mean 'optim'?\n"
        "w.yaml:7:7: optim.lr: must be more than 0, not -1\n      lr: -1\n          ^"
    )


def test_below_a_misspelt_recipe_the_rest_is_looked_at_too() -> None:
    told = message(REGNET.replace("regnet", "regnt").replace("epochs: 2", "epochs: 0"))
    assert "w.yaml:2:9: unknown recipe 'regnt'" in told
    assert "w.yaml:9:11: train.epochs: must be at least 1, not 0" in told


def test_a_key_in_the_wrong_section() -> None:
    assert message(REGNET + "epochs: 3\n") == (
        "w.yaml:13:1: unknown key 'epochs'\n    epochs: 3\n    ^\n  hint: it belongs in train"
    )


def test_a_missing_key() -> None:
    assert message(REGNET.replace("  lr: 0.1", "  momentum: 0.5")) == (
        "w.yaml:6:1: optim: the key 'lr' is missing\n"
        "    optim:\n"
        "    ^\n"
        "  hint: lr: peak learning rate, for a whole global batch"
    )


def test_loader_processes_beside_a_gpu_that_decodes() -> None:
    text = REGNET.replace("image_size: 16", "image_size: 16\n  decode: gpu\n  workers: 2")
    assert message(text) == (
        "w.yaml:3:1: data: workers is 2, and with decode: gpu there are no loader processes\n"
        "    data:\n"
        "    ^\n"
        "  hint: leave workers out"
    )
    assert parse_workload(text.replace("workers: 2", "workers: auto"), "w.yaml")


def test_a_value_of_another_kind() -> None:
    assert message(REGNET.replace("epochs: 2", "epochs: two")) == (
        "w.yaml:9:11: train.epochs: expected a whole number, not 'two'\n      epochs: two\n              ^"
    )


def test_a_value_out_of_its_range() -> None:
    assert message(REGNET.replace("epochs: 2", "epochs: 0")) == (
        "w.yaml:9:11: train.epochs: must be at least 1, not 0\n      epochs: 0\n              ^"
    )


def test_a_choice() -> None:
    assert message(REGNET.replace("lr: 0.1", "lr: 0.1\n  schedule: cosin")) == (
        "w.yaml:8:13: optim.schedule: expected 'cosine', 'half_cosine', 'step', 'linear', 'exponential', 'polynomial' "
        "or 'constant', not 'cosin'\n"
        "      schedule: cosin\n"
        "                ^\n"
        "  hint: did you mean 'cosine'?"
    )


def test_an_override() -> None:
    assert message(REGNET, "optim.lrr=0.1") == (
        "--set optim.lrr=0.1: unknown key 'lrr' in optim\n    optim.lrr=0.1\n          ^\n  hint: did you mean 'lr'?"
    )


def test_a_rule_over_several_keys_points_to_the_one_it_names() -> None:
    assert message(REGNET.replace("optim:", "model:\n  preset: regnetx_400mf\noptim:")) == (
        "w.yaml:6:1: model: a search samples depth, w0, wa, wm, group_width and takes no preset\n    model:\n    ^"
    )


def test_all_errors_come_at_once_and_in_the_order_of_the_document() -> None:
    text = REGNET.replace("name: sweep", "name: a b").replace("trials: 24", "trials: 0\nenv: {a: 1, a: 2}\nx: &y 3")
    places = [line.split(": ", 1)[0] for line in message(text, "train.epochs=0").splitlines() if line[0] not in " "]
    assert places == ["w.yaml:1:7", "w.yaml:12:11", "w.yaml:13:10", "w.yaml:13:13", "w.yaml:14:1", "w.yaml:14:4",
                      "--set train.epochs=0"]  # fmt: skip


def test_a_refused_value_is_complained_of_once() -> None:
    assert message(REGNET.replace("epochs: 2", "epochs: .nan")).count("w.yaml:9") == 1


@pytest.mark.parametrize(
    ("line", "rule", "hint"),
    [
        ("priority: '3'", "priority: expected a whole number, not '3'", "take the quotes away"),
        ("priority: 3.0", "priority: expected a whole number, not 3.0", "write 3"),
        ("priority: true", "priority: expected a whole number, not true", ""),
        ("priority: 2000", "priority: must be at most 1000, not 2000", ""),
        ("team: 3", "team: expected a text, not 3", 'put quotes around it: "3"'),
        ("team:", "team: expected a text, not nothing", ""),
        ("tracking: {enabled: yes}", "tracking.enabled: expected true or false, not 'yes'", "write true"),
        ("depends_on: a", "depends_on: expected a list, not 'a'", "a list with one entry is [a]"),
        ("depends_on: [a, 3]", "depends_on[1]: expected a text, not 3", 'put quotes around it: "3"'),
        ("env: [a]", "env: expected keys and values, not a list", ""),
        ("resources: 3", "resources: expected keys and values, not 3", ""),
        ("resources: {workers: 4..2}", "resources.workers: the range 4..2 is empty: its first number is the larger one",
         ""),
        ("resources: {workers: 0}", "resources.workers: workers are whole numbers, at least 1", ""),
        ("resources: {workers: some}", "resources.workers: expected a range such as 2..8, not 'some'", ""),
        ("resources: {memory_per_worker: 3gb}",
         "resources.memory_per_worker: expected a size such as 32GiB or 500MB, not '3gb'", "did you mean GB?"),
        ("time_limit: 90 minutes", "time_limit: expected a duration such as 90m, 36h or 1h30m, not '90 minutes'", ""),
        ("time_limit: 0", "time_limit: must be more than 0, not 0", ""),
        ("time_limit: 20000d", "time_limit: longer than ten years", ""),
        ("data: {dataset: d, image_size: 8, shuffle: 3}", "data.shuffle: expected 'full' or keys and values, not 3",
         "full, or {window: 64}: shards are mixed, then the rows of 64 shards at a time"),
        ("data: {dataset: d, image_size: 8, shuffle: {window: 0}}", "data.shuffle.window: must be at least 1, not 0",
         ""),
        ("data: {dataset: d, image_size: 8, shuffle: {windw: 1}}", "unknown key 'windw' in data.shuffle",
         "did you mean 'window'?"),
        ("data: {dataset: '', image_size: 8}", "data.dataset: must not be empty", ""),
    ],
)  # fmt: skip
def test_each_rule_is_said_in_plain_words(line: str, rule: str, hint: str) -> None:
    text = REGNET.replace("data:\n  dataset: digits\n  image_size: 16\n", "") if line.startswith("data:") else REGNET
    lines = message(text + line + "\n").splitlines()
    found = next(number for number, said in enumerate(lines) if said.endswith(f": {rule}"))
    assert lines[found + 1].strip() == line
    assert lines[found + 3 : found + 4] == ([f"  hint: {hint}"] if hint else [])


def test_a_workload_has_a_recipe_or_a_command() -> None:
    assert "a workload needs a recipe or a command" in message("name: a\n")
    both = message("name: a\ncommand: b\nrecipe: regnet\n")
    assert both.startswith("w.yaml:3:1: a workload has a recipe or a command, not both")
    assert "unknown recipe 'regnett'" in message("name: a\nrecipe: regnett\n")
    assert "did you mean 'regnet'?" in message("name: a\nrecipe: regnett\n")


def test_a_misspelt_recipe_key_does_not_hide_the_other_errors() -> None:
    said = message(REGNET.replace("recipe:", "recipie:").replace("epochs: 2", "epochs: 0"))
    assert "unknown key 'recipie'" in said
    assert "did you mean 'recipe'?" in said
    assert "train.epochs: must be at least 1" in said


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("name: a\nrecpie: regnet\ncomand: [b]\npriorty: 3\n",
         ["2:1: unknown key 'recpie'", "3:1: unknown key 'comand'",
          "3:1: a workload has a recipe or a command, not both", "4:1: unknown key 'priorty'"]),
        ("name: a\nrecpie: regnet\ncommand: [b]\n",
         ["2:1: unknown key 'recpie'", "3:1: a workload has a recipe or a command, not both"]),
        ("name: a\nrecpie: regnet\n",
         ["2:1: unknown key 'recpie'", *(f"2:1: the key '{key}' is missing" for key in ("data", "optim", "train"))]),
        ("name: a\ncommand: [b]\ncomment: c\n", ["3:1: unknown key 'comment'"]),
    ],
)  # fmt: skip
def test_a_misspelt_recipe_or_command_is_told_first_and_nothing_that_follows_from_it(
    text: str, errors: list[str]
) -> None:
    said = [line for line in message(text).splitlines() if line.startswith("w.yaml")]
    assert said == [f"w.yaml:{error}" for error in errors]


def test_control_characters_in_a_line_are_shown_inert() -> None:
    shown = str(Diagnostic("w\x1b[2J.yaml", 1, 7, "bad", "", "name:\t\x1b[31m\x07red\u202e"))
    assert shown == "w.yaml:1:7: bad\n    name: red\n          ^"


def test_the_caret_stands_under_the_column_whatever_is_before_it() -> None:
    assert str(Diagnostic("w", 1, 4, "bad", "", "日本: x")).splitlines()[1:] == ["    日本: x", "         ^"]


def test_a_long_line_is_cut_around_its_column() -> None:
    line, caret = str(Diagnostic("w", 1, 501, "bad", "", "a" * 500 + "X" + "b" * 500)).splitlines()[1:]
    assert len(line) < 140
    assert line[caret.index("^")] == "X"


def test_a_message_without_end_is_cut_and_counted() -> None:
    found = [Diagnostic("w", number, 1, "bad") for number in range(1, SHOWN + 8)]
    assert str(refusal(found)).splitlines()[SHOWN:] == ["… and 7 more errors"]


def test_did_you_mean_falls_back_to_what_is_known() -> None:
    assert did_you_mean("xyz", ["epochs", "batch_size"]) == "known: epochs, batch_size"
    assert did_you_mean("Epoch", ["epochs", "batch_size"]) == "did you mean 'epochs'?"


def test_a_recipes_section_in_a_command_is_said_to_belong_to_recipes() -> None:
    said = message("name: a\ncommand: echo\ndata: {dataset: digits}\n")
    assert said.endswith("hint: did you mean a recipe? 'data' belongs to recipes: regnet")


def test_another_place_is_suggested_only_where_the_value_fits_there() -> None:
    assert message(REGNET + "lr: 3\n").endswith("hint: it belongs in optim")
    assert "it belongs in" not in message(REGNET + "lr: {peak: 3}\n")


def test_the_top_is_not_suggested_for_a_key_that_it_has_already() -> None:
    said = message(REGNET + "model: {name: foo}\n")
    assert "unknown key 'name' in model" in said
    assert "it belongs" not in said


ONE_MODEL = REGNET.replace("search:\n  trials: 24\n", "model: {preset: regnetx_200mf}\n")


@pytest.mark.parametrize(
    ("text", "overrides", "where"),
    [
        (ONE_MODEL, ["resources.workers=4"], "--set resources.workers=4: resources.workers is at least 4, and train"),
        (
            ONE_MODEL + "resources: {workers: 4}\n",
            ["priority=3", "train.batch_size=32"],
            "--set train.batch_size=32: resources.workers is at least 4",
        ),
        (
            ONE_MODEL.replace("lr: 0.1", "lr: 0.1\n  velocity: absorbed"),
            ["optim.momentum=0"],
            "--set optim.momentum=0: optim.velocity: absorbed needs momentum",
        ),
        (ONE_MODEL, ["optim.min_lr=1"], "--set optim.min_lr=1: optim: min_lr must be less than lr"),
    ],
)
def test_a_rule_over_several_keys_points_at_the_one_that_was_set(text: str, overrides: list[str], where: str) -> None:
    assert where in message(text, *overrides)


def test_a_value_that_was_set_and_that_a_rule_does_not_name_is_innocent() -> None:
    text = ONE_MODEL + "resources: {workers: 4}\n"
    assert message(text, "priority=3", "train.epochs=3").startswith("w.yaml:12:1: resources.workers is at least 4")
