"""A writer that is killed at any instant leaves the checkpoint before, or the new one, whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from checkpoint_workers import ALONE, files_of, folders, save, saved

from orchestrator.training.checkpoint import KeepPolicy

SCRIPT = Path(__file__).with_name("checkpoint_killed.py")


def test_whenever_a_writer_is_killed_a_whole_checkpoint_is_there(tmp_path: Path) -> None:
    saved(tmp_path / "base", 1)
    subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)],
        check=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parent.parent.parent)},
    )
    roots = sorted(tmp_path.glob("killed-*"), key=lambda path: int(path.name.partition("-")[2]))
    seen = [check(root) for root in roots]
    assert seen == sorted(seen)
    assert seen.count(1) > 5
    assert seen.count(2) > 1


def check(root: Path) -> int:
    """The newest checkpoint that was left, after it was loaded and another was written over what else was left."""
    store = saved(root)
    assert store.keep == KeepPolicy(2)
    found = store.newest()
    assert found is not None
    into = torch.zeros(3)
    store.load(found, {"model/w": into}, ALONE)
    assert torch.equal(into, torch.full((3,), float(found.samples)))
    save(store, 3, {"model/w": into})
    assert folders(root) == ([2, 3] if found.samples == 2 else [1, 3])
    assert all(sorted(files_of(root, samples)) == ["manifest", "part-0"] for samples in folders(root))
    return found.samples
