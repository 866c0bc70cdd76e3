"""From a regnet workload to its blueprint: model or population, learning rate, cost. Both planes call it."""

from __future__ import annotations

import math
from dataclasses import replace

from orchestrator.blueprint.axis import Axis
from orchestrator.blueprint.cost import TrainingCost
from orchestrator.blueprint.regnet import RegNetParameters, preset
from orchestrator.blueprint.schedule import LearningRate
from orchestrator.blueprint.space import Constraints, DesignSpace, Population, examine, sample_population
from orchestrator.spec import regnet as spec
from orchestrator.spec import search as searching
from orchestrator.spec.optim import Optim
from orchestrator.spec.training import Train
from orchestrator.spec.units import CountRange

STARTUP_TRIALS = 10
"""Models of a plain sample with which a search by TPE begins; Optuna's own default, too."""


def parameters_of(model: spec.RegNetModel) -> RegNetParameters:
    """The parameters of the one model that a workload without a search names.

    Raises:
        UsageError: an unknown preset, or values that make no RegNet.
    """
    if model.preset is not None:
        return preset(model.preset, stem=model.stem, stem_width=model.stem_width)
    values = {name: value for name, value in model.parameters.items() if value is not None}
    return RegNetParameters(
        depth=int(values["depth"]),
        w0=int(values["w0"]),
        wa=values["wa"],
        wm=values["wm"],
        group_width=int(values["group_width"]),
        se_ratio=0.25 if model.family == "regnety" else 0.0,
        stem_width=model.stem_width,
        stem=model.stem,
    )


def population_of(workload: spec.RegNetWorkload, *, in_channels: int, num_classes: int) -> Population:
    """As many models as the workload's search has trials, by plain sampling: a function of workload and seed alone.

    Of population based training the one model of the workload, as often.

    Raises:
        UsageError: the space or its constraints hold too few models.
    """
    search = workload.search
    assert search is not None
    if search.scheduler.type == "pbt":
        return _same_models(workload, search.trials, in_channels, num_classes)
    space, constraints = space_of(workload)
    return sample_population(
        space,
        constraints,
        search.trials,
        workload.seed,
        image_size=workload.data.image_size,
        in_channels=in_channels,
        num_classes=num_classes,
        max_draws=search.max_draws,
    )


def known_population(workload: spec.RegNetWorkload, *, in_channels: int, num_classes: int) -> Population:
    """The models that are known before the search begins: all of a plain sample, else those that it starts with.

    Raises:
        UsageError: the space or its constraints hold too few models.
    """
    search = workload.search
    assert search is not None
    if search.sampler != "random":
        search = search.model_copy(update={"trials": min(search.trials, STARTUP_TRIALS)})
        workload = workload.model_copy(update={"search": search})
    return population_of(workload, in_channels=in_channels, num_classes=num_classes)


def space_of(workload: spec.RegNetWorkload) -> tuple[DesignSpace, Constraints]:
    """What the workload's search samples from, and what its models must keep.

    Raises:
        UsageError: it is no design space.
    """
    search = workload.search
    assert search is not None
    return _space(search.space, workload.model), _constraints(search.constraints)


def learning_rate_of(workload: spec.RegNetWorkload, samples: int) -> LearningRate:
    """The schedule over samples seen, dropped ones not counted and repeated ones counted again.

    Args:
        workload: the workload.
        samples: positions of one epoch's order.
    """
    per_epoch = cost_of(workload, samples).batches.samples
    return learning_rate(workload.optim, workload.train, per_epoch)


def learning_rate(optim: Optim, train: Train, samples: int) -> LearningRate:
    """The schedule of any recipe over samples seen.

    Args:
        optim: the workload's section.
        train: the same.
        samples: that an epoch uses.

    Raises:
        UsageError: the section makes no schedule of a training of this length.
    """
    epochs = optim.warmup_epochs
    return LearningRate(
        base=optim.lr,
        total_samples=samples * train.epochs,
        schedule=optim.schedule,
        milestones=tuple(epoch * samples for epoch in optim.steps),
        gamma=optim.gamma,
        minimum=optim.min_lr,
        power=optim.power,
        warmup_samples=optim.warmup_iterations * train.batch_size if epochs is None else epochs * samples,
        warmup=optim.warmup,
        warmup_factor=optim.warmup_factor,
        warmup_from=optim.warmup_from,
    )


def warmup_steps(workload: spec.RegNetWorkload, samples: int) -> int:
    """Steps until the warm-up is over.

    Args:
        workload: the workload.
        samples: positions of one epoch's order.

    Raises:
        UsageError: the section makes no schedule of a training of this length.
    """
    return math.ceil(learning_rate_of(workload, samples).warmup_samples / workload.train.batch_size)


def cost_of(workload: spec.RegNetWorkload, samples: int) -> TrainingCost:
    """The arithmetic of training one model.

    Args:
        workload: the workload.
        samples: positions of one epoch's order.
    """
    train, last = workload.train, workload.data.last_batch
    return TrainingCost(samples, train.epochs, train.batch_size, train.samples_per_virtual_worker, last)


def _same_models(workload: spec.RegNetWorkload, count: int, in_channels: int, num_classes: int) -> Population:
    size, parameters = workload.data.image_size, parameters_of(workload.model)
    model = examine(0, parameters, image_size=size, in_channels=in_channels, num_classes=num_classes)
    return Population(tuple(replace(model, index=index) for index in range(count)), draws=0)


def _space(space: searching.Space, model: spec.RegNetModel) -> DesignSpace:
    return DesignSpace(
        depth=_axis(space.depth),
        w0=_axis(space.w0),
        wa=_axis(space.wa),
        wm=_axis(space.wm),
        group_width=_axis(space.group_width),
        family=model.family,
        stem=model.stem,
        stem_width=model.stem_width,
    )


def _axis(axis: searching.Axis) -> Axis:
    return Axis(axis.range.low, axis.range.high, axis.step, axis.scale)


def _constraints(constraints: searching.Constraints) -> Constraints:
    def ends(counts: CountRange | None) -> tuple[int, int] | None:
        return None if counts is None else (counts.low, counts.high)

    return Constraints(ends(constraints.flops), ends(constraints.params), ends(constraints.activations))
