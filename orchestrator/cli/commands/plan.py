"""`orchestrator plan`: what a workload would do and cost, and when it would start; nothing is started."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.base.errors import OrchestratorError, UsageError
from orchestrator.base.text import counted
from orchestrator.cli.options import WORKLOAD, json_option, set_option
from orchestrator.cli.output import emit, note

if TYPE_CHECKING:
    from orchestrator.backends.protocol import Backend
    from orchestrator.cli.source import Source
    from orchestrator.client import Client
    from orchestrator.planning.document import PlanDocument
    from orchestrator.spec.answers import EstimateView, WhatIfView
    from orchestrator.spec.profile import ClusterProfile
    from orchestrator.spec.workload import Workload

_TIMEOUT = 15.0


@click.command()
@click.argument("file", type=WORKLOAD)
@set_option
@click.option("--cluster", metavar="NAME", help="A cluster profile.  [default: what is, or was last, served]")
@click.option(
    "--workers",
    "widths",
    metavar="N",
    multiple=True,
    type=click.IntRange(1, 1_000_000),
    help="Also as if it asked for exactly so many workers; may be repeated.",
)
@click.option("--offline", is_flag=True, help="Ask no server: as if the cluster were empty; Slurm is asked itself.")
@json_option
def command(
    file: str, overrides: tuple[str, ...], cluster: str | None, widths: tuple[int, ...], offline: bool, as_json: bool
) -> None:
    """Say what the workload in FILE (`-`: standard input) would sample, compute and launch, and when it would start.

    Where a server runs, its queue is asked when the job would start and whom it would delay, for a few numbers of
    workers; no server is started for that. On a Slurm cluster the very script is shown, and Slurm itself is asked, by
    a dry run, when it would start that.
    """
    from orchestrator.cli.source import read_source
    from orchestrator.spec.load import parse_workload

    source = read_source(file)
    workload = parse_workload(source.content, source.filename, overrides)
    _check_widths(workload, widths)
    server = None if offline else _server()
    profile = _profile(server, cluster)
    from orchestrator.backends.build import backend_of
    from orchestrator.planning.content import content_digest

    content = content_digest(source.content.decode(), overrides, str(Path.cwd()))
    with closing(backend_of(profile)) as backend:
        plan = _plan(workload, profile, backend, widths, content)
        estimate, memory = _estimate(plan), plan.launch.memory
        asked = None if server is None else _ask(server, profile, source, overrides, widths, estimate, memory)
        view = asked or _alone(workload, profile, backend, widths, estimate, memory)
    emit(as_json, {**plan.data(), "queue": view}, lambda: _text(plan, view, widths))


def _check_widths(workload: Workload, widths: Sequence[int]) -> None:
    from orchestrator.planning.launch import is_training
    from orchestrator.spec.answers import MOST_WIDTHS

    if len(widths) > MOST_WIDTHS:
        raise UsageError(f"--workers {len(widths)} times; at most {MOST_WIDTHS} are tried at once")
    if is_training(workload) and widths and max(widths) > (slices := workload.train.virtual_workers):
        raise UsageError(
            f"--workers {max(widths)}: the batch is cut into {counted(slices, 'virtual worker')}; "
            "more workers would have nothing to do",
            hint=f"--workers {slices} is the most; a lower train.samples_per_virtual_worker cuts it into more",
        )


@dataclass(frozen=True)
class _Server:
    """The server that runs, and the cluster that it serves."""

    client: Client
    profile: ClusterProfile


def _server() -> _Server | None:
    from orchestrator.cli.connect import connect_to_running

    try:
        client = connect_to_running(timeout=_TIMEOUT)
        return None if client is None else _Server(client, client.profile())
    except OrchestratorError as error:
        note(f"note: the queue was not asked: {error.message}")
        return None


def _profile(server: _Server | None, cluster: str | None) -> ClusterProfile:
    """The cluster that was named, else the one that is served, else the one that a server would be started for."""
    from orchestrator.api.served import profile_to_serve
    from orchestrator.spec.load import load_profile

    if server is not None and cluster in (None, server.profile.name):
        return server.profile
    return load_profile(cluster or profile_to_serve())


def _ask(
    server: _Server,
    profile: ClusterProfile,
    source: Source,
    overrides: Sequence[str],
    widths: Sequence[int],
    estimate: EstimateView | None,
    memory: int,
) -> WhatIfView | None:
    """The server's answer; None where it serves another cluster than was named."""
    from orchestrator.spec.answers import WhatIfRequest

    if (served := server.profile.name) != profile.name:
        note(f"note: the server serves cluster {served}, not {profile.name}: its queue was not asked")
        return None

    request = WhatIfRequest(
        source=source.content.decode(),
        filename=source.filename,
        overrides=list(overrides),
        workers=list(widths),
        estimate=estimate,
        memory=memory,
    )
    try:
        return server.client.what_if(request)
    except OrchestratorError as error:
        note(f"note: the queue was not asked: {error.message}")
        return None


def _alone(
    workload: Workload,
    profile: ClusterProfile,
    backend: Backend,
    widths: Sequence[int],
    estimate: EstimateView | None,
    memory: int,
) -> WhatIfView:
    from orchestrator.base.clock import SystemClock
    from orchestrator.planning.plan import asked_of_engine
    from orchestrator.planning.queueing import dry_run_view
    from orchestrator.planning.whatif import offline_view

    now = SystemClock().now()
    if backend.queues:
        ask = asked_of_engine(workload, profile, Path.cwd(), estimate, memory)
        return dry_run_view(ask, backend, widths, now=now, live=False)
    return offline_view(workload, backend.capacity(), profile, widths, estimate=estimate, now=now)


def _plan(
    workload: Workload, profile: ClusterProfile, backend: Backend, widths: Sequence[int], content: str
) -> PlanDocument:
    from orchestrator.base.paths import state_dir
    from orchestrator.planning.plan import make_plan
    from orchestrator.planning.recorded import local_history
    from orchestrator.planning.whatif import some_widths

    history, owner = local_history(state_dir(), name=workload.name), getpass.getuser()
    asked_for = widths or some_widths(workload)
    return make_plan(
        workload,
        profile,
        backend,
        workdir=Path.cwd(),
        history=history,
        owner=owner,
        content=content,
        widths=asked_for,
    )


def _estimate(plan: PlanDocument) -> EstimateView | None:
    from orchestrator.spec.answers import EstimateView

    known = plan.estimate
    if known is None or not known.widths:
        return None
    return EstimateView(
        seconds=max(known.seconds, 1e-3),
        error=known.error,
        exponent=known.exponent,
        widths={width.workers: max(width.seconds, 1e-3) for width in known.asked},
    )


def _text(plan: PlanDocument, view: WhatIfView, widths: Sequence[int]) -> str:
    from orchestrator.cli.whytext import what_if_text

    return f"{plan.render()}\n{what_if_text(view, widths)}"
