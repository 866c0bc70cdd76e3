"""The Debian packages that a cluster is made of: which are missing, and their installation."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS = {
    "munge": ("munged",),
    "mariadb-server": ("mariadbd", "mariadb-install-db"),
    "slurmdbd": ("slurmdbd",),
    "slurm-wlm": ("slurmctld", "slurmd", "sacctmgr", "sinfo", "scontrol"),
}
# What Debian starts by itself on installation; Slurm's own services wait for a configuration.
_SERVICES = {"munge": "munge", "mariadb-server": "mariadb"}


class InstallationError(Exception):
    """Packages could not be installed."""


def missing() -> tuple[str, ...]:
    """Packages without which no cluster comes up."""
    return tuple(
        package
        for package, programs in _PROGRAMS.items()
        if any(shutil.which(program, path=PATH) is None for program in programs)
    )


def install(packages: tuple[str, ...]) -> None:
    """Install packages, and leave none of their services running: every cluster starts its own.

    Raises:
        InstallationError: Not root, no apt-get, or apt-get failed.
    """
    if os.getuid() or shutil.which("apt-get", path=PATH) is None:
        raise InstallationError("--install needs root and apt-get")
    variables = {**os.environ, "PATH": PATH, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends", *packages)):
        done = subprocess.run(("apt-get", *arguments), env=variables)
        if done.returncode:
            raise InstallationError(f"apt-get {arguments[0]} ended with {done.returncode}")
    for package in packages:
        if package in _SERVICES:
            _stop(_SERVICES[package], variables)


def _stop(service: str, variables: dict[str, str]) -> None:
    systemd = Path("/run/systemd/system").is_dir()
    command = ("systemctl", "disable", "--now", service) if systemd else ("service", service, "stop")
    subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
