"""Places of a placement group: `seats_checks`, in a process of its own, for Ray reads its environment once in one."""

import subprocess
import sys
from pathlib import Path


def test_seats_are_given_out_as_seats_checks_says() -> None:
    checks = Path(__file__).with_name("seats_checks.py")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", str(checks)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "10 passed" in done.stdout
