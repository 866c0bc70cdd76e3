"""One checkpoint on its way to the disk, in a thread of its own that takes part in no collective.

The workers meet through files: each writes its part and a note of what is in it; the leader waits for all notes and
writes the manifest from them. So a checkpoint survives a change of the group, and never holds up the training.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.base.errors import Fenced, OrchestratorError, TimedOut
from orchestrator.base.text import one_line
from orchestrator.training.checkpoint.items import HashingFile, Piece, write_items
from orchestrator.training.checkpoint.manifest import (
    MANIFEST,
    Chunk,
    Damaged,
    FileEntry,
    Manifest,
    TensorEntry,
    check,
    parse,
    read_tensors,
)
from orchestrator.training.checkpoint.pieces import Buffers
from orchestrator.training.checkpoint.place import Place

LOG = logging.getLogger(__name__)
_LONGEST_PAUSE = 1.0
_TURN_SECONDS = 0.01
_FAILED = "failed"
_BY_LEADER, _LOG_SAYS_WHY = "the leader gave the checkpoint up", "its log says why"


class GivenUp(OrchestratorError):
    """The checkpoint does not come about: this worker, or another one, gave it up."""

    code = "checkpoint_given_up"


@dataclass(frozen=True)
class Order:
    """What one worker has to do for one checkpoint.

    Attributes:
        place: where to.
        folder: of the checkpoint there.
        head: its manifest, still without files and tensors.
        rank: of this worker; 0 leads.
        size: how many write.
        pieces: what this one writes; copies that nobody changes.
        fence: called before each write; raises `Fenced` where a newer run owns the place.
        patience: seconds without any news of the others before this is given up.
        tidy: called by the leader when the checkpoint is there, with the names that were there before it began.
    """

    place: Place
    folder: str
    head: Manifest
    rank: int
    size: int
    pieces: Sequence[Piece]
    fence: Callable[[], None]
    patience: float
    tidy: Callable[[Sequence[str], Manifest], None]

    def name(self, rank: int, suffix: str) -> str:
        """A worker's file, `distcp` or `json`, in the folder of this attempt."""
        return f"{self.folder}/{self.head.attempt}/part-{rank}.{suffix}"


