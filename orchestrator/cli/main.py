"""The entry point `orchestrator`: the table of commands, exit codes, and how every error is shown."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import ClassVar

import click

from orchestrator import __version__
from orchestrator.base.errors import OrchestratorError, UsageError
from orchestrator.cli.entry import INTERRUPTED
from orchestrator.cli.group import Entry, LazyGroup

_COMMANDS = "orchestrator.cli.commands."

DEBUG_VARIABLE = "ORCHESTRATOR_DEBUG"
"""Where it is set, an error that nobody foresaw is raised with its traceback."""


class MainGroup(LazyGroup):
    """All commands."""

    entries: ClassVar[Mapping[str, Entry]] = {
        "submit": Entry(_COMMANDS + "submit", "Queue a workload; --watch follows it to its end."),
        "plan": Entry(
            _COMMANDS + "plan", "Say what a workload would do and cost, and when it would start; starts nothing."
        ),
        "status": Entry(_COMMANDS + "status", "The server and its queue, or one job: where it stands and why."),
        "jobs": Entry(_COMMANDS + "jobs", "List jobs."),
        "queue": Entry(_COMMANDS + "queue", "Show what runs and what waits, in the policy's order."),
        "why": Entry(_COMMANDS + "why", "Say why a job waits, and what would start it."),
        "logs": Entry(_COMMANDS + "logs", "Show a job's output; -f follows it."),
        "events": Entry(_COMMANDS + "events", "Show a job's history; -f follows it."),
        "cancel": Entry(_COMMANDS + "cancel", "Stop jobs; they get time to write a checkpoint."),
        "retry": Entry(_COMMANDS + "retry", "Queue jobs again that failed or were cancelled."),
        "priority": Entry(_COMMANDS + "priority", "Move a job forwards or backwards in the queue."),
        "hold": Entry(_COMMANDS + "hold", "Keep jobs from starting."),
        "release": Entry(_COMMANDS + "release", "Let held jobs start."),
        "resize": Entry(_COMMANDS + "resize", "Give a running training another number of workers."),
        "checkpoint": Entry(_COMMANDS + "checkpoint", "Have a running training write a checkpoint now."),
        "results": Entry(_COMMANDS + "results", "Best models, metrics and files of a job."),
        "cluster": Entry(_COMMANDS + "cluster", "Look at nodes, take them out of service, put them back.", group=True),
        "simulate": Entry(_COMMANDS + "simulate", "Try policies on a recorded or made-up load."),
        "verify": Entry(
            _COMMANDS + "verify", "Prove that results do not depend on what happens to the workers.", group=True
        ),
        "data": Entry(_COMMANDS + "data", "Build, verify and look into datasets.", group=True),
        "mlflow": Entry(_COMMANDS + "mlflow", "Open MLflow's pages on what was tracked."),
        "doctor": Entry(_COMMANDS + "doctor", "Check this machine, and say what to do about what is missing."),
        "init": Entry(_COMMANDS + "init", "Lay out workloads, profiles and dataset cards to edit."),
        "schema": Entry(_COMMANDS + "schema", "Print the JSON Schema of a document, for editors."),
        "serve": Entry(_COMMANDS + "serve", "Run the server in the foreground."),
        "completion": Entry(_COMMANDS + "completion", "Print what makes a shell complete job ids and paths."),
    }


@click.command(
    cls=MainGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 the job failed, 2 usage or invalid workload, 3 server unreachable, 4 not allowed, "
    "5 not found, 6 conflict, 7 timed out, 130 interrupted (the job goes on).",
)
@click.version_option(__version__, "-V", "--version", prog_name="orchestrator")
def cli() -> None:
    """Queue, run and track vision-research workloads written in YAML."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")  # what a terminal cannot show is a question mark, and no error
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.exit(run(arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Returns:
        The exit code.
    """
    as_json = "--json" in (arguments[: arguments.index("--")] if "--" in arguments else arguments)
    try:
        code = cli.main(args=list(arguments), prog_name="orchestrator", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except OrchestratorError as error:
        return _report(error, as_json)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        return _report(_usage(error), as_json)
    except (click.Abort, KeyboardInterrupt):
        interrupted = OrchestratorError("nothing more was done")
        interrupted.code, interrupted.exit_code = "interrupted", INTERRUPTED
        return _report(interrupted, as_json)
    except BrokenPipeError:
        # The reader (`| head`) has had enough; Python must not complain about it while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        return _report(_internal(error), as_json)


def _report(error: OrchestratorError, as_json: bool) -> int:
    from orchestrator.cli.output import report_error

    report_error(error, as_json=as_json)
    return error.exit_code


def _internal(error: Exception) -> OrchestratorError:
    found = OrchestratorError(
        f"internal error: {type(error).__name__}: {error}", hint=f"{DEBUG_VARIABLE}=1 shows where; please report it"
    )
    found.code = "internal"
    return found


def _usage(error: click.ClickException) -> UsageError:
    context = getattr(error, "ctx", None)
    return UsageError(error.format_message(), hint=f"{context.command_path} --help" if context is not None else "")
