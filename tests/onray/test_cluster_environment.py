"""What a driver on a Ray cluster hands to its processes on other nodes, and what it lets Ray know of it."""

import json
import os
from pathlib import Path

import pytest

from orchestrator.base.errors import NotFound
from orchestrator.onray import cluster


def test_others_get_the_environment_and_the_folder_by_a_file_for_the_owner_alone_and_ray_gets_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_RUN_DIR", str(tmp_path / "run"))
    for name, value in {"A_KEY": "hush", "RANK": "0", "PATH": "/mine", "RAY_AUTH_TOKEN": "t", "RAY_OURS": "1"}.items():
        monkeypatch.setenv(name, value)
    told, path = cluster._for_ray(os.environ), cluster._left_for_others()
    assert "hush" not in json.dumps(told)
    assert (told["RAY_OURS"], "RAY_AUTH_TOKEN" in told) == ("1", False)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (path.parent.stat().st_mode & 0o777, path.parent.parent) == (0o700, tmp_path / "run")

    monkeypatch.chdir("/")
    for name in ("A_KEY", "RANK", "PATH", "RAY_OURS"):
        monkeypatch.setenv(name, "another node's")
    monkeypatch.setenv("ORCHESTRATOR_DRIVER", str(path))
    cluster.be_as_the_driver()
    assert os.environ["A_KEY"] == "hush"
    assert {os.environ[name] for name in ("RANK", "PATH", "RAY_OURS")} == {"another node's"}
    assert Path.cwd() == tmp_path


def test_a_node_that_does_not_see_the_drivers_files_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DRIVER", str(tmp_path / "absent.json"))
    with pytest.raises(NotFound, match=r"absent\.json is not on this node"):
        cluster.be_as_the_driver()
