"""What the pages for operators show is accepted as it stands there."""

import re
import shlex
from pathlib import Path

import pytest

from orchestrator.api.auth import ROLES, read_grants
from orchestrator.spec.load import load_profile, parse_workload

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "clusters.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_documented_profile_is_one(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(blocks("yaml")[0])
    profile = load_profile(path)
    assert (profile.name, profile.limits.priority, profile.policy.name) == ("lab", 10, "fair")
    assert [team.name for team in profile.teams] == ["vision", "video", "speech"]


def test_the_documented_keys_of_a_workload_are_keys() -> None:
    workload = parse_workload("name: x\ncommand: [x]\n" + blocks("yaml")[1], "x.yaml")
    assert (workload.team, workload.priority, workload.depends_on) == ("video", 5, ["prepare"])


def test_the_documented_tokens_are_read(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(blocks("json")[0])
    path.chmod(0o600)
    assert [grant.principal.user for grant in read_grants(path)] == ["ada", "otto"]
    assert all(f"| `{role}` |" in PAGE for role in ROLES)


def test_files_that_pages_name_as_shipped_are_there() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.glob("*.md")]
    named = {
        name for page in pages for name in re.findall(r"\b(?:workloads|cluster|datasets)/\w+\.yaml", page.read_text())
    }
    assert {name for name in named if not (DOCS.parent / name).is_file()} == {"cluster/lab.yaml"}  # "of your own"


MADE_UP = r"^    orchestrator (simulate .*--synthetic.*)$"
SIMULATIONS = re.findall(MADE_UP, (DOCS / "simulation.md").read_text(), re.MULTILINE)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("line", SIMULATIONS)
def test_the_documented_simulations_run(cli, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli(*shlex.split(line.replace("--synthetic 300", "--synthetic 20").replace("--plot out.svg", ""))).code == 0


def test_simulations_are_documented() -> None:
    assert len(SIMULATIONS) == 4
