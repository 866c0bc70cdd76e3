"""Compares two trails step by step, and names the first difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestrator.base.errors import UsageError
from orchestrator.base.text import counted
from orchestrator.rundir.audit import StepAudit
from orchestrator.verification.trail import Trail

What = Literal["samples", "gradient", "parameters"]


@dataclass(frozen=True)
class Difference:
    """Where two trainings part.

    Attributes:
        step: its number, from 0.
        what: the first thing in it that differs.
        tensors: names of the parameters and buffers that differ after the step.
        worlds: how many workers made the step, in each of the two.
    """

    step: int
    what: What
    tensors: tuple[str, ...]
    worlds: tuple[int, int]

    def __str__(self) -> str:
        named = ", ".join(self.tensors[:5]) + (f" and {len(self.tensors) - 5} more" if len(self.tensors) > 5 else "")
        after = f"; after it these differ: {named}" if named else ""
        first, second = self.worlds
        return f"the {self.what} of step {self.step} ({counted(first, 'worker')} there, {second} here){after}"


@dataclass(frozen=True)
class Comparison:
    """Two trails side by side.

    Attributes:
        steps: how many both have.
        only: how many only the first, and only the second has.
        difference: the first one; None where all common steps are equal bit for bit.
    """

    steps: int
    only: tuple[int, int]
    difference: Difference | None

    @property
    def equal(self) -> bool:
        """Whether every common step is equal."""
        return self.difference is None


def compare(first: Trail, second: Trail) -> Comparison:
    """Compare what both have.

    Raises:
        UsageError: they have no step in common.
    """
    common = sorted(first.steps.keys() & second.steps.keys())
    if not common:
        raise UsageError(f"{first.name} and {second.name} have no step in common", hint="compare runs of one workload")
    only = (len(first.steps) - len(common), len(second.steps) - len(common))
    pairs = ((first.steps[step], second.steps[step]) for step in common)
    return Comparison(len(common), only, next((found for a, b in pairs if (found := difference(a, b))), None))


def difference(first: StepAudit, second: StepAudit) -> Difference | None:
    """How two accounts of one step differ."""
    what: What
    if (first.epoch, first.samples) != (second.epoch, second.samples):
        what = "samples"
    elif first.gradient != second.gradient:
        what = "gradient"
    elif first.parameters != second.parameters:
        what = "parameters"
    else:
        return None
    names = sorted(first.parameters.keys() | second.parameters.keys())
    differing = tuple(name for name in names if first.parameters.get(name) != second.parameters.get(name))
    return Difference(first.step, what, differing, (first.world, second.world))
