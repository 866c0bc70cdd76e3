"""Views: who shares the work of a run from one moment on. One file each, created once: `membership/view-<epoch>.json`.

The coordinator, an agent, makes the views. Creating the next one exclusively is what settles who may: of two agents
that both think they coordinate, one finds the file there already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.files import create_exclusive, read_json
from orchestrator.rundir.layout import RunDirectory

MEMBERS_PER_ALLOCATION = 1000
"""Allocation n numbers its workers from n times this on."""


@dataclass(frozen=True, order=True)
class Member:
    """One worker process of a run.

    Attributes:
        number: unique in the run and never used again, whatever becomes of the process.
        host: where it listens for the others.
        port: of its key-value store there, by which a group meets.
        pid: on its machine.
    """

    number: int
    host: str
    port: int
    pid: int


@dataclass(frozen=True)
class View:
    """Who shares the work.

    Attributes:
        epoch: from 1; rises with each view.
        members: by rising number; the first one leads, and its key-value store is where the group meets.
        leaving: numbers of members of views before that still live and go in good order.
        lost: numbers of members of the view before that are dead.
        cause: for people: `start`, `resize`, `lost`, `joined`, `left` (they were told to), `taken` (by the engine),
            `broken` (nobody is lost, but the group failed).
    """

    epoch: int
    members: tuple[Member, ...]
    leaving: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()
    cause: str = "start"

    @property
    def numbers(self) -> tuple[int, ...]:
        """The members' numbers."""
        return tuple(member.number for member in self.members)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> View:
        """The inverse of `to_json`."""
        return cls(
            epoch=int(document["epoch"]),
            members=tuple(Member(**member) for member in document["members"]),
            leaving=tuple(document["leaving"]),
            lost=tuple(document["lost"]),
            cause=str(document["cause"]),
        )


def membership_folder(run: RunDirectory) -> Path:
    """Where views, terms and the secret of a run lie."""
    return run.path / "membership"


def publish_view(run: RunDirectory, view: View) -> bool:
    """Write a view down; False where there is one of this epoch already, and whoever made it coordinates."""
    folder = membership_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    return create_exclusive(folder / f"view-{view.epoch:06d}.json", json.dumps(view.to_json()).encode())


def newest_view(run: RunDirectory) -> View | None:
    """The newest view; None before the first one."""
    for path in sorted(membership_folder(run).glob("view-*.json"), reverse=True):
        document = read_json(path)
        if document is not None:
            return View.from_json(document)
    return None
