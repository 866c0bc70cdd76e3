"""Times as people type them on a command line: how long, when, and from when until when for a node."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestrator.simulation.truth import Drain


class SecondsType(click.ParamType, ABC):  # type: ignore[type-arg]
    """A text that stands for seconds."""

    @abstractmethod
    def parse(self, value: Any) -> float:
        """Seconds.

        Raises:
            ValueError: it is no such text; the message says what would be one.
        """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, or a refusal that names the option."""
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class DurationType(SecondsType):
    """Seconds, or a text such as 90m, 36h or 30d."""

    name = "duration"

    def parse(self, value: Any) -> float:
        """Seconds."""
        from orchestrator.spec.units import parse_duration

        return parse_duration(value)


class InstantType(SecondsType):
    """A time with its offset, such as 2026-12-01T06:00+01:00."""

    name = "time"

    def parse(self, value: Any) -> float:
        """Seconds since the epoch."""
        from orchestrator.spec.profile import parse_instant

        return parse_instant(value)


class DrainType(click.ParamType):  # type: ignore[type-arg]
    """A node, and from when until when it takes no work: `node-03:36h..44h`, or `node-03:36h..` for good."""

    name = "node:from..to"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Drain:
        """In seconds from the first job's submission."""
        from orchestrator.simulation.truth import Drain
        from orchestrator.spec.units import parse_duration

        if isinstance(value, Drain):
            return value
        node, colon, times = value.rpartition(":")
        start, dots, end = times.partition("..")
        if not (node and colon and dots):
            self.fail("expected a node and two times since the first job, such as node-03:36h..44h", param, ctx)
        try:
            drain = Drain(node, parse_duration(start), parse_duration(end) if end else math.inf)
        except ValueError as error:
            self.fail(f"{value[:60]!r}: {error}", param, ctx)
        if drain.end <= drain.start:
            self.fail(f"{value[:60]!r} ends before it starts", param, ctx)
        return drain


DURATION = DurationType()
INSTANT = InstantType()
DRAIN = DrainType()
