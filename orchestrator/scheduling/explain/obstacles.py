"""What is in the way of a demand on the nodes: it is too large, nodes take no work, or what is free is not enough."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from orchestrator.base.text import binary, counted
from orchestrator.lifecycle.reasons import Waiting, slots, utc
from orchestrator.scheduling.cluster import ANYWHERE, Demand, Node
from orchestrator.scheduling.explain.ends import Opening
from orchestrator.scheduling.explain.floor import Count
from orchestrator.scheduling.explain.scene import Scene
from orchestrator.scheduling.explain.words import Takes, kind_of_node, names, needs


class Why(NamedTuple):
    """A reason, the same for all jobs that ask for the same.

    Attributes:
        kind: what is waited for.
        text: for people.
        short: the same in a few words.
        until: when the wait ends by itself.
        expected: when there should be room.
    """

    kind: Waiting
    text: str
    short: str
    until: float | None = None
    expected: float | None = None


def obstacle(scene: Scene, demand: Demand, takes: Takes | None) -> Why | None:
    """What is in the way of the fewest workers of a demand; None where there is room for them.

    Args:
        scene: how things stand.
        demand: what is asked for.
        takes: how long a run may take: it does not start where maintenance begins before; None: none is ahead.
    """
    until = scene.horizon(takes)
    count = scene.floor.count(demand, until)
    if scene.after.max_workers is not None and demand.workers_min > scene.after.max_workers:
        text = f"needs {counted(demand.workers_min, 'worker')}; no run gets more than {scene.after.max_workers}"
        return Why(Waiting.TOO_LARGE, text, "too many workers")
    if count.enough:
        return None
    if not scene.whole.count(demand, 0.0).enough:
        return _too_large(scene, demand)
    if not scene.empty.count(demand, until).enough:
        return _nodes(scene, demand, until, takes)
    opening = scene.ends.opening(demand, until)
    return _shortage(scene, demand, until, takes, count, opening)


def _too_large(scene: Scene, demand: Demand) -> Why:
    count = scene.whole.count(demand, 0.0)
    asked = needs(demand, count, scene.slot_kind)
    accepted = kind_of_node(demand.constraints)
    if not count.nodes:
        return Why(Waiting.TOO_LARGE, f"{asked}; there is no node{accepted}", f"no node{accepted}")
    accepting = [scene.whole.nodes[name] for name in scene.whole.accepts(demand, 0.0)]
    most = max(node.slots for node in accepting)
    if count.largest == 0:
        beside = _beside(demand)
        text = f"{asked}{beside}; the largest node{accepted} has {_size(accepting, scene.slot_kind)}"
        return Why(Waiting.TOO_LARGE, text, f"a worker is too large for a node of {most}")
    nodes = f"{count.nodes} node{'' if count.nodes == 1 else 's'}{accepted}"
    rack = " and no rack holds it" if demand.constraints.same_rack else ""
    text = f"{asked}{_beside(demand)}; there are {slots(count.free, scene.slot_kind)} in all on {nodes}{rack}"
    return Why(Waiting.TOO_LARGE, text, "too large for the cluster")


def _beside(demand: Demand) -> str:
    parts = [f"{demand.cpus} cores"] if demand.cpus else []
    parts += [binary(demand.memory)] if demand.memory else []
    each = " for each worker" if demand.workers_min > 1 else ""
    return f" with {' and '.join(parts)}{each}" if parts else ""


def _size(found: list[Node], kind: str) -> str:
    parts = [slots(max(node.slots for node in found), kind)]
    parts += [f"{cpus} cores"] if (cpus := max(node.cpus for node in found)) else []
    parts += [binary(memory)] if (memory := max(node.memory for node in found)) else []
    return ", ".join(parts)


def _nodes(scene: Scene, demand: Demand, until: float, takes: Takes | None) -> Why:
    """It would fit if nodes that it accepts, and that take no work, did."""
    accepted = set(scene.empty.accepts(demand, until))
    away = [scene.floor.nodes[name] for name in scene.whole.accepts(demand, 0.0) if name not in accepted]
    said = [_away(node, scene.now, until, takes) for node in away]
    usable = sum(scene.floor.nodes[name].slots for name in accepted)
    whole = scene.whole.count(demand, 0.0)
    text = f"{needs(demand, whole, scene.slot_kind)}; {usable} can be used now: {names(said)}"
    back = [_back(node, scene.now, until) for node in away]
    known = min((at for at in back if math.isfinite(at)), default=None)
    planned = all(node.state == "up" for node in away)
    short = f"{'maintenance of ' if planned else ''}{names([node.name for node in away], 1)}"
    return Why(Waiting.NODES, text, short if planned else f"{short} out of service", expected=known)


def _away(node: Node, now: float, until: float, takes: Takes | None) -> str:
    if node.state != "up":
        return f"{node.name} is {node.state}" + (f" ({node.note})" if node.note else "")
    window = next(w for w in node.windows if w.start < max(until, now) and now < w.end)
    over = "" if math.isinf(window.end) else f" until {utc(window.end)}"
    if window.start <= now:
        why = "" if window.why == "maintenance" else f" ({window.why})"
        return f"{node.name} is in maintenance{why}{over}"
    planned = f"{window.of(node.name)} begins at {utc(window.start)}"
    ends = "" if math.isinf(window.end) else f" and ends at {utc(window.end)}"
    return f"{planned}{ends}" + (f": {takes.meets}" if takes is not None else "")


def _back(node: Node, now: float, until: float) -> float:
    if node.state != "up":
        return math.inf
    return max((w.end for w in node.windows if w.start < max(until, now) and now < w.end), default=now)


def _shortage(
    scene: Scene, demand: Demand, until: float, takes: Takes | None, count: Count, opening: Opening | None
) -> Why:
    """The nodes could hold it; what is free on them cannot."""
    asked = needs(demand, count, scene.slot_kind)
    kind, text, short = _which(scene, demand, until, count)
    more, expected = "; nobody knows when more will be", None
    if kind in {Waiting.MEMORY, Waiting.CPUS}:
        more = ""
    elif opening is not None and opening.jobs:
        expected = opening.at
        when = (
            f"at the latest by {utc(opening.at)} (time limit)" if opening.latest else f"expected at {utc(opening.at)}"
        )
        more = f"; {opening.slots} more {when} from {names(opening.jobs)}"
        if takes is not None and (over := _maintenance_before(scene, demand, until, takes, opening)) is not None:
            expected, more = over, f"{more}, and maintenance keeps it until {utc(over)}"
    return Why(kind, f"{asked}{text}{scene.kept}{more}", short, expected=expected)


def _maintenance_before(scene: Scene, demand: Demand, until: float, takes: Takes, opening: Opening) -> float | None:
    """When the maintenance is over that a run would meet if it started when there should be room; None: it does not."""
    later = opening.at + takes.seconds
    if scene.empty.count(demand, later).enough:
        return None
    accepted = [scene.floor.nodes[name] for name in scene.empty.accepts(demand, until)]
    ends = [w.end for node in accepted for w in node.windows if scene.now < w.start < later and w.end > opening.at]
    return min((end for end in ends if math.isfinite(end)), default=None)


def _which(scene: Scene, demand: Demand, until: float, count: Count) -> tuple[Waiting, str, str]:
    wanted = demand.workers_min * demand.slots
    if _room(scene, replace(demand, cpus=0, memory=0), until):
        return _beside_slots(scene, demand, until, count)
    if demand.constraints != ANYWHERE and _room(scene, replace(demand, constraints=ANYWHERE), until):
        return _constrained(scene, demand, until, count)
    if count.free < wanted:
        return Waiting.SLOTS, f"; {count.free} free", f"needs {wanted}, {count.free} free"
    if demand.packed and demand.workers_min > count.largest:
        whole = f"{count.whole} whole node{'' if count.whole == 1 else 's'}"
        return Waiting.FRAGMENTED, f"; {count.free} free, {whole}", f"needs whole nodes, {count.whole} free"
    node, workers = count.best
    most = max(0, scene.floor.free[node].slots) if demand.workers_min == 1 else workers * demand.slots
    text = f"; {count.free} free, at most {most} on one" + (f" ({node})" if most else "")
    return Waiting.FRAGMENTED, text, f"needs {wanted} together, at most {most} are"


def _beside_slots(scene: Scene, demand: Demand, until: float, count: Count) -> tuple[Waiting, str, str]:
    """There are slots enough, and too little beside them."""
    kind = Waiting.MEMORY if _room(scene, replace(demand, memory=0), until) else Waiting.CPUS
    one = demand.packed and demand.workers_min <= count.largest
    fits = count.best[1] if one else count.fitting
    what = "memory" if kind is Waiting.MEMORY else "cores"
    fits_text = (
        f"{what} for {fits} of {demand.workers_min} workers"
        if fits
        else f"too {'little' if what == 'memory' else 'few'} {what} for one worker"
    )
    text = f"{_beside(demand)}; {count.free} free, with {fits_text} beside them"
    return kind, text, "too little memory" if kind is Waiting.MEMORY else "too few cores"


def _constrained(scene: Scene, demand: Demand, until: float, count: Count) -> tuple[Waiting, str, str]:
    elsewhere = scene.floor.count(replace(demand, constraints=ANYWHERE), until).free - count.free
    accepted = kind_of_node(demand.constraints)
    if demand.constraints.same_rack and count.free >= demand.workers_min * demand.slots:
        return Waiting.CONSTRAINTS, f"; {count.free} free, at most {count.together} in one rack", "no one rack has room"
    only = f"only {count.nodes} node{' is' if count.nodes == 1 else 's are'}{accepted}, "
    text = f"; {'' if demand.constraints.not_on else only}{count.free} free there, {max(0, elsewhere)} elsewhere"
    return Waiting.CONSTRAINTS, text, f"nodes{accepted} are full"


def _room(scene: Scene, demand: Demand, until: float) -> bool:
    return scene.floor.count(demand, until).enough
