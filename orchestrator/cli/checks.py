"""What `orchestrator doctor` looks at: each check says what it found and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.base.errors import OrchestratorError
from orchestrator.base.paths import state_dir
from orchestrator.base.text import one_line
from orchestrator.cli.connect import connect_to_running
from orchestrator.cli.human import size

Verdict = Literal["ok", "warning", "problem"]

_PACKAGES = {
    "torch": ("train", (2, 11)),
    "torchvision": ("train", (0, 26)),
    "pyarrow": ("train", (18,)),
    "ray": ("ray", (2, 44)),
    "mlflow": ("tracking", (3, 1)),
}
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "beegfs", "gpfs", "ceph", "glusterfs", "afs", "9p"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"}
)
_GIB = 2**30


@dataclass(frozen=True)
class Check:
    """One finding; `remedy` is what to do, empty where nothing is to be done."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


def all_checks() -> list[Check]:
    """Every check, in the order in which a person would mend things; none imports a heavy library."""
    return [_python(), *_packages(), *_git(), _state_directory(), _disk(), _clock(), *_server()]


def _python() -> Check:
    return Check("python", "ok", f"{sys.version.split()[0]} at {sys.executable}")


def _packages() -> Iterator[Check]:
    for name, (extra, oldest) in _PACKAGES.items():
        install = f"pip install 'orchestrator[{extra}]'"
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, "warning", "not installed", install)
            continue
        wanted = ".".join(str(part) for part in oldest)
        if _numbers(version) < oldest:
            yield Check(name, "problem", f"{version}; {wanted} or later is needed", f"{install} --upgrade")
        else:
            yield Check(name, "ok", version)


def _git() -> Iterator[Check]:
    if shutil.which("git") is None:
        yield Check("git", "warning", "not found: jobs do not record their code's revision", "install git")


def _state_directory() -> Check:
    folder = state_dir()
    remedy = "set ORCHESTRATOR_STATE_DIR to a folder on a local disk that you can write to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            probe.write(b"x")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return Check("state directory", "problem", f"{folder}: {error.strerror}", remedy)
    kind = _file_system(folder)
    if kind in _NETWORK_FILE_SYSTEMS:
        return Check("state directory", "problem", f"{folder} lies on a network file system ({kind})", remedy)
    return Check("state directory", "ok", f"{folder} ({kind})")


def _disk() -> Check:
    folder = _existing(state_dir())
    free = shutil.disk_usage(folder).free
    found = f"{size(free)} free at {folder}"
    if free < _GIB:
        return Check("disk", "problem", found, "free some space: submits are refused when the disk is full")
    if free < 10 * _GIB:
        return Check("disk", "warning", found, "checkpoints and datasets may need more")
    return Check("disk", "ok", found)


def _clock() -> Check:
    """The machine's clock beside the file system's, which matters where the state lies on another machine."""
    with tempfile.NamedTemporaryFile(dir=_writable(state_dir())) as probe:
        probe.write(b"x")
        probe.flush()
        drift = abs(os.stat(probe.name).st_mtime - time.time())
    year = time.gmtime().tm_year
    if year < 2024 or drift > 5:
        found = f"year {year}, {drift:.0f} s from the file system's clock"
        return Check("clock", "problem", found, "set the clock (timedatectl set-ntp true)")
    return Check("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S %Z"))


def _server() -> Iterator[Check]:
    try:
        client = connect_to_running(timeout=5.0)
        if client is None:
            yield Check("server", "ok", "none runs; the first command that needs one starts it")
            yield _cores()
            return
        server = client.server()
    except OrchestratorError as error:
        yield Check("server", "problem", one_line(error.message), error.hint or "orchestrator serve --stop, then again")
        return
    yield Check(
        "server", "ok", f"version {server.version}, process {server.pid}, you are {server.user} ({server.role})"
    )
    found = f"{server.slots_free} of {server.slots} free on {server.profile} ({server.backend})"
    if server.slots:
        yield Check("slots", "ok", found)
    else:
        yield Check("slots", "problem", found, "the engine does not answer, or the profile's nodes have no slots")


def _cores() -> Check:
    return Check("slots", "ok", f"{len(os.sched_getaffinity(0))} CPU cores may be used")


def _file_system(folder: Path) -> str:
    """The type of the file system that holds a folder, as /proc/self/mounts has it."""
    best, kind = "", "unknown"
    resolved = str(folder.resolve())
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _, mount, found = line.split(" ")[:3]
        mount = mount.replace("\\040", " ")
        if Path(resolved).is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, found
    return kind


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)


def _writable(folder: Path) -> Path:
    return folder if os.access(folder, os.W_OK) else Path(tempfile.gettempdir())


def _numbers(version: str) -> tuple[int, ...]:
    found = []
    for part in version.split("+")[0].split("."):
        if not part.isdigit():
            break
        found.append(int(part))
    return tuple(found)
