"""`orchestrator simulate`: a recorded or made-up load under one or more policies, without a server."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.base.errors import UsageError
from orchestrator.base.text import counted
from orchestrator.cli.entry import INTERRUPTED
from orchestrator.cli.options import json_option
from orchestrator.cli.output import emit, note
from orchestrator.cli.quantities import DRAIN, DURATION, INSTANT
from orchestrator.cli.simulationtext import comparison_table
from orchestrator.simulation.formats import LAYOUTS, PLOTS

if TYPE_CHECKING:
    from types import FrameType

    from orchestrator.simulation.clusters import Cluster
    from orchestrator.simulation.compare import Compared, Comparison
    from orchestrator.simulation.setting import Setting, Upkeep
    from orchestrator.simulation.traces.trace import TraceJob
    from orchestrator.simulation.truth import Charges, Drain, Faults
    from orchestrator.spec.policy import Policy


_CHECKPOINTS = 1_800.0
"""Seconds between checkpoints where nodes fail and nothing is said: without any, long jobs would never end."""


@click.command()
@click.option("--trace", type=click.Path(path_type=Path), help="A recorded load: a file, or a folder of its tables.")
@click.option("--format", "layout", type=click.Choice(LAYOUTS), help="The trace's layout. [default: by its header]")
@click.option("--skip-bad", type=click.IntRange(min=0), default=0, help="Pass over so many unreadable rows.")
@click.option("--synthetic", type=click.IntRange(1, 10_000_000), metavar="JOBS", help="A made-up load of so many jobs.")
@click.option("--load", type=click.FloatRange(0.01, 10), default=0.9, show_default=True, help="Of --synthetic.")
@click.option("--limit", type=click.IntRange(min=1), metavar="JOBS", help="Only the first so many jobs.")
@click.option("--cluster", metavar="NAME", help="A cluster profile: its nodes, teams and limits.")
@click.option("--nodes", type=click.IntRange(1, 100_000), help="Instead: so many nodes …")
@click.option("--slots", type=click.IntRange(1, 100_000), help="… of so many GPUs. [default: 8]")
@click.option("--policy", "policies", multiple=True, metavar="P", help="A preset or a YAML file; may be repeated.")
@click.option("--estimates", default="error:0.5", show_default=True, help="users, perfect, none, or error:SIGMA.")
@click.option("--elastic", type=click.IntRange(1, 1000), default=1, help="A job of n GPUs runs on ceil(n / this) .. n.")
@click.option("--exponent", type=click.FloatRange(0, 1), default=0.8, show_default=True, help="Speed of k of n GPUs.")
@click.option("--one-pool", is_flag=True, help="Workers of a gang lie anywhere, as if there were no nodes.")
@click.option("--resume-cost", type=DURATION, default=30.0, help="After a preemption. [default: 30s]")
@click.option("--resize-cost", type=DURATION, default=30.0, help="Of each resize. [default: 30s]")
@click.option(
    "--checkpoint-every",
    type=DURATION,
    help="Work since is lost. [default: preempted jobs save first; with --mtbf: 30m]",
)
@click.option("--mtbf", type=DURATION, help="Nodes fail: mean time between failures of one node, such as 30d.")
@click.option("--mttr", type=DURATION, default=3_600.0, help="Mean time to its repair. [default: 1h]")
@click.option("--begin", type=INSTANT, help="When the first job comes: the profile's maintenance counts by it.")
@click.option(
    "--drain", "drains", type=DRAIN, multiple=True, help="Such as node-03:36h..44h of 32 nodes, after the first job."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of loads, estimates and failures.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write out.png, .svg or .pdf.")
@json_option
def command(
    trace: Path | None,
    layout: str | None,
    skip_bad: int,
    synthetic: int | None,
    load: float,
    limit: int | None,
    cluster: str | None,
    nodes: int | None,
    slots: int | None,
    policies: tuple[str, ...],
    estimates: str,
    elastic: int,
    exponent: float,
    one_pool: bool,
    resume_cost: float,
    resize_cost: float,
    checkpoint_every: float | None,
    mtbf: float | None,
    mttr: float,
    begin: float | None,
    drains: tuple[Drain, ...],
    seed: int,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Simulate a load under one or more policies and compare them; nothing is started, no server is asked.

    The policies decide by the very code that serves a live queue. Ctrl-C ends it with what is done so far.

        orchestrator simulate --synthetic 300 --nodes 32 --policy default
    """
    from orchestrator.simulation.compare import Comparison
    from orchestrator.simulation.guesses import parse_guesses
    from orchestrator.simulation.loads import Shapes
    from orchestrator.simulation.setting import make_setting

    _check_asked(trace, synthetic, layout, cluster, nodes or slots)
    chosen = _policies(policies or ("default",))
    _check_plot(plot)
    told, faults = parse_guesses(estimates, seed), _faults(mtbf, mttr, seed)
    machines = _cluster(cluster, nodes, slots)
    upkeep = _upkeep(machines, begin, drains)
    jobs, about = _jobs(trace, layout, skip_bad, synthetic, load, sum(node.slots for node in machines.nodes), seed)
    charges = _charges(resume_cost, resize_cost, checkpoint_every, failing=faults is not None)
    shapes = Shapes(elastic, exponent, not one_pool)
    setting = make_setting(
        jobs[:limit], machines, estimates=told, shapes=shapes, charges=charges, faults=faults, upkeep=upkeep
    )
    comparison = Comparison(setting)
    compared = list(_compared(comparison, chosen))
    if plot is not None:
        _draw(compared, plot)
    about |= {"simulated": len(setting.load.jobs), "too_large": setting.load.too_large, "estimates": str(told)}
    emit(as_json, _document(setting, compared, about), lambda: _text(setting, compared, about))
    if comparison.stopped:
        note("interrupted: the figures are of what was simulated until then")
    return INTERRUPTED if comparison.stopped else 0


