"""A workload: one of the recipes that come with the package, or any command."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orchestrator.spec.base import Line, Text
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.sections import WorkloadBase

Argument = Annotated[Text, Field(max_length=20_000)]


class CommandWorkload(WorkloadBase):
    """Any program: a list of arguments, or a text that `/bin/sh` runs."""

    command: Argument | Annotated[list[Argument], Field(min_length=1, max_length=1000)]
    workdir: Line | None = Field(default=None, description="where it runs; default: where it was submitted")

    @property
    def argv(self) -> tuple[str, ...]:
        """The argument vector that is executed."""
        if isinstance(self.command, str):
            return ("/bin/sh", "-e", "-c", self.command)
        return tuple(self.command)


Workload = RegNetWorkload | CommandWorkload

RECIPES: dict[str, type[RegNetWorkload]] = {"regnet": RegNetWorkload}
"""Each recipe's name and the model of its workloads."""
