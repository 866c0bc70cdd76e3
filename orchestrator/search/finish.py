"""The end of a search: the best model, its test error (reported once), the EDF, plots, tables and summary.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.base.csvtable import csv_table
from orchestrator.base.files import write_atomic, write_json
from orchestrator.blueprint.edf import Edf
from orchestrator.blueprint.outcome import ERROR, edf_caveat, fronts, measured
from orchestrator.recipes.skipped import SKIPPED_METRICS
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.edf import Band, LikelyBest, edf_band, likely_best
from orchestrator.search.generations import descent
from orchestrator.search.records import TrialRecord
from orchestrator.spec.regnet import RegNetWorkload

SUMMARY_FILE, TRIALS_FILE, EDF_FILE = "summary.json", "trials.csv", "edf.csv"
_DRAWN_FRONTS = frozenset({"flops", "activations"})
Evaluate = Callable[[TrialRecord], Mapping[str, float]]


@dataclass(frozen=True)
class Origin:
    """Where the population and the data came from.

    Attributes:
        draws: from the design space.
        rejected: draws that were dropped, by reason.
        dataset: name of the dataset.
        version: of the dataset.
        splits: samples of each split.
        left_out: what each epoch of a trial leaves out or repeats, in words; empty where nothing.
    """

    draws: int
    rejected: Mapping[str, int]
    dataset: str
    version: str
    splits: Mapping[str, int]
    left_out: str = ""


@dataclass(frozen=True)
class Findings:
    """What a search has found.

    Attributes:
        summary: the document of summary.json.
        files: what was written, summary.json last.
        best: the trial with the lowest validation error.
    """

    summary: dict[str, Any]
    files: tuple[Path, ...]
    best: TrialRecord


def publish(
    job: JobDirectory,
    workload: RegNetWorkload,
    trials: Sequence[TrialRecord],
    best: TrialRecord,
    origin: Origin,
    evaluate: Evaluate,
) -> Findings:
    """Evaluate the best model on the test split, and write what people will look at into the job's results.

    Args:
        job: the job's directory.
        workload: the search.
        trials: all of them.
        best: the chosen one.
        origin: of the population and the data.
        evaluate: means of `loss` and `error` of a trial's model on the test split; called once.
    """
    job.results.mkdir(parents=True, exist_ok=True)
    test = evaluate(best) if origin.splits.get("test") else {}
    figures = _Figures(job.results, workload, measured(trials))
    summary = {
        "kind": "regnet search",
        "best": _describe(best, test, trials),
        "trials": _states(trials),
        "edf": figures.edf_summary(),
        "pareto": figures.front_summary(),
        "likely_best": {name: asdict(interval) for name, interval in figures.likely.items()},
        **_origins(workload, trials, origin),
    }
    return Findings(summary, (*figures.draw(), *_write(job, trials, summary)), best)


def publish_unfinished(
    job: JobDirectory, workload: RegNetWorkload, trials: Sequence[TrialRecord], origin: Origin
) -> tuple[Path, ...]:
    """Write down a search that ended before any trial had finished: its trials, and no model that would be the best.

    Args:
        job: the job's directory.
        workload: the search.
        trials: all of them.
        origin: of the population and the data.

    Returns:
        What was written.
    """
    job.results.mkdir(parents=True, exist_ok=True)
    summary = {"kind": "regnet search", "trials": _states(trials), **_origins(workload, trials, origin)}
    return _write(job, trials, summary)


def _write(job: JobDirectory, trials: Sequence[TrialRecord], summary: Mapping[str, Any]) -> tuple[Path, ...]:
    """The table of trials and the summary, which comes last."""
    files = (job.results / TRIALS_FILE, job.results / SUMMARY_FILE)
    write_atomic(files[0], _trials_table(trials).encode())
    write_json(files[1], summary)
    return files


def _states(trials: Sequence[TrialRecord]) -> dict[str, int]:
    return {"total": len(trials)} | Counter[str](trial.state for trial in trials)


def _origins(workload: RegNetWorkload, trials: Sequence[TrialRecord], origin: Origin) -> dict[str, Any]:
    """Of the population and the data."""
    return {
        "population": {"draws": origin.draws, "rejected": dict(origin.rejected)},
        "data": {
            "on_corrupt": workload.data.on_corrupt,
            "skipped": _skipped(trials),
            "last_batch": workload.data.last_batch,
            **({"left_out": origin.left_out} if origin.left_out else {}),
        },
        "dataset": {"name": origin.dataset, "version": origin.version, "splits": dict(origin.splits)},
    }


def _describe(best: TrialRecord, test: Mapping[str, float], trials: Sequence[TrialRecord]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if test:
        known = {"test_loss": test["loss"], "test_error": test["error"], "test_accuracy": 1 - test["error"]}
    if test.get("skipped"):
        known["test_skipped"] = test["skipped"]
    if best.lineage:
        known["lineage"] = descent(best, trials)
    return {
        "index": best.index,
        "seed": best.seed,
        "parameters": dict(best.parameters),
        "complexity": dict(best.complexity),
        "val_error": best.val_error,
        "checkpoint": best.checkpoint,
        **known,
    }


def _skipped(trials: Sequence[TrialRecord]) -> dict[str, int]:
    """Samples that were corrupt and left out, of all trials together."""
    names = (("train", "skipped"), ("validation", "val_skipped"))
    return {split: int(sum(t.metrics.get(SKIPPED_METRICS[name], 0) for t in trials)) for split, name in names}


class _Figures:
    """The population's statistics and their plots."""

    def __init__(self, folder: Path, workload: RegNetWorkload, trials: Sequence[TrialRecord]) -> None:
        search = workload.search
        assert search is not None
        self._folder, self._name = folder, workload.name
        self._equal, self._caveat = not search.scheduler.ends_trials_early, edf_caveat(workload)
        self._errors = [trial.metrics[ERROR] for trial in trials]
        self._trials, self._fronts = trials, {} if search.scheduler.type == "pbt" else fronts(trials)
        self._columns = {
            name: [float(getattr(trial, part)[name]) for trial in trials]
            for part in (("parameters",) if search.scheduler.type == "pbt" else ("parameters", "complexity"))
            for name in getattr(trials[0], part)
        }
        self._edf = Edf.of(self._errors)
        self._band: Band | None = edf_band(self._edf, resamples=search.bootstrap, seed=workload.seed)
        self.likely: dict[str, LikelyBest] = {
            name: likely_best(values, self._errors, seed=workload.seed) for name, values in self._columns.items()
        }

    def edf_summary(self) -> dict[str, Any]:
        """The EDF in numbers; the whole of it is in edf.csv."""
        return {"models": len(self._errors), **self._edf.numbers(), "equal_budgets": self._equal}

    def front_summary(self) -> dict[str, list[dict[str, Any]]]:
        """The Pareto front of error against each cost, by rising cost."""
        return {
            cost: [{"index": t.index, cost: t.complexity[cost], ERROR: t.metrics[ERROR]} for t in on_it]
            for cost, on_it in self._fronts.items()
        }

    def draw(self) -> list[Path]:
        """Write plots and edf.csv; returns the files."""
        # They need matplotlib, and only one worker of many draws.
        from orchestrator.search.plots import Caption, Costs, plot_edf, plot_front, plot_parameter

        numbers = self.edf_summary()
        detail = f"{numbers['models']} models, best {numbers['min']:.2%}, median {numbers['median']:.2%}"
        detail += f"; {self._caveat}" if self._caveat else ""
        files = [self._folder / "edf.png", self._folder / EDF_FILE]
        plot_edf(files[0], self._edf, self._band, Caption(f"{self._name}: errors of the design space", detail))
        write_atomic(files[1], self._edf_table().encode())
        for name, values in self._columns.items():
            files.append(self._folder / f"error_vs_{name}.png")
            caption = Caption(f"{self._name}: error against {name}", f"{len(values)} models, one a dot")
            plot_parameter(files[-1], name, values, self._errors, self.likely[name], caption)
        for cost in sorted(_DRAWN_FRONTS & self._fronts.keys()):
            files.append(self._folder / f"pareto_{cost}.png")
            costs = Costs.of(self._trials, cost)
            plot_front(files[-1], costs, Caption(f"{self._name}: Pareto front, error against {cost}", costs.detail))
        return files

    def _edf_table(self) -> str:
        at, above = self._edf.steps()
        ends = [("", "")] * len(at) if self._band is None else zip(self._band.low, self._band.high, strict=True)
        rows = [[e, f, low, high] for e, f, (low, high) in zip(at, above, ends, strict=True)]
        return csv_table(["val_error", "fraction_up_to_it", "low", "high"], rows)


def _trials_table(trials: Sequence[TrialRecord]) -> str:
    parts = ("parameters", "complexity", "metrics")
    names = {part: sorted({name for trial in trials for name in getattr(trial, part)}) for part in parts}
    head = ["index", "state", "seed", *(name for part in parts for name in names[part]), "epochs", "seconds", "message"]
    rows = []
    for trial in trials:
        values = [getattr(trial, part).get(name, "") for part in parts for name in names[part]]
        ended = [trial.epochs, round(trial.seconds, 3), trial.message]
        rows.append([trial.index, trial.state, trial.seed, *values, *ended])
    return csv_table(head, rows)
