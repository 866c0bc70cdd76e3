"""From a regnet workload to its blueprint: model or population, learning rate, cost. Both planes call it."""

from __future__ import annotations

from orchestrator.blueprint.axis import Axis
from orchestrator.blueprint.cost import TrainingCost
from orchestrator.blueprint.regnet import RegNetParameters, preset
from orchestrator.blueprint.schedule import LearningRate
from orchestrator.blueprint.space import Constraints, DesignSpace, Population, sample_population
from orchestrator.spec import regnet as spec
from orchestrator.spec.units import CountRange


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
    """The models that the workload's search samples: a function of the workload and its seed alone.

    Raises:
        UsageError: the space or its constraints hold too few models.
    """
    search = workload.search
    assert search is not None
    return sample_population(
        _space(search.space, workload.model),
        _constraints(search.constraints),
        search.trials,
        workload.seed,
        image_size=workload.data.image_size,
        in_channels=in_channels,
        num_classes=num_classes,
        max_draws=search.max_draws,
    )


def learning_rate_of(workload: spec.RegNetWorkload, samples: int) -> LearningRate:
    """The schedule over samples seen, dropped ones not counted and repeated ones counted again.

    Args:
        workload: the workload.
        samples: positions of one epoch's order.
    """
    optim, train = workload.optim, workload.train
    return LearningRate.from_epochs(
        optim.lr,
        samples_per_epoch=cost_of(workload, samples).batches.samples,
        epochs=train.epochs,
        batch_size=train.batch_size,
        schedule=optim.schedule,
        steps=optim.steps,
        gamma=optim.gamma,
        warmup_iterations=optim.warmup_iterations,
        warmup_factor=optim.warmup_factor,
    )


def cost_of(workload: spec.RegNetWorkload, samples: int) -> TrainingCost:
    """The arithmetic of training one model.

    Args:
        workload: the workload.
        samples: positions of one epoch's order.
    """
    train, last = workload.train, workload.data.last_batch
    return TrainingCost(samples, train.epochs, train.batch_size, train.samples_per_virtual_worker, last)


def _space(space: spec.Space, model: spec.RegNetModel) -> DesignSpace:
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


def _axis(axis: spec.Axis) -> Axis:
    return Axis(axis.range.low, axis.range.high, axis.step, axis.scale)


def _constraints(constraints: spec.Constraints) -> Constraints:
    def ends(counts: CountRange | None) -> tuple[int, int] | None:
        return None if counts is None else (counts.low, counts.high)

    return Constraints(ends(constraints.flops), ends(constraints.params), ends(constraints.activations))
