"""Reads a trace in whatever layout it is: the header tells which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.simulation.formats import LAYOUTS
from orchestrator.simulation.traces import helios, pai2020, pai2023, philly, plain
from orchestrator.simulation.traces.files import opened
from orchestrator.simulation.traces.rows import header
from orchestrator.simulation.traces.trace import Trace

_TABLES: Mapping[str, tuple[frozenset[str], Callable[[Path, int], Trace]]] = {
    "plain": (plain.COLUMNS, plain.read),
    "helios": (helios.COLUMNS, helios.read),
    "pai2023": (pai2023.COLUMNS, pai2023.read),
    "pai2020": (pai2020.MERGED, pai2020.read_merged),
}
_NAMES = ("cluster_job_log", "cluster_job_log.json", "cluster_log.csv", "cluster_log.csv.gz")


def read_trace(path: Path, layout: str | None = None, *, skip_bad: int = 0) -> Trace:
    """The jobs of a trace.

    Args:
        path: a file, or a folder as the trace was published.
        layout: one of LAYOUTS; None: told by the header.
        skip_bad: so many bad rows are tolerated.

    Raises:
        UsageError: it cannot be read, its layout is unknown, or it has more bad rows than are tolerated.
    """
    if path.is_dir():
        tables = any((path / name).is_file() for name in (pai2020.JOB_TABLE, pai2020.JOB_TABLE + ".gz"))
        if layout == "pai2020" or (layout is None and tables):
            return pai2020.read(path, skip_bad)
        inside = next((path / name for name in _NAMES if (path / name).is_file()), None)
        if inside is None:
            raise UsageError(f"the folder {path} holds no trace that is known", hint="name the file itself")
        path = inside
    if not path.is_file():
        raise UsageError(
            f"there is no trace {str(path)[:200]!r}", hint="--trace takes a file, or a folder of its tables"
        )
    found = layout or _recognise(path)
    if found == "philly":
        return philly.read(path, skip_bad)
    if found == "pai2020" and path.name.startswith("pai_job_table"):
        return pai2020.read(path.parent, skip_bad)
    columns, read = _TABLES[found]
    missing = sorted(columns - set(header(path)))
    if missing:
        raise UsageError(
            f"{path}:1: a {found} trace has the columns {', '.join(missing)}; this file does not",
            hint="leave --format out to have the layout told by the header",
        )
    return read(path, skip_bad)


def _recognise(path: Path) -> str:
    if path.name.startswith("pai_job_table"):
        return "pai2020"
    with opened(path) as file:
        if file.read(64).lstrip()[:1] in {"[", "{"}:
            return "philly"
    columns = set(header(path))
    if not columns:
        raise UsageError(
            f"the trace {str(path)[:200]!r} is empty", hint=f"--format {'|'.join(LAYOUTS)}; docs/simulation.md"
        )
    found = next((name for name, (needed, _) in _TABLES.items() if needed <= columns), None)
    if found is None and (absent := plain.COLUMNS - columns) < plain.COLUMNS:
        raise UsageError(
            f"{path}:1: a plain trace has no column {', '.join(sorted(absent))} here",
            hint=f"it needs {', '.join(sorted(plain.COLUMNS))}; --format names another layout",
        )
    if found is None and columns >= pai2023.UNTIMED:
        raise UsageError(
            f"{path}:1: this list of pods has no times, so that it cannot be simulated",
            hint="openb_pod_list_default.csv and openb_pod_list_gpuspec*.csv have them",
        )
    if found is None:
        raise UsageError(
            f"{path}:1: these columns belong to no known trace: {', '.join(sorted(columns))[:200]}",
            hint=f"--format {'|'.join(LAYOUTS)} says what it is meant to be; "
            "the plain one has the columns job_id,submit_s,num_gpus,duration_s",
        )
    return found
