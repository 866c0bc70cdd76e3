"""What a command starts where no server runs: the cluster that was served last, and never another in its place."""

import os
import sys
from pathlib import Path

import pytest

from orchestrator.api.endpoint import hold
from orchestrator.api.served import profile_to_serve, remember, served_profiles
from orchestrator.cli import start

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A profile that was served here last, and by nobody now."""
    path = tmp_path / "my labs" / "lab.yaml"
    path.parent.mkdir()
    path.write_text("name: lab\nbackend: local\n")
    remember("local", "local")
    remember("lab", str(path))
    return path


def test_the_first_server_serves_local_and_later_ones_what_was_served_last(
    lab: Path, monkeypatch: pytest.MonkeyPatch, offline: Path
) -> None:
    started: list[str] = []
    monkeypatch.setattr(start, "_launch", started.append)
    start.ensure_running()
    start.ensure_running("local")
    assert started == [str(lab), "local"]
    assert served_profiles() == {"local": "local", "lab": str(lab)}
    (offline / "server" / "served.json").unlink()
    assert profile_to_serve() == "local"


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text("name: lab\nbackend: locl\n")])
def test_a_profile_that_cannot_be_served_any_more_is_replaced_by_no_other(cli, lab: Path, change) -> None:
    change(lab)
    outcome = cli("queue")
    assert outcome.code == 6
    assert str(lab) in outcome.err
    assert f"orchestrator serve --profile '{lab}'" in outcome.err


def test_plan_without_a_server_is_for_the_cluster_that_was_served_last(cli, lab: Path, workload: Path) -> None:
    assert cli("plan", workload, "--offline", "--json").document["data"]["profile"] == "lab"
    assert cli("plan", workload, "--offline", "--cluster", "local", "--json").document["data"]["profile"] == "local"


def test_where_nobody_knows_what_was_served_last_nothing_is(cli, lab: Path, offline: Path) -> None:
    (offline / "server" / "served.json").write_text("}garbage{")
    outcome = cli("queue")
    assert outcome.code == 6
    assert "orchestrator serve --profile PATH" in outcome.err


def test_a_second_server_is_told_of_the_first_before_anything_is_loaded(
    cli, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "orchestrator.api.server", raising=False)
    with hold("lock"):
        outcome = cli("serve", "--profile", "nowhere.yaml")
    assert outcome.code == 6
    assert f"process {os.getpid()} holds" in outcome.err
    assert "orchestrator.api.server" not in sys.modules