def _check_asked(
    trace: Path | None, synthetic: int | None, layout: str | None, cluster: str | None, nodes: int | None
) -> None:
    """Refuse a simulation of no load or no cluster, with all that is missing."""
    missing, hints = [], []
    if (trace is None) == (synthetic is None):
        missing.append("which load?")
        hints.append("--trace FILE, or --synthetic JOBS for a made-up one; not both")
    if cluster is None and nodes is None:
        missing.append("which cluster?")
        hints.append("--nodes 64 --slots 8, or --cluster NAME for the nodes of a profile")
    if missing:
        raise UsageError(" ".join(missing), hint="; ".join(hints))
    if layout is not None and synthetic is not None:
        raise UsageError("--format is for --trace: a made-up load has no layout", hint="leave --format out")


def _policies(names: tuple[str, ...]) -> dict[str, Policy]:
    from orchestrator.spec.load import load_policy

    chosen = {Path(name).stem if name.endswith((".yaml", ".yml")) else name: load_policy(name) for name in names}
    if len(chosen) < len(names):
        raise UsageError("two policies have the same name", hint="columns of the table are named for presets and files")
    return chosen


def _cluster(name: str | None, nodes: int | None, slots: int | None) -> Cluster:
    from orchestrator.backends.local.machine import gpus_of_this_machine, with_numbers
    from orchestrator.backends.ray import capacity_or_types
    from orchestrator.simulation.clusters import Cluster, cluster_of, cluster_with, plain_nodes
    from orchestrator.spec.load import load_profile

    if slots is not None and nodes is None:
        raise UsageError("--slots goes with --nodes", hint="--nodes 64 --slots 8")
    given = plain_nodes(nodes, slots or 8) if nodes is not None else None
    if name is None:
        assert given is not None
        return Cluster(given)
    profile = load_profile(name)
    if profile.backend == "ray" and given is None:
        return cluster_with(profile, capacity_or_types(profile))
    return cluster_of(profile if given else with_numbers(profile, os.environ, gpus_of_this_machine), given)


def _upkeep(cluster: Cluster, begin: float | None, drains: tuple[Drain, ...]) -> Upkeep:
    from orchestrator.simulation.machines import check_drains
    from orchestrator.simulation.setting import Upkeep

    check_drains(drains, cluster.nodes)
    if begin is not None and not cluster.windows:
        raise UsageError(
            "--begin places the maintenance of a profile, and there is none here",
            hint="--cluster NAME of a profile with `maintenance:`, without --nodes; or leave --begin out",
        )
    if begin is None and cluster.windows:
        note("the profile's maintenance is left out: --begin 2026-12-01T00:00+01:00 would say when the first job comes")
    return Upkeep(begin, drains)


