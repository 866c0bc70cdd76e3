"""What a workload has to do, from its recipe, and how long that takes: `estimate_of`."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.base.errors import OrchestratorError
from orchestrator.blueprint.complexity import Complexity, complexity
from orchestrator.blueprint.features import Training, features_of
from orchestrator.blueprint.regnet import AnyNetDesign
from orchestrator.blueprint.workload import cost_of, parameters_of, population_of
from orchestrator.planning.dataset import DatasetFacts
from orchestrator.planning.launch import is_search, kind_of
from orchestrator.scheduling.estimates.forecast import RunEstimate, Work, forecast
from orchestrator.scheduling.estimates.history import Asked, Finished, from_history
from orchestrator.scheduling.estimates.measurement import Measurement
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.search import TrialScheduler
from orchestrator.spec.workload import Workload

_LOG = logging.getLogger(__name__)

MOST_TRIALS = 200
"""Trials of a search that are looked at one by one; the others are taken to be like them."""

_MEDIAN_BUDGET = 0.6  # the median rule ends half of the trials some time after the grace period

Design = tuple[AnyNetDesign, Complexity]


@dataclass(frozen=True)
class History:
    """What is known of earlier runs.

    Attributes:
        measurements: of speed and memory.
        finished: run times of runs that succeeded.
    """

    measurements: tuple[Measurement, ...] = ()
    finished: tuple[Finished, ...] = ()


NO_HISTORY = History()


def estimate_of(
    workload: Workload,
    facts: DatasetFacts | None,
    history: History = NO_HISTORY,
    device: str = "",
    *,
    owner: str = "",
    content: str = "",
    designs: Sequence[Design] = (),
) -> RunEstimate | None:
    """Time and memory of a workload before it has run; None where nobody has an idea.

    Args:
        workload: the workload.
        facts: of its dataset; None where it has none, or they are not known.
        history: of earlier runs.
        device: on which its workers compute; empty: not known.
        owner: who submits it.
        content: digest of what is submitted.
        designs: its model, or those of its search, where they are known already.
    """
    work = work_of(workload, facts, designs) if facts is not None and device else None
    if work is not None:
        return forecast_or_none(work, history.measurements, device)
    exponent = blind_exponent(kind_of(workload))
    asked = Asked(workload.name, owner, content, workload.workers.max, workload.time_limit, exponent)
    return from_history(asked, history.finished)


def blind_exponent(kind: str) -> float:
    """Of the speed over workers of what no recipe tells of: a command takes as long with any number of them.

    Whether it shares its work among them nobody knows, and a promise that it does would have wide ones recommended.

    Args:
        kind: of the job.
    """
    return 0.0 if kind == "command" else 1.0


def forecast_or_none(work: Work, measurements: Sequence[Measurement], device: str) -> RunEstimate | None:
    """The forecast; None where what others measured allows none: nobody has an idea then, and nothing is refused."""
    try:
        found = forecast(work, measurements, device)
    except (ArithmeticError, ValueError):
        _LOG.exception("no estimate for %s: what was measured cannot be used", device)
        return None
    numbers = (found.seconds, found.error, found.exponent, found.memory or 0.0, *found.widths.values())
    return found if found.seconds > 0 and all(map(math.isfinite, numbers)) else None


def seconds_of_widths(
    workload: Workload, facts: DatasetFacts | None, history: History, device: str, widths: Sequence[int]
) -> dict[int, float]:
    """How long a workload takes, were it to ask for exactly so many workers; empty where its recipe does not tell.

    Args:
        workload: the workload.
        facts: of its dataset; None where it has none, or they are not known.
        history: of earlier runs.
        device: on which its workers compute; empty: not known.
        widths: numbers of workers.
    """
    work = work_of(workload, facts) if widths and facts is not None and device else None
    if work is None:
        return {}
    exact = (replace(work, workers_min=width, workers_max=width) for width in sorted(set(widths)))
    found = (forecast_or_none(each, history.measurements, device) for each in exact)
    return {each.workers: each.seconds for each in found if each is not None}


def work_of(workload: Workload, facts: DatasetFacts, designs: Sequence[Design] = ()) -> Work | None:
    """What is to be done; None where the workload is a command, or its samples are not counted yet."""
    if not isinstance(workload, RegNetWorkload) or "train" not in facts.rows or facts.classes < 2:
        return None
    try:
        found = list(designs) or designs_of(workload, facts)
    except OrchestratorError:  # submit says what is wrong with it
        return None
    search = workload.search
    return Work(
        kind=kind_of(workload),
        trainings=tuple(_training(workload, facts, design) for design in found[:MOST_TRIALS]),
        workers_min=workload.workers.min,
        workers_max=workload.workers.max,
        search=is_search(workload),
        trials=1 if search is None else search.trials,
        concurrency=None if search is None else search.concurrency,
        budget=1.0 if search is None else trial_budget(search.scheduler, workload.train.epochs),
    )


def designs_of(workload: RegNetWorkload, facts: DatasetFacts) -> list[Design]:
    """The model of a workload, or the first ones that its search samples.

    Raises:
        UsageError: it makes none.
    """
    if (search := workload.search) is not None:
        first = search.model_copy(update={"trials": min(search.trials, MOST_TRIALS)})
        fewer = workload.model_copy(update={"search": first})
        population = population_of(fewer, in_channels=facts.channels, num_classes=facts.classes)
        return [(each.design, each.complexity) for each in population.designs]
    design = parameters_of(workload.model).design()
    size, channels, classes = workload.data.image_size, facts.channels, facts.classes
    return [(design, complexity(design, image_size=size, in_channels=channels, num_classes=classes))]


def trial_budget(scheduler: TrialScheduler, epochs: int) -> float:
    """The share of its epochs that a trial gets on average.

    Successive halving keeps one of r at each rung g, g r, g r^2, … (Li et al., "A System for Massively Parallel
    Hyperparameter Tuning", arXiv 1810.05934, section 3): sum over rungs of (epochs between them) / r^k.
    """
    if not scheduler.ends_trials_early:
        return 1.0
    if scheduler.type == "median":
        return _MEDIAN_BUDGET
    rung, share, spent = float(min(scheduler.grace_epochs, epochs)), 1.0, 0.0
    reached = 0.0
    while reached < epochs:
        spent += share * (min(rung, epochs) - reached)
        reached, rung, share = min(rung, epochs), rung * scheduler.reduction_factor, share / scheduler.reduction_factor
    return spent / epochs


def _training(workload: RegNetWorkload, facts: DatasetFacts, design: Design) -> Training:
    train = workload.train
    cost = cost_of(workload, facts.rows["train"])
    features = features_of(workload, design[0], design[1], channels=facts.channels)
    if train.max_steps is not None and train.max_steps < cost.steps:
        whole = train.max_steps // cost.steps_per_epoch
        samples = train.max_steps / cost.steps * cost.total_samples
        return Training(features, samples, whole // train.evaluate_every_epochs * _rows(facts, "validation"), whole)
    evaluations = math.ceil(train.epochs / train.evaluate_every_epochs)
    tested = 0 if workload.search is not None else _rows(facts, "test")
    evaluated = evaluations * _rows(facts, "validation") + tested
    return Training(features, cost.total_samples, evaluated, train.epochs)


def _rows(facts: DatasetFacts, split: str) -> int:
    return facts.rows.get(split, 0)
