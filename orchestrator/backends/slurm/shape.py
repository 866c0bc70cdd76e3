"""How an allocation lies on nodes: so many nodes, and so many workers on each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from orchestrator.backends.protocol import Needs, Terms
from orchestrator.backends.slurm.inventory import NodeRow
from orchestrator.base.errors import LaunchRefused
from orchestrator.rundir.launch import Launch

MOST_NODES = 100
"""Of one allocation: its agents are numbered from that of the allocation on, and growth begins with number 100."""


@dataclass(frozen=True)
class Shape:
    """What Slurm is asked for; it gives one task, our agent, to each node.

    Attributes:
        nodes_min: at least.
        nodes_max: at most.
        per_node: workers on each node.
        tasks: of an array: so many such shapes, each of which starts by itself; 0: it is none.
    """

    nodes_min: int
    nodes_max: int
    per_node: int
    tasks: int = 0

    @property
    def nodes(self) -> str:
        """As sbatch takes it: `2`, or `1-4`."""
        return str(self.nodes_min) if self.nodes_min == self.nodes_max else f"{self.nodes_min}-{self.nodes_max}"

    @property
    def text(self) -> str:
        """For people: `2 nodes x 4 workers`."""
        many = self.nodes.replace("-", " to ") + (" node" if self.nodes_max == 1 else " nodes")
        text = f"{many} x {self.per_node} worker{'' if self.per_node == 1 else 's'}"
        return f"an array of {self.tasks} tasks, each {text}" if self.tasks else text

    @property
    def workers(self) -> int:
        """At most, in all."""
        return self.nodes_max * self.per_node * max(1, self.tasks)


@dataclass(frozen=True)
class Worker:
    """What one worker takes of a node.

    Attributes:
        gpus: at least.
        cpus: at least.
        memory: bytes; 0: nobody said.
    """

    gpus: int
    cpus: int
    memory: int

    @classmethod
    def of(cls, launch: Launch, needs: Needs) -> Worker:
        """A worker of a launch."""
        return cls(launch.gpus_per_worker, launch.cpus_per_worker, needs.memory)

    @property
    def text(self) -> str:
        """For people: `1 GPU, 4 cores, 16 GiB`."""
        parts = [f"{self.gpus} GPU{'' if self.gpus == 1 else 's'}"] if self.gpus else []
        parts.append(f"{self.cpus} core{'' if self.cpus == 1 else 's'}")
        return ", ".join([*parts, f"{self.memory / 2**30:.3g} GiB"] if self.memory else parts)


def suitable(nodes: Iterable[NodeRow], needs: Needs, gres: str) -> Iterator[NodeRow]:
    """Nodes where its workers may lie."""
    wanted = {kind.casefold() for kind in needs.gpu_types}
    for node in nodes:
        kinds = {kind.casefold() for kind in gpu_types_of(node, gres)}
        if node.name not in needs.not_on and (not wanted or (kinds and kinds <= wanted)):
            yield node


def gpu_types_of(node: NodeRow, gres: str) -> tuple[str, ...]:
    """The types of its GPUs, as Slurm spells them; empty where it knows none."""
    prefix = f"{gres}:"
    return tuple(name.removeprefix(prefix) for name, count in node.gres if name.startswith(prefix) and count)


def room_on(node: NodeRow, worker: Worker, gres: str) -> int:
    """How many workers an empty node holds."""
    rooms = [node.cpus // worker.cpus]
    if worker.gpus:
        rooms.append(dict(node.gres).get(gres, 0) // worker.gpus)
    if worker.memory:
        rooms.append(node.memory // worker.memory)
    return min(rooms)


def shape_of(
    terms: Terms,
    launch: Launch,
    nodes: Sequence[NodeRow] | None,
    *,
    gres: str,
    most: int | None,
    partition: str = "",
) -> Shape:
    """The shape of an allocation.

    Workers lie packed on as few nodes as hold them, or, where they may lie anywhere, as spread as there are nodes: one
    worker finds room sooner than many. A gang has exactly its fewest workers, where nodes of equal shares come to that
    number, else as few more as there are, never above its most. One that takes what it gets (between two numbers, not
    elastic) asks for a range of nodes, each with no more workers than the fewest that it wants. Workers that know
    nothing of each other are an array.

    Args:
        terms: how many workers.
        launch: what each of them takes.
        nodes: of the partition, whether they are up or not; None: Slurm does not say, and all fit on one.
        gres: what a GPU is called among the generic resources.
        most: nodes of one job of the partition; None: no limit.
        partition: its name.

    Raises:
        LaunchRefused: it never fits.
    """
    tasks = terms.workers_max if launch.array else 0
    if nodes is None:
        return Shape(1, 1, 1 if tasks else terms.workers_min, tasks)
    worker = Worker.of(launch, terms.needs)
    usable = [*suitable(nodes, terms.needs, gres)]
    rooms = sorted((room_on(node, worker, gres) for node in usable), reverse=True)
    rooms = [room for room in rooms[: min(MOST_NODES, MOST_NODES if most is None else most)] if room > 0]
    if tasks and rooms:
        return Shape(1, 1, 1, tasks)
    found = _growth(terms, rooms) if terms.growth else _fitting(terms, launch, rooms)
    if found is None:
        raise _does_not_fit(terms, worker, rooms, _largest(usable, worker, gres, partition))
    return found


def _growth(terms: Terms, rooms: Sequence[int]) -> Shape | None:
    """One node, with as many workers as it holds of those that are missing; the others come with the next one."""
    return Shape(1, 1, min(terms.workers_max, rooms[0])) if rooms else None


def _fitting(terms: Terms, launch: Launch, rooms: Sequence[int]) -> Shape | None:
    if terms.workers_min < terms.workers_max and not launch.elastic:
        return _range(terms, rooms)
    return _gang(terms, rooms, terms.workers_min) or _gang(terms, rooms, terms.workers_max)


def _gang(terms: Terms, rooms: Sequence[int], most: int) -> Shape | None:
    """Equal shares on one number of nodes, `most` workers in all at most."""
    numbers = range(1, min(terms.workers_min, len(rooms)) + 1)
    for count in reversed(numbers) if terms.needs.anywhere else numbers:
        each = -(-terms.workers_min // count)
        if each <= rooms[count - 1] and count * each <= most:
            return Shape(count, count, each)
    return None


def _range(terms: Terms, rooms: Sequence[int]) -> Shape | None:
    """A range of nodes."""
    numbers = range(1, min(terms.workers_min, rooms[0] if rooms else 0) + 1)
    for each in numbers if terms.needs.anywhere else reversed(numbers):
        fewest = -(-terms.workers_min // each)
        usable = sum(room >= each for room in rooms)
        if fewest <= usable and fewest * each <= terms.workers_max:
            return Shape(fewest, min(terms.workers_max // each, usable), each)
    return None


def _largest(nodes: Sequence[NodeRow], worker: Worker, gres: str, partition: str) -> str:
    """What the largest node has, in what the worker asks for first; empty where there is none."""
    if not nodes:
        return ""

    def size(node: NodeRow) -> tuple[int, int, int]:
        return dict(node.gres).get(gres, 0) if worker.gpus else 0, node.cpus, node.memory

    node = max(nodes, key=size)
    has = Worker(dict(node.gres).get(gres, 0), node.cpus, node.memory)
    return f"the largest node{f' of partition {partition}' if partition else ''} has {has.text}"


def _does_not_fit(terms: Terms, worker: Worker, rooms: Sequence[int], largest: str) -> LaunchRefused:
    if not rooms:
        has = largest or "none of the nodes may be used"
        return LaunchRefused(
            f"a worker needs {worker.text}, and no node that it may use holds even one: {has}",
            hint="ask for less of each worker, for other nodes or GPU types, or for another partition",
        )
    many = f"{terms.workers_min} worker{'' if terms.workers_min == 1 else 's'} of {worker.text} each"
    return LaunchRefused(
        f"it needs {many}, and its nodes hold {sum(rooms)}, at most {rooms[0]} on one, in equal shares; {largest}",
        hint="ask for fewer workers, or for a number that splits evenly over nodes",
    )
