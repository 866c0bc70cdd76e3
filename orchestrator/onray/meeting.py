"""Where the nodes of a private Ray meet: a folder of the run that holds the head's address and token, and the end.

The token lets whoever has it execute code on every node, so that only the account of the run may read it.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from orchestrator.base.errors import Conflict
from orchestrator.base.files import create_exclusive, read_json
from orchestrator.rundir.layout import RunDirectory

_NODES_WITHIN = 60.0
"""Who comes later is used all the same."""
_TICK = 0.2


@dataclass(frozen=True)
class Head:
    """Ray's head, which the driver has started on its node.

    Attributes:
        address: `host:port` of its control store.
        token: that Ray asks of everybody who talks to it.
    """

    address: str
    token: str

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.address.rpartition(":")
        return host, int(port)


class RayMeeting:
    """The folder `ray` of a run.

    Args:
        run: the run's directory.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._folder = run.path / "ray"

    def announce(self, head: Head) -> None:
        """Say where the head is.

        Raises:
            Conflict: a head of this run has been announced before.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not create_exclusive(self._folder / "head.json", json.dumps(asdict(head)).encode(), mode=0o600):
            raise Conflict(
                f"{self._folder}: the run has a head of Ray already",
                hint="one driver starts it, once in a run; retry the job to get another run",
            )

    def head(self) -> Head | None:
        """The head; None where there is none yet."""
        document = read_json(self._folder / "head.json")
        return None if document is None else Head(str(document["address"]), str(document["token"]))

    def end(self) -> None:
        """Tell the other nodes that Ray is not needed any more."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._folder / "over").touch()

    def over(self) -> bool:
        """Whether Ray is not needed any more."""
        return (self._folder / "over").exists()


@contextmanager
def told_to_go(meeting: RayMeeting | None) -> Iterator[None]:
    """In the end the other nodes are told that they may go, whether or not they were needed."""
    try:
        yield
    finally:
        if meeting is not None:
            meeting.end()


def gather(slots: int, should_stop: Callable[[], bool], waiting: Callable[[int], object] | None = None) -> int | None:
    """Wait until the nodes of a run are in the Ray that this process is connected to, not for ever.

    Args:
        slots: of all nodes, each of which is a CPU of Ray's.
        should_stop: whether the run is to stop.
        waiting: told again and again how many are there.

    Returns:
        Those that are there; None where the run is to stop.
    """
    deadline = time.monotonic() + _NODES_WITHIN
    while (there := slots_there()) < slots and time.monotonic() < deadline:
        if should_stop():
            return None
        if waiting is not None:
            waiting(there)
        time.sleep(_TICK)
    return there


def slots_there() -> int:
    """What Ray has, of all nodes that are there."""
    import ray

    return int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]


def listens(place: tuple[str, int], seconds: float) -> bool:
    """Whether somebody takes a connection at a host's port within so many seconds."""
    try:
        socket.create_connection(place, seconds).close()
    except OSError:
        return False
    return True
