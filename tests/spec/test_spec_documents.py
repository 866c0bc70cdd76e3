"""The documents that come with the package load; names find them; importing the loader is cheap."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.base.errors import NotFound, SpecError, UsageError
from orchestrator.base.paths import bundled
from orchestrator.spec.card import Fractions, HoldOut
from orchestrator.spec.load import load_card, load_profile, parse_workload
from orchestrator.spec.workload import CommandWorkload
from orchestrator.testing.workloads import workload_in

WORKLOADS = sorted(bundled("workloads").glob("*.yaml"))


@pytest.mark.parametrize("path", WORKLOADS, ids=lambda path: path.stem)
def test_every_bundled_workload_loads(path: Path) -> None:
    assert workload_in(path).name


@pytest.mark.parametrize("path", sorted(bundled("cluster").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_bundled_profile_loads_by_its_name(path: Path) -> None:
    assert load_profile(path.stem).name == path.stem


@pytest.mark.parametrize("path", sorted(bundled("datasets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_bundled_card_loads_by_its_name(path: Path) -> None:
    assert load_card(path.stem).name == path.stem


def test_the_working_directory_goes_before_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "local.yaml").write_text("name: mine\nbackend: local\n")
    monkeypatch.chdir(tmp_path)
    assert load_profile("local").name == "mine"


def test_a_path_is_read_as_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nbackend: local\n")
    assert load_profile(path).name == load_profile(str(path)).name == "mine"


def test_an_unknown_name_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(NotFound, match=r"there is no dataset card 'digit'\n  hint: did you mean 'digits'"):
        load_card("digit")


@pytest.mark.parametrize("name", ["..", "local\n", "-x", "local\0", "$(id)"])
def test_a_name_never_leaves_its_folder(name: str) -> None:
    with pytest.raises(NotFound):
        load_profile(name)


def test_a_path_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no file"):
        load_card("../../nowhere.yaml")


def test_a_card_says_its_splits_in_one_of_two_ways() -> None:
    assert isinstance(load_card("digits").splits, Fractions)
    assert isinstance(load_card("cifar10").splits, HoldOut)


def test_of_two_ways_the_one_that_was_meant_is_explained(tmp_path: Path) -> None:
    for name, old, new in (("digits", "test: 0.2", "test: 2"), ("cifar10", "test: test", "tst: test")):
        path = tmp_path / f"{name}.yaml"
        path.write_text((bundled("datasets") / path.name).read_text().replace(old, new))
    with pytest.raises(SpecError, match=r"splits\.test: must be less than 1, not 2"):
        load_card(tmp_path / "digits.yaml")
    with pytest.raises(SpecError, match=r"unknown key 'tst' in splits[^✗]*did you mean 'test'"):
        load_card(tmp_path / "cifar10.yaml")


def test_a_command_is_a_list_or_a_text_for_the_shell() -> None:
    listed = parse_workload("name: a\ncommand: [echo, '$HOME']\n", "w")
    shell = parse_workload("name: a\ncommand: echo $HOME\n", "w")
    assert isinstance(listed, CommandWorkload)
    assert isinstance(shell, CommandWorkload)
    assert listed.argv == ("echo", "$HOME")
    assert shell.argv == ("/bin/sh", "-e", "-c", "echo $HOME")


def test_importing_the_loader_imports_neither_pydantic_nor_yaml() -> None:
    script = (
        "import sys, orchestrator.spec.load; print(*sorted({'pydantic', 'ruamel.yaml', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_hundred_lines_load_in_less_than_sixty_milliseconds() -> None:
    text = (bundled("workloads") / "regnet_sweep.yaml").read_text()
    text += "env:\n" + "".join(f"  VARIABLE_{n}: value {n}\n" for n in range(100 - text.count("\n")))
    parse_workload(text, "w.yaml")
    assert min(_seconds_to_load(text) for _ in range(5)) < 0.06


def _seconds_to_load(text: str) -> float:
    started = time.perf_counter()
    parse_workload(text, "w.yaml")
    return time.perf_counter() - started
