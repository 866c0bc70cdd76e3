"""What Tune calls: `recalling_checks` and `watcher_checks`, in a process of their own (as `onray.test_seats`)."""

import subprocess
import sys
from pathlib import Path


def test_tune_is_answered_as_the_checks_say() -> None:
    checks = [str(Path(__file__).with_name(f"{name}_checks.py")) for name in ("recalling", "watcher")]
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *checks]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "12 passed" in done.stdout
