"""A process that makes parts of a dataset for the one that started it, and ends with it.

Run as `python -c "…worker import main; main(descriptor)"`: not by multiprocessing, which would run the program's main
module again. Standard input is a pipe that the builder holds open; when it closes, however the builder ended, so does
this process, at once: what it wrote is a temporary file.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from orchestrator.base.errors import DataError
from orchestrator.data.building.work import Job, Setting, make_part

_TOLD_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class Advanced:
    """So many more samples are done; and with them the part, where it is finished."""

    samples: int
    finished: bool = False


@dataclass(frozen=True)
class Failed:
    """The part cannot be made; what and what to do about it."""

    message: str
    hint: str


Message = Advanced | Failed


def main(descriptor: int) -> None:
    """Serve jobs until the builder hangs up.

    Args:
        descriptor: of the connection; a `Setting` comes first, then jobs one by one.
    """
    threading.Thread(target=_end_with_builder, daemon=True).start()
    connection: Connection[Message, Setting | Job] = Connection(descriptor)
    setting = connection.recv()
    assert isinstance(setting, Setting)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        assert isinstance(job, Job)
        connection.send(_made(setting, job, connection))


def _made(setting: Setting, job: Job, connection: Connection[Message, Setting | Job]) -> Message:
    telling = _Telling(connection)
    try:
        make_part(setting, job, telling.advance)
    except DataError as error:
        return Failed(error.message, error.hint)
    except Exception as error:
        return Failed(f"{job.shard} cannot be made: {type(error).__name__}: {error}", "this is a fault of the program")
    return Advanced(telling.untold, finished=True)


class _Telling:
    """Tells the builder now and then how many more samples are done."""

    def __init__(self, connection: Connection[Message, Setting | Job]) -> None:
        self._connection = connection
        self._told = time.monotonic()
        self.untold = 0

    def advance(self, samples: int) -> None:
        """So many more are done."""
        self.untold += samples
        if (now := time.monotonic()) - self._told >= _TOLD_EVERY_SECONDS:
            self._connection.send(Advanced(self.untold))
            self.untold, self._told = 0, now


def _end_with_builder() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)
