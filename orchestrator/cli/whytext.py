"""The answers to `why` and to "what if" as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from orchestrator.base.text import counted, one_line, span
from orchestrator.cli.human import clock, duration
from orchestrator.cli.output import state, table
from orchestrator.cli.queuetext import expected_text, wants_text
from orchestrator.spec.answers import Delay, Option, Remedy, WhatIfView, WhyView

_WAITING = frozenset({"queued", "held", "recovering"})
_LONGEST = 2000
_SHORT = 100
"""Characters of a reason that is shown on one line."""
_DELAYS_SHOWN = 3


def why_text(why: WhyView) -> str:
    """Where the job is, why, since when, until when, who is before it, and what would change it."""
    return "\n".join(_why(why))


def what_if_text(view: WhatIfView, asked: Collection[int] = ()) -> str:
    """A line for each number of workers, the earliest end first: when it would start and end, and whom it would delay.

    Args:
        view: the answer.
        asked: numbers of workers that a person asked for: these are shown even where others are better.
    """
    return "\n".join(_what_if(view, asked))


def _why(why: WhyView) -> Iterator[str]:
    yield f"{why.job}  {one_line(why.name)}  {state(why.state)}"
    yield from _field("phase", why.phase)
    yield from _reason(why.reason)
    for detail in why.details:
        yield from _field("", detail)
    if why.since is not None:
        yield from _field("since", f"{clock(why.since)} ({duration(why.now - why.since)})")
    if why.state in _WAITING or why.expected_start is not None:
        yield from _field("starts", expected_text(why.expected_start, why.now, whole=True))
    if why.workers is not None:
        yield from _field("width", _width(why))
    if why.expected_end is not None:
        yield from _field("ends", expected_text(why.expected_end, why.now, whole=True))
    if why.preemptions:
        yield from _field("preempted", f"{counted(why.preemptions, 'time')} so far")
    yield from _place(why)
    yield from _remedies(why)


def _reason(text: str) -> Iterator[str]:
    """A short one on one line; of a long one each fact on its own."""
    first, *more = [text] if len(text) <= _SHORT else text.split("; ")
    yield from _field("why", first)
    for fact in more:
        yield from _field("", fact)


def _width(why: WhyView) -> str:
    """`2 workers, of 1..4 that it asked for`."""
    low, high = why.workers_min, why.workers_max
    asked = f", of {span(low, high)} that it asked for" if low is not None and high is not None and low < high else ""
    pinned = ": a person chose that, and the policy leaves it alone" if why.pinned else ""
    return f"{counted(why.workers, 'worker')}{asked}{pinned}"


def _place(why: WhyView) -> Iterator[str]:
    if why.position is None or why.queue is None:
        return
    yield from _field("position", f"{why.position:,} of {why.queue:,}")
    for line in why.before:
        wants = wants_text(line)
        who = (
            f"{line.job}  {one_line(line.name, 30)} (team {one_line(line.team, 20)}, priority {line.priority}, {wants})"
        )
        yield from _field("before it" if line is why.before[0] else "", f"{line.position}. {who}")


def _remedies(why: WhyView) -> Iterator[str]:
    waits = why.state in _WAITING or (why.state == "starting" and why.kind != "")
    if not why.remedies and not (waits and why.position is not None):
        return
    yield ""
    if not why.remedies:
        yield "what would start it: nothing that was tried"
        return
    yield "what would start it:" if waits else "what to do:"
    for remedy in why.remedies:
        yield from _remedy(remedy)


def _remedy(remedy: Remedy) -> Iterator[str]:
    yield f"  - {one_line(remedy.text, 500)}"
    if remedy.command:
        yield f"      {one_line(remedy.command, 500)}"


def _what_if(view: WhatIfView, asked: Collection[int]) -> Iterator[str]:
    yield _whose(view)
    if view.estimate is not None:
        sure = f", give or take a factor of {math.exp(view.estimate.error):.1f}" if view.estimate.error else ""
        width = "any number of workers" if not view.estimate.exponent else "the most workers"
        yield f"  run time   {duration(view.estimate.seconds)} with {width}{sure}"
    if view.position is not None and view.live:
        yield f"  position   {view.position:,} of {view.waiting + 1:,}"
    shown = [option for option in view.options if not option.worse or option.workers_max in asked]
    ordered = _by_end(shown)
    written = view.options[0] if view.options and ordered[0] is not view.options[0] else None
    never = "not known" if view.engine else "not in sight"
    rows = [_option(option, view.now, never, ", as written" if option is written else "") for option in ordered]
    for line in table(*_columns(rows, delays=not view.engine)).splitlines():
        yield f"  {line}"
    if left_out := [str(option.workers_max) for option in view.options if option not in shown]:
        workers = "1 worker" if left_out == ["1"] else f"{', '.join(left_out)} workers"
        yield f"  left out   {workers}: others end as early and cost no more (--workers N shows it)"
    for entry in view.notes:
        yield f"  note       {one_line(entry, 500)}"


def _whose(view: WhatIfView) -> str:
    """Who tells."""
    if view.engine:
        return f"in the queue of {view.engine.capitalize()} on cluster {view.profile} (by its dry run):"
    what = f"in the queue of cluster {view.profile}" if view.live else f"on cluster {view.profile} while it is empty"
    return f"{what} (policy {view.policy}):"


def _columns(rows: Sequence[tuple[str, ...]], *, delays: bool) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads and rows; whom it would delay, an engine with a queue of its own does not tell."""
    heads = ("workers", ">slots", "starts", "ends", "it would delay", "why")
    kept = [place for place, head in enumerate(heads) if delays or head != "it would delay"]
    return tuple(heads[place] for place in kept), [tuple(row[place] for place in kept) for row in rows]


def _by_end(options: Sequence[Option]) -> list[Option]:
    """The earliest end first; the workload as it is written first of those that nobody knows the end of."""
    return sorted(options, key=lambda option: math.inf if option.end is None else option.end.at)


def _option(option: Option, now: float, never: str, remark: str) -> tuple[str, ...]:
    workers = span(option.workers_min, option.workers_max)
    if option.workers is not None and workers != str(option.workers):
        workers += f" ({option.workers} at first)"
    starts = expected_text(option.start, now, whole=True) if option.start is not None else never
    ends = "" if option.end is None else expected_text(option.end, now)
    return workers + remark, _takes(option), starts, ends, _delays(option), one_line(option.reason, 80)


def _takes(option: Option) -> str:
    """Its slots; the cores of one that takes none."""
    low, high = option.workers_min, option.workers_max
    if option.slots or not option.cpus:
        return span(low * option.slots, high * option.slots)
    return counted(span(low * option.cpus, high * option.cpus), "core")


def _delays(option: Option) -> str:
    changed = [f"stops {job}" for job in option.stopped] + [f"shrinks {job}" for job in option.shrunk]
    if not option.delayed:
        return ", ".join(changed) or "nobody"
    named = [_delay(each) for each in option.delays[:_DELAYS_SHOWN]]
    more = option.delayed - len(named)
    return ", ".join([*changed, *named]) + (f" and {more:,} more" if more > 0 else "")


def _delay(delay: Delay) -> str:
    """How much later; by time limits alone, at most so much."""
    sure = "up to " if delay.by_limit else ""
    return (
        f"{delay.job} by {'more than ' if delay.at_least else sure}{duration(delay.seconds)}"
        f"{' (time limits)' if delay.by_limit else ''}"
    )


def _field(name: str, value: str) -> list[str]:
    return [f"  {name:<10} {one_line(value, _LONGEST)}"] if value else []
