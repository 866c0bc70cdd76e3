"""Where the workers of a run lie on a Ray cluster: on the nodes that the control plane names now, and on no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.onray.groups import NODE_LABEL, draining, nodes_there
from orchestrator.rundir.control import read_control
from orchestrator.rundir.layout import RunDirectory

_NOWHERE = "absent"
"""No node of Ray's has this identifier: what asks for it waits."""


@dataclass(frozen=True)
class Places:
    """The places of a run; plain values, for Ray Train's controller looks at them in a process of its own.

    Attributes:
        run: the run's directory.
        token: its fencing token.
        first: (node, workers) at the start, which holds as long as the control plane says nothing else.
    """

    run: str
    token: int
    first: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, run: RunDirectory, token: int, nodes: Mapping[str, int]) -> Places:
        """Those that the run was started with.

        Args:
            run: its directory.
            token: its fencing token.
            nodes: workers of each node, by Ray's identifier of it.
        """
        names = {node: name for name, node in nodes_there().items()}
        return cls(str(run.path), token, tuple((names.get(node, node), count) for node, count in nodes.items()))

    def now(self) -> tuple[tuple[str, int], ...]:
        """(node, workers) as the control plane says now."""
        with suppress(OSError, TypeError):  # what was said at the start holds
            control = read_control(RunDirectory(Path(self.run)))
            if control is not None and control.token == self.token and control.placement:
                return control.placement
        return self.first

    def there(self) -> list[str]:
        """Ray's identifier of the node of each place in which a worker can be started now.

        A node that came back under its name has another identifier; one that Ray drains gets no worker any more.
        """
        nodes, going = nodes_there(), draining()
        able = {name: node for name, node in nodes.items() if node not in going}
        return [able[name] for name, workers in self.now() if name in able for _ in range(workers)]


def selectors(there: Sequence[str], workers: int) -> list[dict[str, str]]:
    """What ties each worker to a place of its own; where there are too few, the others wait.

    Args:
        there: the node of each place.
        workers: that are to be started.
    """
    return [{NODE_LABEL: node} for node in [*there, *[_NOWHERE] * workers][:workers]]
