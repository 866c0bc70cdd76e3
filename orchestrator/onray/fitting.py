"""Which parts of a run on a Ray cluster come and go, and what is said where none can begin: pure, without Ray."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.onray.parts import Hosted
from orchestrator.runtime.placing import missing_of, surplus_of

_NO_DEADLINE = 3600.0


@dataclass(frozen=True)
class Sight:
    """What a driver sees of its cluster.

    Attributes:
        nodes: Ray's identifier of each node that is alive, by name.
        until: when each node that Ray drains shall be empty, in seconds since the epoch, by Ray's identifier of it;
            0: at no time.
    """

    nodes: Mapping[str, str] = field(default_factory=dict)
    until: Mapping[str, float] = field(default_factory=dict)

    def absent(self, names: Iterable[str]) -> list[str]:
        """Those that are not there."""
        return [name for name in names if name not in self.nodes]

    def draining(self, names: Iterable[str]) -> dict[str, float]:
        """Those that Ray drains, and until when."""
        return {name: self.until[self.nodes[name]] for name in names if self.nodes.get(name) in self.until}

    def left(self, identifier: str, now: float) -> float | None:
        """Seconds that what lies on a node may take to leave it; None: it may stay."""
        until = self.until.get(identifier)
        return None if until is None else max(0.0, until - now) if until else _NO_DEADLINE

    def takes(self, name: str) -> bool:
        """Whether Ray places anything new there."""
        return name in self.nodes and self.nodes[name] not in self.until


@dataclass(frozen=True)
class Word:
    """The last word on a run of which no agent was started, or none is left.

    Attributes:
        outcome: stopped, failed.
        message: for people.
        failure_class: of a failure.
        cause: of a stop.
    """

    outcome: str
    message: str
    failure_class: str | None = None
    cause: str | None = None


def to_let_go(parts: Sequence[Hosted], wanted: Mapping[str, int], working: Collection[int] | None) -> list[Hosted]:
    """Parts that nobody wants, and in which nobody works any more.

    Args:
        parts: of the run.
        wanted: workers of each node.
        working: agents that have workers; None: that cannot be told now, and none goes that has begun.
    """
    staying = _staying(parts)
    surplus = surplus_of([hosted.part for hosted in staying], wanted)
    return [
        hosted
        for hosted in staying
        if hosted.part.index in surplus
        and (hosted.state == "waiting" or (working is not None and hosted.part.index not in working))
    ]


def to_bring(
    parts: Sequence[Hosted], wanted: Mapping[str, int], sight: Sight, *, one_by_one: bool, replacements: int
) -> list[tuple[str, int]]:
    """Parts that are missing, as (node, workers).

    What dies again and again on a node that is alive all the time is not brought there for ever. A node that was lost
    with its parts has another identifier when it comes back, and begins anew.

    Args:
        parts: of the run, those included that are over.
        wanted: workers of each node.
        sight: of the cluster.
        one_by_one: each worker has a part of its own.
        replacements: so many lost parts of a node are replaced.
    """
    found: list[tuple[str, int]] = []
    for name, workers in missing_of([hosted.part for hosted in _staying(parts)], wanted).items():
        if sight.takes(name) and sum(one.lost and one.node == sight.nodes[name] for one in parts) <= replacements:
            found += [(name, 1)] * workers if one_by_one else [(name, workers)]
    return found


def stranded(parts: Sequence[Hosted], sight: Sight) -> list[Hosted]:
    """Parts that wait for room on a node that is gone: one that comes back under its name has another identifier."""
    alive = set(sight.nodes.values())
    return [hosted for hosted in parts if hosted.state == "waiting" and hosted.node not in alive]


def with_their_nodes(parts: Sequence[Hosted], sight: Sight) -> list[str]:
    """Names of the nodes that are gone, and took parts along."""
    alive = set(sight.nodes.values())
    return sorted({hosted.part.node for hosted in parts if hosted.lost and hosted.node not in alive})


def word_before(
    names: Sequence[str], sight: Sight, *, called_off: str, missing: Sequence[str], late: float | None
) -> Word | None:
    """Why nothing is to be started any more; None: it may still be.

    Args:
        names: of the nodes that the run begins on.
        sight: of the cluster.
        called_off: why somebody wants the run to stop; empty where nobody does.
        missing: nodes of places that were asked for and are not there.
        late: seconds within which all places had to be there, where these are over.
    """
    if called_off:
        return Word("stopped", "stopped before anything was started", cause=called_off)
    if drained := sight.draining(names):
        return Word("stopped", f"Ray drains {', '.join(drained)}; nothing was started", cause="preempt")
    if late is None:
        return None
    absent = sight.absent(names)
    lacks = f"{', '.join(absent)} not there" if absent else f"{', '.join(missing)} not free"
    message = f"Ray had not all places within {late:g} s ({lacks}); those that it had are given back"
    return Word("failed", message, "infrastructure")


def _staying(parts: Sequence[Hosted]) -> list[Hosted]:
    return [hosted for hosted in parts if hosted.state != "gone" and not hosted.leaves]
