"""Nodes of a search that are about to be taken away: its driver says so in the run's folder, and each trial looks."""

from __future__ import annotations

import sys
from collections.abc import Collection

from orchestrator.rundir.layout import RunDirectory


class Leaving:
    """The files `ray/leaving-<node>` of a run, a node by Ray's identifier.

    Args:
        run: the run's directory.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._folder = run.path / "ray"
        self._said: frozenset[str] = frozenset()
        self._here: str | None = None

    def say(self, nodes: Collection[str]) -> None:
        """Which nodes they are now; all others stay."""
        wanted = frozenset(nodes)
        for node in wanted - self._said:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._folder / f"leaving-{node}").touch()
        for node in self._said - wanted:
            (self._folder / f"leaving-{node}").unlink(missing_ok=True)
        self._said = wanted

    def here(self) -> bool:
        """Whether the node of this process is one of them; False where this is no process of Ray's."""
        if self._here is None:
            self._here = own_node()
        return bool(self._here) and (self._folder / f"leaving-{self._here}").exists()


def own_node() -> str:
    """Ray's identifier of the node of this process; empty: who has not imported Ray is on none."""
    ray = sys.modules.get("ray")
    return str(ray.get_runtime_context().get_node_id()) if ray is not None and ray.is_initialized() else ""
