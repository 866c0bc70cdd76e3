"""What commands print: results on stdout (text, or one JSON envelope), everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from orchestrator.base.errors import OrchestratorError
from orchestrator.base.text import inert, one_line

SCHEMA = "v1"

_LONGEST_NOTE = 500
_COLOURS = {
    "succeeded": "green",
    "running": "cyan",
    "starting": "cyan",
    "resizing": "cyan",
    "recovering": "yellow",
    "cancelling": "yellow",
    "held": "yellow",
    "failed": "red",
    "lost": "red",
    "stopped": "yellow",
    "drained": "yellow",
    "maintenance": "yellow",
    "down": "red",
}


class CommandFailed(OrchestratorError):
    """A command that did its work and has to report a failure, with what it found.

    Args:
        message: what happened.
        hint: what to type next.
        data: what `--json` prints beside the error.
        code: the error's code.
        exit_code: how the process ends.
    """

    def __init__(self, message: str, *, hint: str = "", data: object = None, code: str, exit_code: int) -> None:
        super().__init__(message, hint=hint)
        self.data = data
        self.code = code
        self.exit_code = exit_code


def emit(as_json: bool, data: object, text: Callable[[], str]) -> None:
    """Print a command's result.

    Args:
        as_json: print the envelope `{"schema", "data", "error"}`.
        data: the result; pydantic models, dataclass-free JSON values, and lists and mappings of both.
        text: the result for a person; called only where it is needed.
    """
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "data": plain(data), "error": None}, indent=1))
    elif written := text():
        click.echo(written)


def emit_line(data: object) -> None:
    """One envelope on one line: what a command that follows something prints for each piece with `--json`."""
    click.echo(json.dumps({"schema": SCHEMA, "data": plain(data), "error": None}))


def report_error(error: OrchestratorError, *, as_json: bool) -> None:
    """Show an error: with `--json` as an envelope on stdout, else as text on stderr."""
    if as_json:
        view = {"code": error.code, "message": error.message, "hint": error.hint, "exit_code": error.exit_code}
        data = plain(getattr(error, "data", None))
        click.echo(json.dumps({"schema": SCHEMA, "data": data, "error": view}, indent=1))
        return
    stopped = error.code == "interrupted"
    label = click.style("interrupted", fg="yellow") if stopped else click.style("error", fg="red", bold=True)
    note(f"{label}: {inert(error.message)}")
    if error.hint:
        note(f"  {'next' if stopped else 'hint'}: {inert(error.hint)}")


def note(message: str) -> None:
    """Tell a person something that is not the result."""
    click.echo(message, err=True)


def note_lines(notes: Sequence[str]) -> list[str]:
    """What is to be known beside a result, a line each."""
    return [f"note: {one_line(said, _LONGEST_NOTE)}" for said in notes]


def plain(value: object) -> Any:
    """JSON values from pydantic models, sequences and mappings."""
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value


def state(name: str) -> str:
    """A state in its colour; the colour is dropped where the output is no terminal."""
    return click.style(name, fg=_COLOURS.get(name))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned with spaces; heads that begin with `>` belong to numbers and are aligned to the right."""
    cells = [[head.lstrip(">").upper() for head in heads], *([_cell(c) for c in row] for row in rows)]
    widths = [max(len(click.unstyle(row[i])) for row in cells) for i in range(len(heads))]
    return "\n".join(_aligned(row, widths, heads) for row in cells)


def is_terminal() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout.isatty()


def _cell(text: str) -> str:
    return text if text in {state(name) for name in _COLOURS} else one_line(text)


def _aligned(row: Sequence[str], widths: Sequence[int], heads: Sequence[str]) -> str:
    parts = []
    for text, width, head in zip(row, widths, heads, strict=True):
        gap = " " * (width - len(click.unstyle(text)))
        parts.append(gap + text if head.startswith(">") else text + gap)
    return "  ".join(parts).rstrip()
