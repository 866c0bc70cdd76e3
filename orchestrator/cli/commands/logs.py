"""`orchestrator logs`: what a job's processes wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from orchestrator.cli.connect import connect
from orchestrator.cli.human import size
from orchestrator.cli.logtail import DEFAULT_LOG, LeadersLog, Readable, choose, chunks, follow_log, log_name, of_run
from orchestrator.cli.options import JOB, json_option
from orchestrator.cli.output import CommandFailed, emit, emit_line, is_terminal, note, table
from orchestrator.client import Client
from orchestrator.spec.messages import LogFile

_SHOWN = 16


@click.command()
@click.argument("job", type=JOB)
@click.option("-f", "--follow", is_flag=True, help="Follow it while it grows, until the job ends.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="LINES", help="Only the last lines.")
@click.option("--rank", type=click.IntRange(min=0), help="The worker's number; default: the one that leads.")
@click.option("--name", help="A log by name, e.g. agent-0.log.")
@click.option("--run", help="A run, by number or identifier; default: the newest.")
@click.option("--list", "listing", is_flag=True, help="List the logs that there are.")
@json_option
def command(
    job: str,
    follow: bool,
    tail: int | None,
    rank: int | None,
    name: str | None,
    run: str | None,
    listing: bool,
    as_json: bool,
) -> None:
    """Show the output of JOB."""
    wanted = log_name(rank, name)
    client = connect()
    if listing:
        _list(client, job, as_json)
    elif follow:
        _follow(client, job, wanted, run, tail, as_json)
    else:
        files = client.logs(job)
        file = choose(files, run=run, name=_there_is(files, run, wanted, LeadersLog(client, job, run, wanted).name()))
        content = chunks(client, job, file, tail=tail)
        if as_json:
            text = b"".join(content).decode(errors="replace")
            emit(True, {"job": job, "run": file.run, "name": file.name, "text": text}, str)
        else:
            if wanted is None:
                _tell_of_earlier(file.name)
                _tell_of_others(job, file, files)
            _write(content)
            if file.bytes == 0:
                _tell_of_nothing(client, job, file)


def _list(client: Client, job: str, as_json: bool) -> None:
    files = client.logs(job)
    emit(as_json, files, lambda: table(("run", "log", ">size"), [(f.run, f.name, size(f.bytes)) for f in files]))


def _follow(client: Client, job: str, name: str | None, run: str | None, tail: int | None, as_json: bool) -> None:
    job = client.job(job).id
    log = LeadersLog(client, job, run, name)
    if name is None and not as_json:
        _tell_of_earlier(log.name())
    pieces = follow_log(client, job, log, run=run, tail=tail, tell=note)
    try:
        if as_json:
            for piece in pieces:
                emit_line({"job": job, "name": log.name(), "text": piece.decode(errors="replace")})
        else:
            _write(pieces)
    except KeyboardInterrupt:
        raise CommandFailed(
            f"no longer following; {job} goes on",
            hint=f"orchestrator logs -f {job}",
            code="interrupted",
            exit_code=130,
        ) from None


def _tell_of_earlier(log: str) -> None:
    if log != DEFAULT_LOG and log.startswith("rank-"):
        note(f"{log} is that of the worker that leads now; the first one's, with the beginning, is in --rank 0")


def _there_is(files: list[LogFile], run: str | None, wanted: str | None, leaders: str) -> str:
    """The log of who leads; where no worker has one, that of the agent, which says why none was started."""
    if wanted is not None or any(file.name.startswith("rank-") for file in of_run(files, run)):
        return leaders
    return next((file.name for file in reversed(of_run(files, run)) if file.bytes), leaders)


def _tell_of_others(job: str, shown: LogFile, files: list[LogFile]) -> None:
    """Workers that wrote something, too: each has a log of its own."""
    ranks = sorted(
        int(number)
        for file in files
        if (file.run, file.name) != (shown.run, shown.name) and file.run == shown.run and file.bytes
        if (number := file.name.removeprefix("rank-").removesuffix(".log")).isdigit()
    )
    if not shown.name.startswith("rank-"):
        note(f"no worker of {shown.run} was started; this is {shown.name}")
    if not ranks or shown.name != DEFAULT_LOG:
        return
    named = ", ".join(str(rank) for rank in ranks[:_SHOWN]) + (", …" if len(ranks) > _SHOWN else "")
    others = "another worker has a log of its own" if len(ranks) == 1 else f"{len(ranks)} others have logs of their own"
    note(f"this is {shown.name} of {shown.run}; {others}: orchestrator logs {job} --rank N, N being {named}")


def _tell_of_nothing(client: Client, job: str, file: LogFile) -> None:
    leader = LeadersLog(client, job, file.run).name()
    follower = file.name.startswith("rank-") and file.name != leader and client.job(job).kind != "command"
    why = f": only the worker that leads writes, which is in {leader}" if follower else ""
    note(f"no output yet: {file.name} of {file.run} is empty{why}")


def _write(pieces: Iterable[bytes]) -> None:
    """Bytes as they are into a file or pipe; inert text onto a terminal."""
    readable: Callable[[bytes], str | bytes] = Readable() if is_terminal() else bytes
    for piece in pieces:
        click.echo(readable(piece), nl=False)
