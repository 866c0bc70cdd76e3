"""A server that is no administrator of Slurm: what an ordinary user of a real cluster may do, and what he is told."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.testing.dev_cluster import DevCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(180)]

NAME = "nobody"
ROOT = Path(__file__).resolve().parents[3]
TRY = """
import subprocess, sys, submitit, orchestrator.base.files
assert sys.version_info[:2] == (%d, %d)
subprocess.run([sys.executable, "-c", ""], check=True)
"""


def as_user(*argv: str) -> list[str]:
    """A command as that user."""
    user = pwd.getpwnam(NAME)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *argv]


def environment(slurm: DevCluster) -> dict[str, str]:
    """Of that user, for whom the packages of this environment are enough, whatever the interpreter."""
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    known = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SLURM_CONF": str(slurm.conf), "PYTHONDONTWRITEBYTECODE": "1"}
    return known | {"PYTHONPATH": f"{ROOT}:{packages}", "USER": NAME, "LOGNAME": NAME, "HOME": "/nonexistent"}


def allow(slurm: DevCluster, qos: str) -> None:
    """These QOS, and no others."""
    change = ("modify", "user", NAME, "set", f"QosLevel={qos}", "DefaultQOS=normal")
    slurm.run("sacctmgr", "--immediate", "--quiet", *change)


@pytest.fixture
def python(slurm: DevCluster) -> str:
    """An interpreter that this user may run, and the jobs of his; root's own may lie where nobody else gets at it."""
    if os.getuid() != 0:
        pytest.skip("only root can be somebody else: no ordinary user here")
    tried = TRY % sys.version_info[:2]
    for found in (sys.executable, "/usr/bin/python3"):
        command = as_user(found, "-c", tried)
        if subprocess.run(command, env=environment(slurm), cwd="/", stderr=subprocess.DEVNULL).returncode == 0:
            return found
    pytest.skip(f"{NAME} can run neither {sys.executable} nor a Python of the system of its version with our packages")


class User:
    """That user's engine."""

    def __init__(self, process: subprocess.Popen[str], slurm: DevCluster) -> None:
        self._process = process
        self._slurm = slurm

    def __call__(self, *line: Any) -> Any:
        """What comes of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(line)}\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        assert "error" not in told, told
        return told["answer"]

    def launch(self, name: str, *argv: str, priority: int = 0, growth: bool = False, workers: int = 1) -> float | None:
        """Hand it over; when Slurm would start it."""
        return self("launch", name, priority, growth, argv, workers)  # type: ignore[no-any-return]

    def until(self, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What is seen of it when something is so."""
        self._slurm.wait_for(lambda: holds(self("see", name)))
        return self("see", name)  # type: ignore[no-any-return]

    def shown(self, name: str) -> str:
        """What Slurm says of it."""
        fields = "--format=%u %T %r %y %q %P"
        return self._slurm.run("squeue", "--noheader", "--all", f"--name={name}-r1.0", fields).strip()


@pytest.fixture(scope="module")
def account(slurm_cluster: DevCluster) -> None:
    """That user's; it stays, for accounting takes a while to see that none of his jobs is left."""
    slurm_cluster.run("sacctmgr", "--immediate", "--quiet", "add", "user", NAME, "Account=lab", "DefaultAccount=lab")


@pytest.fixture
def user(slurm: DevCluster, account: None, python: str) -> Iterator[User]:
    folder = tempfile.mkdtemp(prefix="ordinary-", dir=slurm.folder.parent)
    shutil.chown(folder, NAME)
    allow(slurm, "normal,high")
    slurm.run("scontrol", "update", "PartitionName=spare", "Hidden=YES")
    script = str(Path(__file__).with_name("ordinary_user.py"))
    process = subprocess.Popen(
        as_user(python, script, folder),
        env=environment(slurm),
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield User(process, slurm)
    slurm.run("scontrol", "update", "PartitionName=spare", "Hidden=NO")
    slurm.mend()
    shutil.rmtree(folder)


def test_an_ordinary_user_runs_a_gang_on_several_nodes(user: User) -> None:
    start = user.launch("gang", "true", workers=2)
    assert start is not None
    assert abs(start - time.time()) < 60
    assert user.until("gang", lambda seen: seen["state"] == "ended")["outcome"] == "succeeded"


def test_an_ordinary_user_moves_holds_grows_and_cancels_and_is_told_what_slurm_keeps_to_its_administrators(
    user: User, slurm: DevCluster
) -> None:
    others = slurm.submit("sleep 600", "--nodes=3", "--exclusive")
    slurm.wait_for(lambda: slurm.jobs().get(others) == "RUNNING")
    user.launch("job", "sleep", "600", priority=-3)
    assert user.shown("job").startswith("nobody PENDING ")
    assert user.shown("job").endswith(" 30 normal batch")
    user.until("job", lambda seen: "too little is free" in seen["why"])

    assert user("adjust", "job", 0, False) == ""  # nice goes down again, as far as 0
    assert user.shown("job").endswith(" 0 normal batch")
    assert user("adjust", "job", 0, True) == ""
    assert user.shown("job") == "nobody PENDING JobHeldUser 0 normal batch"
    assert user("adjust", "job", 10, False) == ""
    assert user.shown("job").endswith(" 0 high batch")

    (number,) = (job for job, state in slurm.jobs().items() if state == "PENDING")
    slurm.run("scontrol", "hold", number)
    user.until("job", lambda seen: "an operator holds it" in seen["why"])
    user("adjust", "job", 10, True)
    assert f"only its administrators may: scontrol release {number}" in user("adjust", "job", 10, False)
    slurm.run("scontrol", "release", number)
    allow(slurm, "normal")
    assert user("adjust", "job", -3, True) == ""
    assert "Slurm leaves it where it stands: Invalid qos" in user("adjust", "job", 10, False)
    assert "JobHeld" not in user.shown("job")
    assert user.shown("job").endswith(" 0 normal batch")

    user.launch("growth", "sleep", "600", growth=True)
    user.until("growth", lambda seen: (seen["state"], seen["partition"]) == ("pending", "spare"))
    for name in ("job", "growth"):
        user("kill", name)
        user.until(name, lambda seen: seen["state"] == "ended")
