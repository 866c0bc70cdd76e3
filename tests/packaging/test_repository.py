"""Rules that the repository itself keeps."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# written in pieces, so that this file is no hit of its own
PIECES = (
    r"registry\s*=\s*[\"']?http",
    r"\"resolved\"",
    r"index-" + r"url\s*[=:]?\s*http",
    r"python" + r"hosted",
    r"py" + r"pi\.org",
)
REGISTRY = re.compile("|".join(PIECES), re.IGNORECASE)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def texts() -> list[tuple[str, str]]:
    found = []
    for path in tracked():
        if path.suffix not in {".png", ".jpg", ".arrow", ".ico"} and path.is_file():
            found.append((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors="replace")))
    return found


def test_no_tracked_file_names_a_package_registry() -> None:
    assert [name for name, text in texts() if REGISTRY.search(text)] == []


def test_the_lock_pins_every_version_with_its_hashes() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    starts = [i for i, line in enumerate(lines) if line and not line.startswith((" ", "#"))]
    assert len(starts) > 100
    for start in starts:
        assert "==" in lines[start]
        assert "--hash=sha256:" in lines[start + 1]


def test_top_level_folders_beside_the_package_are_no_packages() -> None:
    for folder in ("workloads", "cluster", "datasets", "dashboards", "benchmarks"):
        assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("limit", [400])
def test_source_files_stay_readable_in_length(limit: int) -> None:
    long = {
        str(p.relative_to(ROOT)): n
        for p in tracked()
        if p.suffix == ".py" and p.exists() and "tests" not in p.relative_to(ROOT).parts
        if (n := p.read_text().count("\n")) > limit
    }
    assert long == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(p.relative_to(ROOT))
        for p in tracked()
        if p.suffix == ".py" and p.exists() and p.is_relative_to(ROOT / "orchestrator")
        if not p.read_text().startswith('"""')
    ]
    assert silent == []