def _faults(mtbf: float | None, mttr: float, seed: int) -> Faults | None:
    from orchestrator.simulation.truth import Faults

    return None if mtbf is None else Faults(_positive(mtbf, "--mtbf"), _positive(mttr, "--mttr"), seed)


def _charges(resume: float, resize: float, checkpoint_every: float | None, *, failing: bool) -> Charges:
    from orchestrator.simulation.truth import Charges

    if failing and checkpoint_every is None:
        checkpoint_every = _CHECKPOINTS
        note("--mtbf without --checkpoint-every: jobs save every 30 minutes, whoever stops loses the work since")
    return Charges(resume, resize, checkpoint_every)


def _jobs(
    trace: Path | None, layout: str | None, skip_bad: int, synthetic: int | None, load: float, slots: int, seed: int
) -> tuple[tuple[TraceJob, ...], dict[str, object]]:
    """The jobs, and what to say about where they are from."""
    if synthetic is not None:
        from orchestrator.simulation.synthetic import synthetic_jobs

        made = synthetic_jobs(synthetic, slots, load=load, seed=seed)
        return made, {"source": f"synthetic, load {load:g}", "jobs": len(made), "left_out": {}, "bad": []}
    from orchestrator.simulation.traces.read import read_trace

    assert trace is not None
    read = read_trace(trace, layout, skip_bad=skip_bad)
    for line in read.bad:
        note(f"passed over {line}")
    about = {"source": str(trace), "layout": read.layout, "jobs": len(read.jobs), "left_out": dict(read.left_out)}
    return read.jobs, about | {"bad": list(read.bad)}


def _positive(seconds: float, name: str) -> float:
    if seconds <= 0:
        raise UsageError(f"{name} must be above zero")
    return seconds


def _check_plot(path: Path | None) -> None:
    """Refuse before the simulation what could not be drawn after it."""
    if path is None:
        return
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib", hint="pip install matplotlib, or leave --plot out")
    if path.suffix not in PLOTS:
        raise UsageError(f"--plot {path}: the file's name must end with {', '.join(PLOTS[:-1])} or {PLOTS[-1]}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {path.absolute().parent}")


def _draw(compared: list[Compared], path: Path) -> None:
    from orchestrator.simulation.plots import plot

    plot(compared, path)
    note(f"wrote {path}")


def _compared(comparison: Comparison, policies: dict[str, Policy]) -> Iterator[Compared]:
    from orchestrator.cli.progress import counter

    with _interrupts(comparison):
        for name, policy in policies.items():
            if not comparison.stopped:
                with counter(name, "jobs") as progress:
                    yield comparison.run(name, policy, progress)


@contextmanager
def _interrupts(comparison: Comparison) -> Iterator[None]:
    """The first Ctrl-C ends the simulation before its next instant, the second one at once."""

    def stop(signum: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        comparison.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _document(setting: Setting, compared: list[Compared], about: dict[str, object]) -> dict[str, object]:
    from orchestrator.simulation.metrics import UNITS

    nodes = setting.nodes
    cluster = {"nodes": len(nodes), "slots": sum(node.slots for node in nodes)}
    policies = [one.document() for one in compared]
    common = {"load": about, "cluster": cluster, "setting": setting.document(), "units": dict(UNITS)}
    return {**common, "policies": policies}


def _text(setting: Setting, compared: list[Compared], about: dict[str, object]) -> str:
    nodes = setting.nodes
    windows = sum(len(node.windows) for node in nodes)
    lines = [
        f"{about['source']}: {counted(about['simulated'], 'job')} on {counted(len(nodes), 'node')} with "
        f"{counted(sum(node.slots for node in nodes), 'slot')}; estimates {about['estimates']}"
        + (f"; {counted(windows, 'window')} of maintenance" if windows else "")
        + (f"; {counted(len(setting.drains), 'drain')}" if setting.drains else "")
    ]
    left_out = about["left_out"]
    assert isinstance(left_out, dict)
    if about["too_large"]:
        left_out = {**left_out, "too large for the cluster": about["too_large"]}
    if left_out:
        lines.append("left out: " + "; ".join(f"{count:,} {reason}" for reason, count in left_out.items()))
    lines += [f"{t.name}: ended early: {t.result.stopped}" for t in compared if t.result.stopped]
    return "\n".join([*lines, "", comparison_table(compared)])
