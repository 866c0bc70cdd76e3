"""Fair shares over the tree of teams, after Slurm's fair tree."""

from __future__ import annotations

import math
from collections.abc import Mapping

from orchestrator.scheduling.sharing.tree import ROOT, Tree


def factors(tree: Tree, used: Mapping[str, float]) -> dict[str, float]:
    """From 1 for the team that goes first down to 1 / n for the one that goes last, of n teams that have jobs or may.

    Among siblings, the level share of a team is LS = S / U, with S = weight / sum of the siblings' weights, and
    U = usage / sum of the siblings' usage, where usage is that of the team and all under it (0 / 0 and S / 0 count as
    infinite). The tree is walked depth first, higher LS first (ties by name): all of a team comes before all of its
    sibling of lower LS. A team in the order of that walk that is number i (from 0) of n has the factor (n - i) / n.
    A team that has others under it is itself a member of that group, with weight 1, for its own jobs.

    Args:
        tree: of the teams.
        used: slot-seconds of each team, without those under it; names without a record count as teams.
    """
    below = tree.children(used)
    whole = {name: used.get(name, 0.0) for names in below.values() for name in names}
    for name in list(whole):
        for above in tree.path(name)[1:]:
            whole[above] = whole.get(above, 0.0) + used.get(name, 0.0)
    ordered = list(_walk(tree, ROOT, below, whole, used))
    return {name: (len(ordered) - i) / len(ordered) for i, name in enumerate(ordered)}


def _walk(
    tree: Tree, top: str, below: Mapping[str, list[str]], whole: Mapping[str, float], own: Mapping[str, float]
) -> list[str]:
    """Names at and under `top`, those that go first at the front."""
    members = [(name, tree.weight(name), whole[name]) for name in below.get(top, ())]
    if top != ROOT:
        members.append((top, 1.0, own.get(top, 0.0)))
    weights, total = sum(weight for _, weight, _ in members), sum(usage for _, _, usage in members)
    found: list[str] = []
    for name, _, _ in sorted(members, key=lambda m: (-_level_share(m[1], weights, m[2], total), m[0])):
        found += [name] if name == top or name not in below else _walk(tree, name, below, whole, own)
    return found


def _level_share(weight: float, weights: float, usage: float, total: float) -> float:
    return math.inf if usage <= 0 else (weight / weights) / (usage / total) if weights > 0 else 0.0