class Saving:
    """One checkpoint on its way.

    Args:
        order: what to do.
        buffers: where the copies go back to.
        before: the one that must have ended first.
    """

    def __init__(self, order: Order, buffers: Buffers, before: Saving | None) -> None:
        self._order, self._buffers, self._before = order, buffers, before
        self._given_up, self._noted = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._where: Path | str = order.place.where(order.folder)
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    @property
    def samples(self) -> int:
        """Where the checkpoint stands."""
        return self._order.head.samples

    def done(self) -> bool:
        """Whether it has ended, well or not: `wait` returns at once then."""
        return not self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """Whether it has ended, and not well, by itself: nobody here gave it up."""
        return self.done() and self._error is not None and not self._given_up.is_set()

    def owes_nothing(self) -> bool:
        """Whether this worker's part and its note are written, so that the others can do without it."""
        return self._noted.is_set() or self.done()

    def wait_for_turn(self, meanwhile: Callable[[], None]) -> None:
        """Wait until this one is not held up by another one any more.

        Args:
            meanwhile: called again and again; what it raises ends the waiting.
        """
        while (before := self._before) is not None:
            meanwhile()
            before._thread.join(_TURN_SECONDS)
            if not before._thread.is_alive():
                return

    def wait(self) -> Path | str:
        """Wait until the checkpoint is whole and durable; its folder or URL.

        Raises:
            Fenced: a newer run owns the place.
            GivenUp: by this worker or another one.
            TimedOut: nothing was heard of another worker for long.
            OSError: it could not be written.
            RemoteUnavailable: the store cannot be reached.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._where

    def abandon(self) -> None:
        """Give it up, and those that it waits for, as soon as the threads notice; what is whole already stays."""
        self._given_up.set()
        before = self._before
        if before is not None:
            before.abandon()

    def _run(self) -> None:
        if self._before is not None:
            self._before._thread.join()
            self._before = None
        try:
            _Work(self._order, self._given_up, self._noted, self._buffers).do()
        except BaseException as error:  # whatever it is, it is raised where somebody waits
            self._error = error
        finally:
            self._order = replace(self._order, pieces=())


class _Work:
    """What the thread does."""

    def __init__(self, order: Order, given_up: threading.Event, noted: threading.Event, buffers: Buffers) -> None:
        self._order, self._place = order, order.place
        self._given_up, self._noted, self._buffers = given_up, noted, buffers

    def do(self) -> None:
        """Write this worker's part; then publish, or wait until the leader has."""
        if self._order.rank == 0:
            self._lead()
        else:
            self._follow()

    def _lead(self) -> None:
        try:
            there = self._place.names()
            self._publish(self._write_part())
        except BaseException as error:
            published = self._published()
            if published is False:
                self._clear(error)
            if not published:
                raise
        self._tidy(there)

    def _follow(self) -> None:
        try:
            note = self._write_part()
            self._place.replace(self._order.name(self._order.rank, "json"), json.dumps(note).encode())
            self._noted.set()
        except BaseException as error:
            self._say_failed(error)
            if isinstance(error, FileNotFoundError) and self._place.exists(self._given_up_name):
                raise GivenUp(_BY_LEADER, hint=_LOG_SAYS_WHY) from error
            raise
        try:
            self._await_leader()  # from here on the part is the leader's to remove: it may be publishing it
        except BaseException:
            if not self._published():
                raise

    def _write_part(self) -> dict[str, Any]:
        """This worker's file; what is to be noted of it."""
        order, tensors = self._order, {}
        file = f"{order.head.attempt}/part-{order.rank}.distcp"

        def fill(into: HashingFile) -> None:
            chunks = write_items(into, file, order.pieces, between=self._go_on)
            tensors.update(_entries(order.pieces, chunks))

        self._go_on()
        order.fence()
        try:
            entry = self._place.put(order.name(order.rank, "distcp"), fill) if order.pieces else None
        finally:
            self._buffers.give_back(order.pieces)
        return {
            "files": {} if entry is None else {file: asdict(entry)},
            "tensors": {name: asdict(tensor) for name, tensor in tensors.items()},
        }

    def _publish(self, own: Mapping[str, Any]) -> None:
        order = self._order
        manifest = self._gather(own)
        order.fence()
        self._go_on()
        self._place.replace(f"{order.folder}/{MANIFEST}", manifest.dump())

    def _gather(self, own: Mapping[str, Any]) -> Manifest:
        """The manifest, from the notes of all."""
        files: dict[str, FileEntry] = {}
        tensors: dict[str, TensorEntry] = {}
        for rank in range(self._order.size):
            note = self._note(rank) if rank else json.loads(json.dumps(own))
            files |= {name: FileEntry(**entry) for name, entry in note["files"].items()}
            for name, tensor in read_tensors(note["tensors"]).items():
                before = tensors.get(name, replace(tensor, chunks=()))
                tensors[name] = replace(tensor, chunks=(*before.chunks, *tensor.chunks))
        manifest = replace(self._order.head, files=files, tensors=tensors)
        try:
            check(manifest)
        except Damaged as error:
            raise GivenUp(f"the workers' parts of the checkpoint do not fit together: {error}") from error
        return manifest

    def _note(self, rank: int) -> Mapping[str, Any]:
        """What a worker says of its part, as soon as it is there."""
        name = self._order.name(rank, "json")
        self._until(lambda: self._place.exists(name), f"worker {rank} has not written its part")
        note: Mapping[str, Any] = json.loads(self._place.read(name) or b"{}")
        if _FAILED in note or "files" not in note:
            raise GivenUp(f"worker {rank} could not write its part: {note.get(_FAILED, 'its note is gone')}")
        return note

    def _await_leader(self) -> None:
        """The leader removes the notes when it has published, and leaves a word when it has given up."""
        own, over = self._order.name(self._order.rank, "json"), self._given_up_name
        self._until(lambda: not self._place.exists(own) or self._place.exists(over), "the leader has not published it")
        if not self._published():
            raise GivenUp(_BY_LEADER, hint=_LOG_SAYS_WHY)

    def _until(self, happened: Callable[[], bool], otherwise: str) -> None:
        deadline, pause = time.monotonic() + self._order.patience, self._place.pause
        while not happened():
            self._go_on()
            if time.monotonic() > deadline:
                where = self._place.where(self._order.folder)
                raise TimedOut(
                    f"the checkpoint {where} is given up: {otherwise} for {self._order.patience:.0f} s",
                    hint="see that worker's log, and whether all workers reach this place",
                )
            self._given_up.wait(pause)
            pause = min(pause * 1.5, max(_LONGEST_PAUSE, self._place.pause))

    def _go_on(self) -> None:
        if self._given_up.is_set():
            raise GivenUp("this worker gave the checkpoint up")

    def _published(self) -> bool | None:
        """Whether the manifest of this attempt is there; None where nobody can tell now."""
        try:
            manifest = self._place.read(f"{self._order.folder}/{MANIFEST}")
            return manifest is not None and parse(manifest).attempt == self._order.head.attempt
        except Damaged:
            return False
        except (OSError, OrchestratorError):
            return None

    @property
    def _given_up_name(self) -> str:
        return f"{self._order.folder}/{self._order.head.attempt}/given-up"

    def _clear(self, error: BaseException) -> None:
        """Remove all of this attempt, and tell the others that nothing will come."""
        attempt = f"{self._order.folder}/{self._order.head.attempt}/"
        with contextlib.suppress(OSError, OrchestratorError):
            over = self._given_up_name
            if self._order.size > 1 and not isinstance(error, Fenced):
                self._place.replace(over, b"given up\n")
            mine = [name for name in self._place.names() if name.startswith(attempt)]
            self._place.delete([name for name in mine if name != over])

    def _say_failed(self, error: BaseException) -> None:
        order = self._order
        with contextlib.suppress(OSError, OrchestratorError):
            self._place.delete([order.name(order.rank, "distcp")])
            order.fence()
            note = {_FAILED: one_line(f"{type(error).__name__}: {error}")}
            self._place.replace(order.name(order.rank, "json"), json.dumps(note).encode())

    def _tidy(self, there: Sequence[str]) -> None:
        order = self._order
        try:
            self._place.delete([order.name(rank, "json") for rank in range(1, order.size)])
            order.fence()
            order.tidy(there, order.head)
        except (OSError, OrchestratorError) as error:
            LOG.warning("checkpoints that are not needed any more could not be removed: %s", error)


def _entries(pieces: Sequence[Piece], chunks: Sequence[Chunk]) -> dict[str, TensorEntry]:
    entries: dict[str, TensorEntry] = {}
    for piece, chunk in zip(pieces, chunks, strict=True):
        dtype = str(piece.values.dtype).removeprefix("torch.")
        others = entries[piece.name].chunks if piece.name in entries else ()
        entries[piece.name] = TensorEntry(dtype, piece.shape, (*others, chunk))
    return entries
