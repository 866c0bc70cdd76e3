"""What every benchmark prints: a table for people, or one JSON document."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Figure:
    """One measured figure beside its peers.

    Attributes:
        name: what was measured.
        unit: of all its values; smaller is better where it is seconds.
        ours: our median.
        peers: each peer's median, or the reason why it could not be run.
        limit: what the machine itself allows, where that is known.
        goal: in words.
        holds: computed from the measured values; None where there is no goal.
        note: what must be known to read it.
    """

    name: str
    unit: str
    ours: float
    peers: dict[str, float | str] = field(default_factory=dict)
    limit: float | None = None
    goal: str = ""
    holds: bool | None = None
    note: str = ""


def options(
    description: str,
    numbers: Mapping[str, tuple[type, str]] | None = None,
    quick: str = "end within a minute: smaller sizes, same peers",
) -> argparse.Namespace:
    """`--quick` and `--json -`, which every benchmark takes.

    Args:
        description: of the benchmark.
        numbers: options of its own, each with its type and its help; None where it is not given.
        quick: what `--quick` means, where that is not what it means elsewhere.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", choices=["-"], help="print one JSON document and nothing else")
    for name, (kind, told) in (numbers or {}).items():
        parser.add_argument(f"--{name}", type=kind, help=told)
    return parser.parse_args()


def report(figures: Sequence[Figure], *, packages: Sequence[str], as_json: bool) -> None:
    """Print the figures with the versions and the machine that they were measured on."""
    versions = {name: _version(name) for name in ("orchestrator", *packages)} | {"python": platform.python_version()}
    machine = {"cores": len(os.sched_getaffinity(0)), "system": platform.system(), "processor": platform.machine()}
    load = [round(value, 1) for value in os.getloadavg()]
    if as_json:
        document = {"figures": [asdict(f) for f in figures], "versions": versions, "machine": machine | {"load": load}}
        print(json.dumps(document, indent=1))
        return
    for figure in figures:
        verdict = "" if figure.holds is None else ("  holds" if figure.holds else "  DOES NOT HOLD")
        print(f"{figure.name} [{figure.unit}]" + (f"   goal: {figure.goal}{verdict}" if figure.goal else ""))
        print(f"  {'orchestrator':<36}{figure.ours:>12.3f}")
        if figure.limit is not None:
            print(f"  {'the limit':<36}{figure.limit:>12.3f}")
        for peer, value in figure.peers.items():
            print(f"  {peer:<36}" + (f"{value:>12.3f}" if isinstance(value, float) else f"  not run: {value}"))
        if figure.note:
            print(textwrap.fill(figure.note, 118, initial_indent="  ", subsequent_indent="  "))
    print("versions: " + ", ".join(f"{k} {v}" for k, v in versions.items()))
    print(f"machine: {machine['cores']} cores, {machine['system']} {machine['processor']}")
    print(f"load average over 1, 5 and 15 minutes, at the end: {', '.join(map(str, load))}")


def interleaved(commands: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median wall-clock seconds of each command, run in turn so that a drifting machine treats all alike."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            command()
            if number:  # the first round warms the page cache
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def process(*argv: str) -> Callable[[], object]:
    """A command as a callable; it must succeed."""
    return lambda: subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tool(name: str) -> str:
    """A console script of this environment."""
    return os.path.join(os.path.dirname(sys.executable), name)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
