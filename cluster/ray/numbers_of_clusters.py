"""The number of a cluster, which its addresses and the folder for Ray's files have in them."""

from __future__ import annotations

import os
import random
import shutil
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

from common.console import ClusterError
from layout import NUMBERS, load, runtime_of

_OWNER = "cluster"
_BEGINNING = 60.0
"""So many seconds a cluster has to write its record."""


def take(folder: Path) -> int:
    """A number that no other cluster of this machine has: a folder of its own, and addresses where nobody listens.

    Raises:
        ClusterError: All are taken.
    """
    listening = _second_bytes()
    for number in random.sample(NUMBERS, len(NUMBERS)):
        runtime = runtime_of(number)
        if number not in listening and _make(runtime):
            (runtime / _OWNER).write_text(str(folder))
            return number
    raise ClusterError(f"there are {len(NUMBERS)} other clusters on this machine, or what is left of them in /tmp")


def _make(runtime: Path) -> bool:
    """Whether the folder is ours now: it was not there, or is left of a cluster of ours that is no more."""
    try:
        runtime.mkdir(mode=0o700)
    except FileExistsError:
        with suppress(OSError):
            owner = Path((runtime / _OWNER).read_text())
            known, status = load(owner), runtime.stat()
            settled = status.st_uid == os.getuid() and time.time() - status.st_mtime > _BEGINNING
            if settled and (known is None or runtime_of(known.number) != runtime):
                shutil.rmtree(runtime)
                runtime.mkdir(mode=0o700)
                return True
        return False
    return True


def _second_bytes() -> set[int]:
    """Of the addresses on loopback where somebody listens."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        address = socket.inet_ntoa(struct.pack("=I", int(words[1].partition(":")[0], 16)))
        first, second = address.split(".")[:2]
        if words[3] == "0A" and first == "127":
            found.add(int(second))
    return found
