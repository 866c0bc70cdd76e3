"""`orchestrator doctor`: what is missing on this machine, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict

import click

from orchestrator.cli.checks import Check, all_checks
from orchestrator.cli.options import json_option
from orchestrator.cli.output import CommandFailed, emit

_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("PROBLEM", "red")}


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Check this machine, and say for each finding what to do."""
    checks = all_checks()
    data = [asdict(check) for check in checks]
    problems = [check.name for check in checks if check.verdict == "problem"]
    if not as_json or not problems:
        emit(as_json, data, lambda: "\n".join(_line(check) for check in checks))
    if problems:
        message = f"{len(problems)} of {len(checks)} checks found a problem: {', '.join(problems)}"
        raise CommandFailed(message, data=data, code="problems", exit_code=1)


def _line(check: Check) -> str:
    word, colour = _MARKS[check.verdict]
    line = f"{click.style(f'{word:<8}', fg=colour)} {check.name:<16} {check.found}"
    return f"{line}\n{'':<26}do: {check.remedy}" if check.remedy else line
