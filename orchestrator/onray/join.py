"""A further node of a search: `python -m orchestrator.onray.join` gives its slots to the Ray that the driver started.

It waits for the head, starts a raylet, watches it, and leaves nothing behind when the driver says that the search is
over, when the head is gone, or when it is asked to end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.base.sweep import sweep
from orchestrator.onray.meeting import Head, RayMeeting, listens
from orchestrator.onray.private import OBJECT_STORE_BYTES, environment, scratch_folder
from orchestrator.rundir.allocations import MARK
from orchestrator.rundir.launch import read_launch
from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime import environment as names
from orchestrator.runtime.linux import become_subreaper, dies_with_parent
from orchestrator.runtime.logs import say
from orchestrator.runtime.signals import SignalInbox

_TICK = 0.2
_PROBE_SECONDS, _PROBE_TIMEOUT, _PROBES = 2.0, 2.0, 3
_GRACE = 5.0
_STARTS = 3
_STAY = 60.0
"""The agent kills what is left before that, where it was given less time."""
_ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@dataclass(frozen=True)
class Node:
    """What this node gives, and to whom.

    Attributes:
        run: the run's directory.
        mark: of its allocation.
        slots: trials at once.
        gpus: of all slots.
        host: where the head reaches it.
    """

    run: RunDirectory
    mark: str
    slots: int
    gpus: int
    host: str

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Node:
        """Read what the agent left.

        Raises:
            UsageError: this process was not started by an agent.
        """
        missing = sorted(name for name in (names.RUN_DIR, names.NODE_SLOTS, names.HOST, MARK) if name not in env)
        if missing:
            raise UsageError(
                f"this process is no part of a search: {', '.join(missing)} not set",
                hint="it is started by an agent of a search that has several nodes, not by hand",
            )
        run, slots = RunDirectory(Path(env[names.RUN_DIR])), int(env[names.NODE_SLOTS])
        return cls(run, env[MARK], slots, slots * read_launch(run).gpus_per_worker, env[names.HOST])


def main() -> int:
    """Join as the environment says; the exit code is 1 where Ray's part here ended before the search did."""
    inbox = SignalInbox([*_ASKED, signal.SIGCHLD])
    node = Node.from_environment(os.environ)
    become_subreaper()
    watch = _Watch(inbox, RayMeeting(node.run))
    head = watch.wait_for_head()
    if head is None:
        return 0
    for attempt in range(1, _STARTS + 1):
        say(f"joining Ray at {head.address} with {node.slots} slots, attempt {attempt}")
        word, again = _join(node, head, watch)
        say(word or "the search is over")
        if not again:
            break
    return 1 if word else 0


def _join(node: Node, head: Head, watch: _Watch) -> tuple[str, bool]:
    """Be a node of Ray; what went wrong, if anything did, and whether another attempt makes sense."""
    with scratch_folder() as folder:
        raylet = start_raylet(node, head, folder)
        try:
            word = watch.until_over(raylet, head)
            if not word and not watch.over:
                _leave(raylet)
            return word, raylet.poll() is not None and bool(word) and answers(head)
        finally:
            _end_all(node)


class _Watch:
    """What ends the part of this node: a signal, the driver's word, the end of the parent, the raylet or the head."""

    def __init__(self, inbox: SignalInbox, meeting: RayMeeting) -> None:
        self._inbox, self._meeting = inbox, meeting
        self._parent = os.getppid()

    def wait_for_head(self) -> Head | None:
        """The head, once the driver has started it, which may have to fetch the data first; None: it is not needed."""
        say("waits until the driver has started Ray")
        while not self._told() and not self.over:
            if (head := self._meeting.head()) is not None:
                return head
        return None

    def until_over(self, raylet: subprocess.Popen[bytes], head: Head) -> str:
        """Wait until this node is not needed any more; empty, or what went wrong.

        Asked to stop, it stays for a while: all nodes are, and trials here write their checkpoints as the driver says.
        """
        probe_at, failed, leave_at = time.monotonic() + _PROBE_SECONDS, 0, float("inf")
        while not self.over and time.monotonic() < leave_at:
            if self._told():
                leave_at = min(leave_at, time.monotonic() + _STAY)
            if raylet.poll() is not None and not self.over:
                return f"Ray's part on this node ended with exit code {raylet.returncode}"
            if time.monotonic() >= probe_at:
                failed = 0 if answers(head) else failed + 1
                probe_at = time.monotonic() + _PROBE_SECONDS
            if failed == _PROBES and not self.over:
                return f"Ray's head at {head.address} is gone"
        return ""

    @property
    def over(self) -> bool:
        """Whether the driver needs no Ray any more."""
        return self._meeting.over()

    def _told(self) -> bool:
        return bool(self._inbox.wait(_TICK) & {*_ASKED}) or os.getppid() != self._parent


def answers(head: Head) -> bool:
    """Whether somebody listens at the head's address."""
    return listens(head.place, _PROBE_TIMEOUT)


def start_raylet(node: Node, head: Head, folder: Path) -> subprocess.Popen[bytes]:
    """Ray's processes of this node, below one that ends them; no port is fixed: another node may be on this host."""
    options = {
        "address": head.address,
        "node-ip-address": node.host,
        "num-cpus": node.slots,
        "num-gpus": node.gpus,
        "temp-dir": folder,
        "object-store-memory": OBJECT_STORE_BYTES,
    } | dict.fromkeys(_PORTS, 0)
    return subprocess.Popen(
        # Not by the script `ray`, which need not be in PATH; -P as for every program of ours.
        [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        + [f"--{name}={value}" for name, value in options.items()],
        env=os.environ | environment(head.token),
        stdin=subprocess.DEVNULL,
        preexec_fn=dies_with_parent(),
    )


_PORTS = (
    "node-manager-port",
    "object-manager-port",
    "min-worker-port",
    "max-worker-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)


def _leave(raylet: subprocess.Popen[bytes]) -> None:
    """Let Ray take its leave, so that the head gives it no trial any more and runs its own elsewhere at once."""
    raylet.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        raylet.wait(_GRACE)


def _end_all(node: Node) -> None:
    for survivor in sweep([os.getpid()], (MARK, node.mark)):
        say(f"process {survivor.pid} does not die")


if __name__ == "__main__":
    sys.exit(main())
