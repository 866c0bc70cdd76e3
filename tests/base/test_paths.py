from pathlib import Path

import pytest

from orchestrator.base.paths import bundled, inside, state_dir


def test_the_state_directory_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    assert state_dir() == tmp_path


def test_the_state_directory_is_the_users_and_not_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert state_dir() == Path("/somewhere/orchestrator")


@pytest.mark.parametrize("folder", ["workloads", "cluster", "datasets", "dashboards"])
def test_what_people_edit_is_found_in_the_repository(folder: str) -> None:
    assert bundled(folder).is_dir()


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "/etc/passwd", "link/passwd", "nul\0"])
def test_a_path_outside_its_root_is_refused(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to("/etc")
    with pytest.raises(ValueError, match=r"outside|NUL"):
        inside(root, path)


def test_a_path_inside_its_root_is_resolved(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/../b") == tmp_path.resolve() / "b"
