"""An outlook as the API shows it: lines of the queue, what slots do, nodes, and how teams stand."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.base.errors import NotFound
from orchestrator.control.others import HeldByOthers, Withheld
from orchestrator.planning.outlook import Outlook
from orchestrator.scheduling.cluster import Node, workers_of
from orchestrator.scheduling.explain.runs import asked_to_become
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.teams import Team
from orchestrator.spec.answers import JobLine, NodeView, SlotCount, TeamLine, WindowView
from orchestrator.store.briefs import Brief
from orchestrator.store.nodes import NodeMark

WITHHELD = "others hold slots that it needs"
MAINTENANCE = "maintenance"
"""The state of a node that is up and takes nothing new, since maintenance of it has begun."""


@dataclass(frozen=True)
class Lines:
    """Makes lines.

    Attributes:
        outlook: what is known.
        briefs: what people call the jobs.
        withheld: what others hold, where they hold anything: what is too large now may not be so for ever.
    """

    outlook: Outlook
    briefs: Mapping[str, Brief]
    withheld: Withheld | None = None

    def waiting(self, job: Job) -> JobLine:
        """Of a job that waits."""
        why = self.outlook.reason(job.id)
        return self._line(job, "held" if job.held else "queued").model_copy(
            update={
                "position": self.outlook.places.get(job.id),
                "since": max(job.submitted, job.waits_since),
                "expected_start": self.outlook.start_of(job.id),
                "reason": WITHHELD if self.withheld is not None and self.withheld.keeps(job.id) else why.short,
            }
        )

    def running(self, running: Running) -> JobLine:
        """Of a job that holds slots."""
        return self._line(running.job, "running").model_copy(
            update={
                "workers": sum(share.workers for share in running.placement),
                "nodes": dict(running.placement),
                "since": running.since,
                "expected_end": self.outlook.leaves(running),
                "reason": asked_of(running, self.briefs.get(running.job.id)),
                "pinned": running.pinned,
            }
        )

    def brief(self, job: str) -> JobLine:
        """Of a job that waits, without what takes time to work out."""
        found = self.outlook.pending[job]
        return self._line(found, "queued").model_copy(update={"position": self.outlook.places[job]})

    def _line(self, job: Job, state: str) -> JobLine:
        brief = self.briefs.get(job.id)
        return JobLine(
            job=job.id,
            name="" if brief is None else brief.name,
            owner=job.owner if brief is None else brief.owner,
            team=job.team,
            priority=job.priority,
            state=state if brief is None else brief.state,
            workers_min=job.demand.workers_min if brief is None else brief.workers_min,
            workers_max=job.demand.workers_max if brief is None else brief.workers_max,
            slots=job.demand.slots,
            since=job.submitted,
            preemptions=job.preemptions,
        )


def asked_of(running: Running, brief: Brief | None) -> str:
    """What a running job has been asked to do and has not done yet; who asks it to stop, and why, the store knows."""
    if running.keeps is None:
        return ""
    if running.stopping:
        return "was asked to stop" if brief is None else brief.reason
    return asked_to_become(running)


def node_views(
    outlook: Outlook, marks: Mapping[str, NodeMark], held: Mapping[str, HeldByOthers] = MappingProxyType({})
) -> list[NodeView]:
    """The nodes, by name; slots that others than this server hold count among theirs, and are told."""
    snapshot, tally = outlook.snapshot, _Tally.of(outlook)
    views = []
    for node in sorted(snapshot.nodes, key=lambda node: node.name):
        view = _node(node, marks.get(node.name), snapshot.slot_kind, snapshot.now)
        used, free, kept = tally.split(node, takes_work=view.state == "up")
        there = tally.jobs.get(node.name, {})
        numbers = {"used": used, "free": free, "claimed": kept, "jobs": there}
        running = (outlook.running[job] for job in there)
        numbers["unsaved"] = {run.job.id: max(0.0, snapshot.now - run.since) for run in running if not run.saves}
        if (others := held.get(node.name)) is not None:
            numbers |= {"slots": node.slots + others.slots, "held_by_others": others.slots, "others": others.text}
        views.append(view.model_copy(update=numbers))
    return views


@dataclass(frozen=True)
class _Tally:
    """Slots of each node.

    Attributes:
        held: now.
        later: by those who stay, and by those for whom something is being freed.
        jobs: workers of each job.
    """

    held: Counter[str]
    later: Counter[str]
    jobs: dict[str, dict[str, int]]

    @classmethod
    def of(cls, outlook: Outlook) -> _Tally:
        tally = cls(Counter(), Counter(), {})
        for running in outlook.snapshot.running:
            slots = running.job.demand.slots
            for name, workers in running.placement:
                tally.jobs.setdefault(name, {})[running.job.id] = workers
                tally.held[name] += workers * slots
            for name, workers in running.placement if running.keeps is None else running.keeps:
                tally.later[name] += workers * slots
        for job in outlook.snapshot.pending:
            for name, workers in job.claim or ():
                tally.later[name] += workers * job.demand.slots
        return tally

    def split(self, node: Node, *, takes_work: bool) -> tuple[int, int, int]:
        """Used, free for anybody, and unused but kept for who it was freed for."""
        used = self.held[node.name]
        unused = max(0, node.slots - used)
        if not takes_work:
            return used, 0, 0
        free = max(0, node.slots - max(used, self.later[node.name]))
        return used, free, unused - free


def slot_count(nodes: Sequence[NodeView], kind: str) -> SlotCount:
    """What the slots of all nodes do."""
    return SlotCount(
        total=sum(node.slots for node in nodes),
        used=sum(node.used for node in nodes),
        free=sum(node.free for node in nodes),
        claimed=sum(node.claimed for node in nodes),
        drained=sum(max(0, node.slots - node.held_by_others - node.used) for node in nodes if node.state != "up"),
        held_by_others=sum(node.held_by_others for node in nodes),
        kind=kind,
        cpus=sum(node.cpus for node in nodes),
        cpus_used=sum(node.cpus_used for node in nodes),
        cpus_free=sum(node.cpus_free for node in nodes),
    )


def team_lines(snapshot: Snapshot, half_life: float) -> list[TeamLine]:
    """How the teams stand, those under others counted with them; by name.

    Args:
        snapshot: the queue.
        half_life: seconds after which what a team has used counts half.
    """
    teams = known_teams(snapshot)
    used: Counter[str] = Counter()
    cores: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    waits: Counter[str] = Counter()
    recent: defaultdict[str, float] = defaultdict(float)
    for running in snapshot.running:
        for name in chain(running.job.team, teams):
            used[name] += running.slots
            cores[name] += workers_of(running.placement) * running.job.demand.cpus
            runs[name] += 1
    for job in snapshot.pending:
        waits.update(chain(job.team, teams))
    everything = 0.0
    for usage in snapshot.usage:
        counts = usage.slot_seconds * 0.5 ** (max(0.0, snapshot.now - usage.at) / half_life)
        everything += counts
        for name in chain(usage.team, teams):
            recent[name] += counts
    return [
        TeamLine(
            team=name,
            used=used[name],
            cpus_used=cores[name],
            running=runs[name],
            waiting=waits[name],
            weight=team.weight,
            share=_share(name, teams),
            recent=recent[name] / everything if everything else 0.0,
            quota=team.quota,
            limit=team.limit,
        )
        for name, team in sorted(teams.items())
    ]


def known_teams(snapshot: Snapshot) -> dict[str, Team]:
    """Those of the profile, and those that have jobs or have used something."""
    named = {job.team for job in snapshot.pending} | {running.job.team for running in snapshot.running}
    named |= {usage.team for usage in snapshot.usage}
    return {name: Team(name) for name in named} | {team.name: team for team in snapshot.teams}


def under(team: str, snapshot: Snapshot) -> set[str]:
    """A team and all under it.

    Raises:
        NotFound: nobody knows it.
    """
    teams = known_teams(snapshot)
    if team not in teams:
        shown = ", ".join(sorted(teams)[:10])
        raise NotFound(f"there is no team {team!r}", hint=f"teams: {shown}" if shown else "no team has jobs")
    return {name for name in teams if team in chain(name, teams)}


def chain(name: str, teams: Mapping[str, Team]) -> Iterable[str]:
    """A team and those above it."""
    seen: list[str] = []
    while name and name not in seen:
        seen.append(name)
        name = teams[name].parent if name in teams else ""
    return seen


def _share(name: str, teams: Mapping[str, Team]) -> float:
    share = 1.0
    for above in chain(name, teams):
        siblings = sum(team.weight for team in teams.values() if team.parent == teams[above].parent)
        share *= teams[above].weight / siblings if siblings else 0.0
    return share


def _node(node: Node, mark: NodeMark | None, kind: str, now: float) -> NodeView:
    said = mark if mark is not None and mark.state == node.state != "up" else None
    return NodeView(
        name=node.name,
        state=MAINTENANCE if node.state == "up" and node.window_at(now) is not None else node.state,
        slots=node.slots,
        used=0,
        free=0,
        kind=kind,
        gpu_type=node.gpu_type,
        rack=node.rack,
        note=node.note if said is None else said.note,
        since=None if said is None else said.since,
        by="" if said is None else said.by,
        windows=[
            WindowView(start=window.start, end=window.end if window.end < float("inf") else None, why=window.why)
            for window in node.windows
        ],
    )
