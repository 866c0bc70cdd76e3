"""`verify elastic`: a training undisturbed, the same in a storm, and the same in a storm with an ordinary sum."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.backends.local import LocalBackend
from orchestrator.base.errors import UsageError
from orchestrator.base.text import counted
from orchestrator.rundir.events import RunEvent, read_events
from orchestrator.rundir.layout import JobDirectory, RunDirectory
from orchestrator.spec.profile import ClusterProfile, Node
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.training import Checkpointing
from orchestrator.spec.units import WorkerRange
from orchestrator.spec.workload import CommandWorkload, Workload
from orchestrator.verification.hook import Marks
from orchestrator.verification.rehearsal import Rehearsal
from orchestrator.verification.storm import Action, Storm, usual_storm
from orchestrator.verification.trail import Trail, job_trail
from orchestrator.verification.twin import Comparison, compare, difference

LOST_AFTER = 2.0
"""Seconds after which a worker that hangs is taken for dead here."""
MOST_WORKERS = 4


@dataclass(frozen=True)
class Proof:
    """That the storm hit.

    Attributes:
        actions: what happened, for people.
        missed: what is not proven: the script has it and it did not happen, or nobody could tell.
        worlds: how many workers made steps, in the order in which that changed.
        kept: worker processes that went through a planned change of workers, and were the same afterwards.
        hits: workers that were killed or stopped in the middle of a step, which others made again.
        redone: steps that were done again and came out equal, after the loss of all workers for instance.
        sent: bytes that a worker sent in a step that it shared, on average over those who led; None: not measured.
    """

    actions: tuple[str, ...]
    missed: tuple[str, ...]
    worlds: tuple[int, ...]
    kept: int
    hits: int
    redone: int
    sent: float | None


@dataclass(frozen=True)
class Verdict:
    """What `verify elastic` found.

    Attributes:
        steps: of the training.
        virtual_workers: V.
        comparison: undisturbed against storm.
        proof: that the storm hit.
        ordinary: undisturbed against storm, both with an ordinary all-reduce: it is expected to differ; None: not run.
        folder: of all that was written.
    """

    steps: int
    virtual_workers: int
    comparison: Comparison
    proof: Proof
    ordinary: Comparison | None
    folder: Path

    @property
    def holds(self) -> bool:
        """Whether the storm hit everywhere, and the parameters are equal bit for bit all the same."""
        return self.comparison.equal and self.comparison.only == (0, 0) and not self.proof.missed


def verify_elastic(
    workload: Workload,
    folder: Path,
    *,
    workdir: Path,
    workers: int | None = None,
    storm: Storm | None = None,
    ordinary: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """Run the trainings and compare them.

    Args:
        workload: of a recipe, without a search.
        folder: for all that is written.
        workdir: where the workload's relative paths start.
        workers: the most there may be; default: what the workload allows, up to four.
        storm: default: the usual one.
        ordinary: also show that an ordinary sum differs under the same storm.
        say: told what happens.

    Raises:
        UsageError: the workload cannot be shared by two workers.
        RehearsalFailed: a training failed.
    """
    recipe = _recipe(workload)
    most = workers or min(recipe.train.virtual_workers, MOST_WORKERS)
    if not 2 <= most <= recipe.train.virtual_workers:
        raise UsageError(
            f"a storm needs 2 workers at least, and at most the {recipe.train.virtual_workers} virtual workers of "
            f"{recipe.name}; {most} were asked for",
            hint="lower train.samples_per_virtual_worker, for instance with --set",
        )
    script = storm or usual_storm(most)
    stage = _Stage(folder, workdir, _prepared(recipe, most, script.steps), most, say)
    calm = stage.play("undisturbed", Storm(1))
    hit = stage.play("storm", script)
    comparison = _with_contradiction(compare(calm, hit), hit)
    plain = None
    if ordinary:
        say(("equal bit for bit" if comparison.equal else "DIFFERENT") + "; the same with an ordinary sum follows")
        plain = compare(
            stage.play("ordinary-undisturbed", Storm(1), exact=False),
            stage.play("ordinary-storm", script, exact=False),
        )
    proof = _proof(JobDirectory(folder / "jobs" / "storm"), script, hit)
    return Verdict(len(calm.steps), recipe.train.virtual_workers, comparison, proof, plain, folder)


@dataclass(frozen=True)
class _Stage:
    """Where the trainings take place."""

    folder: Path
    workdir: Path
    workload: RegNetWorkload
    workers: int
    say: Callable[[str], None]

    def play(self, name: str, storm: Storm, *, exact: bool = True) -> Trail:
        """One training; its trail."""
        self.say(f"{name}: from {counted(storm.workers, 'worker')}")
        elastic = self.workload.elastic.model_copy(update={"exact": exact})
        workload = self.workload.model_copy(update={"elastic": elastic})
        job = JobDirectory(self.folder / "jobs" / name)
        backend = self._backend()
        Rehearsal(job, workload, storm, backend, str(self.workdir), say=lambda text: self.say(f"{name}: {text}")).run()
        return job_trail(job, name)

    def _backend(self) -> LocalBackend:
        """This machine; where workers need no GPU, with as many slots as they are, whatever else runs here."""
        needs = self.workload.resources
        if needs.gpus_per_worker:
            return LocalBackend(ClusterProfile(name="local", backend="local"), state=self.folder / "state")
        node = Node(cpus=self.workers * needs.cpus_per_worker, gpus=0)
        profile = ClusterProfile(name="local", backend="local", nodes=[node])
        return LocalBackend(profile, state=self.folder / "state", slots=self.folder / "slots")


def _recipe(workload: Workload) -> RegNetWorkload:
    if isinstance(workload, CommandWorkload):
        raise UsageError(f"{workload.name} is a command", hint="only recipes train elastically")
    if getattr(workload, "search", None) is not None:
        raise UsageError(f"{workload.name} is a search", hint="verify the workload of one model")
    return workload


def _prepared(recipe: RegNetWorkload, most: int, steps: int) -> RegNetWorkload:
    """A few dozen steps, audited and without evaluations, of a workload that is otherwise as it was written.

    Without evaluations the storm hits training steps; where its epochs are too few, it gets more of them.
    """
    train = recipe.train.model_copy(
        update={
            "epochs": max(recipe.train.epochs, steps + 1),
            "max_steps": steps,
            "evaluate_every_epochs": steps + 1,
            "checkpoint": Checkpointing(every=None),
        }
    )
    elastic = recipe.elastic.model_copy(update={"audit": True, "lost_after": LOST_AFTER, "replacements": 100})
    resources = recipe.resources.model_copy(update={"workers": WorkerRange(low=1, high=most)})
    tracking = recipe.tracking.model_copy(update={"enabled": False})
    return recipe.model_copy(update={"train": train, "elastic": elastic, "resources": resources, "tracking": tracking})


def _with_contradiction(comparison: Comparison, trail: Trail) -> Comparison:
    """A step of which there are two accounts that differ is a difference, too."""
    if trail.contradiction is None:
        return comparison
    found, other = comparison.difference, difference(*trail.contradiction)
    if found is not None and other is not None and found.step <= other.step:
        return comparison
    return replace(comparison, difference=other)


def _proof(job: JobDirectory, storm: Storm, trail: Trail) -> Proof:
    marks = Marks(job.path / "storm")
    happened = {number for number, action in enumerate(storm.actions) if _came_about(action, number, marks, trail)}
    runs = [RunDirectory(path) for path in (job.path / "runs").iterdir()]
    missed = [f"step {a.step}: {a.name}" for number, a in enumerate(storm.actions) if number not in happened]
    kept = sum(len(_kept(run)) for run in runs)
    if not kept and any(action.kind == "resize" for action in storm.actions):
        missed.append("processes kept: none went through a planned change of workers")
    sent = _sent(event for run in runs for event in read_events(run, {}))
    if sent is None:
        missed.append("bytes sent: no leader told them")
    return Proof(
        actions=tuple(f"step {action.step}: {action.name}" for action in storm.actions),
        missed=tuple(missed),
        worlds=trail.worlds,
        kept=kept,
        hits=sum(1 for n in happened if storm.actions[n].kind in ("kill", "hang")),
        redone=trail.redone,
        sent=sent,
    )


def _came_about(action: Action, number: int, marks: Marks, trail: Trail) -> bool:
    match action.kind:
        case "resize" | "gather":
            return any(audit.world == action.workers for audit in trail.accounts.get(action.step + 1, ()))
        case "kill" | "hang":
            view = marks.hit_in(number)
            return view is not None and any(audit.view > view for audit in trail.accounts.get(action.step, ()))
        case _:
            return marks.acted(number).exists()


def _kept(run: RunDirectory) -> set[int]:
    """Process ids that stood in two views of which the second was planned."""
    resized = [event.data for event in read_events(run, {}) if event.kind == "resized"]
    kept: set[int] = set()
    for before, after in itertools.pairwise(resized):
        if after["cause"] in ("resize", "joined", "left", "taken"):
            kept |= {m["pid"] for m in before["members"]} & {m["pid"] for m in after["members"]}
    return kept


def _sent(events: Iterable[RunEvent]) -> float | None:
    """Bytes a step and worker, from what each leader said last of its goodput."""
    found = {
        (event.token, event.writer): float(event.data["sent_bytes_per_step"])
        for event in events
        if event.kind == "goodput" and event.data.get("sent_bytes_per_step")
    }
    return sum(found.values()) / len(found) if found else None
