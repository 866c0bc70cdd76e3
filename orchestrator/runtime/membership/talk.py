"""The thread that talks for a worker: finds the hub, says where the worker is, brings views, finds the next hub."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from orchestrator.rundir.layout import RunDirectory
from orchestrator.rundir.membership import Member, View
from orchestrator.runtime.logs import say
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.channel import Channel
from orchestrator.runtime.membership.hub import greeting
from orchestrator.runtime.membership.note import Note, Place
from orchestrator.runtime.membership.secret import nonce, proves, read_secret
from orchestrator.runtime.membership.terms import Term, newest_term
from orchestrator.runtime.membership.wire import WireError, pack

BEAT_SECONDS = 0.25

_AGAIN_SECONDS = (0.05, 0.05, 0.1, 0.2, 0.5)
_CONNECT_SECONDS = 2.0
_SILENT_SECONDS = 1.5
"""A hub that is silent so long may have a successor."""


def talk(run: RunDirectory, number: int, host: str, note: Note) -> None:
    """Talk until the note is closed.

    Args:
        run: where the terms and the secret lie.
        number: the worker's.
        host: where others reach it.
        note: what to say, and where to leave what was heard.
    """
    failures = 0
    while not note.closed:
        try:
            conversation = _begin(run, number, host, note)
            if conversation is not None and conversation.hold():
                failures = 0
        except Exception as error:  # a worker that nobody hears of would be taken for dead
            say(f"worker {number}: no word with the coordinator: {error!r}; trying again")
        if not note.closed:
            note.sleep(_AGAIN_SECONDS[min(failures, len(_AGAIN_SECONDS) - 1)])
        failures += 1


def _begin(run: RunDirectory, number: int, host: str, note: Note) -> _Conversation | None:
    """A connection to the hub of the newest term; None where there is none now."""
    try:
        term, secret = newest_term(run), read_secret(run)
        if term is None:
            return None
        channel = Channel(socket.create_connection((term.host, term.port), timeout=_CONNECT_SECONDS))
    except OSError:
        return None
    return _Conversation(run, number, host, note, term, secret, channel)


class _Conversation:
    """One connection to one hub."""

    def __init__(
        self, run: RunDirectory, number: int, host: str, note: Note, term: Term, secret: bytes, channel: Channel
    ) -> None:
        self._run = run
        self._number = number
        self._host = host
        self._note = note
        self._term = term
        self._secret = secret
        self._channel = channel
        self._nonce = nonce()
        self._welcome = False
        self._heard = time.monotonic()
        self._said_ready = False
        self._said_broken: e.WorkerBroken | None = None
        self._said_place: Place | None = None
        self._beaten = 0.0

    def hold(self) -> bool:
        """Talk until the connection breaks, or another hub is to be asked; whether this hub let the worker in."""
        try:
            while self._channel.open and not self._note.closed and not self._is_outdated():
                self._note.sleep(BEAT_SECONDS / 2, self._channel.socket.fileno())
                for message in self._channel.receive():
                    self._take(message)
                if self._welcome:
                    self._say()
            if self._note.closed and self._welcome:
                self._channel.send({"kind": "bye"})
        except WireError:
            self._welcome = False
        finally:
            self._channel.close()
        return self._welcome

    def _is_outdated(self) -> bool:
        now = time.monotonic()
        if now - self._heard < _SILENT_SECONDS:
            return False
        self._heard = now
        try:
            term = newest_term(self._run)
        except OSError:  # a disk that is away: the hub may be there all the same
            return False
        return not self._welcome or (term is not None and term.number > self._term.number)

    def _take(self, message: Mapping[str, Any]) -> None:
        self._heard = time.monotonic()
        match message.get("kind"):
            case "challenge":
                self._channel.send(greeting(self._secret, "worker", self._number, message.get("nonce"), self._nonce))
            case "welcome" if proves(self._secret, "hub", self._nonce, message.get("proof")):
                self._channel.trust()
                self._welcome = True
            case "view" if self._welcome:
                self._note.bring(View.from_json(message["view"]))
            case "released" if self._welcome:
                self._note.release()
            case "ping":
                return
            case _:
                raise WireError("a message that a hub does not send")

    def _say(self) -> None:
        """Send what is new, and a beat where it is time."""
        note, now = self._note, time.monotonic()
        if note.port is not None and not self._said_ready:
            self._send(e.WorkerReady(Member(self._number, self._host, note.port, os.getpid())))
            self._said_ready = True
        place = note.place
        taken = self._said_place is None or place.epoch != self._said_place.epoch
        if taken or now - self._beaten >= BEAT_SECONDS:
            self._send(e.WorkerBeat(self._number, place.step, place.phase, place.epoch))
            self._said_place, self._beaten = place, now
        if note.broken is not None and note.broken is not self._said_broken:
            self._send(note.broken)
            self._said_broken = note.broken
        if self._channel.wants_to_write:
            self._channel.flush()

    def _send(self, word: e.WorkerWord) -> None:
        self._channel.send({"kind": "word", "word": pack(word)})
