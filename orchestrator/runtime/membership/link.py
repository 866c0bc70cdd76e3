"""A worker's place in its run, as its training thread sees it; a thread of its own talks for it (`talk`)."""

from __future__ import annotations

import threading
from dataclasses import replace

from orchestrator.rundir.layout import RunDirectory
from orchestrator.rundir.membership import View
from orchestrator.runtime.membership.events import WorkerBroken
from orchestrator.runtime.membership.note import Note
from orchestrator.runtime.membership.protocol import Phase
from orchestrator.runtime.membership.talk import talk

_LONGEST_REASON = 500


class Link:
    """The implementation of `protocol.Membership` for a worker that an agent started.

    Make it early, before what takes long: from then on the run knows that this process lives.

    Args:
        run: the run.
        number: this worker's.
        host: where its key-value store will listen.
    """

    def __init__(self, run: RunDirectory, number: int, host: str = "127.0.0.1") -> None:
        self.number = number
        self._note = Note()
        self._was_member = False
        self._thread = threading.Thread(
            target=talk, args=(run, number, host, self._note), name="membership", daemon=True
        )
        self._thread.start()

    def ready(self, port: int) -> None:
        """This worker is warm; its key-value store listens at `port`."""
        self._note.port = port
        self._note.wake_talker()

    def next_view(self, after: int) -> View | None:
        """Wait for the newest view with an epoch above `after`.

        Returns:
            A view that has this worker among its members or among those who leave. None: it was released, or there is
            a newer view that has no place for it any more, or the link was closed.
        """
        note = self._note
        with note.changed:
            while not note.closed:
                view = note.view if note.view is not None and note.view.epoch > after else None
                if view is not None and self.number in (*view.numbers, *view.leaving):
                    break
                if note.released or (view is not None and self._was_member):
                    return None
                note.changed.wait()
            else:
                return None
        self._was_member = True
        note.place = replace(note.place, epoch=view.epoch)
        note.wake_talker()
        return view

    def newest_epoch(self) -> int:
        """The newest view's epoch; 0 before the first."""
        view = self._note.view
        return 0 if view is None else view.epoch

    def broken(self, epoch: int, reason: str) -> None:
        """The group of view `epoch` broke."""
        self._note.broken = WorkerBroken(self.number, epoch, reason[:_LONGEST_REASON])
        self._note.wake_talker()

    def beat(self, step: int, phase: Phase) -> None:
        """Note where the training thread is; the next beat says it."""
        self._note.place = replace(self._note.place, step=step, phase=phase)

    def close(self) -> None:
        """End the thread and its connection; the run notices at once."""
        with self._note.changed:
            self._note.closed = True
            self._note.changed.notify_all()
        self._note.wake_talker()
        self._thread.join()
        self._note.destroy()
