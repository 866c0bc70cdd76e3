"""The search's scheduler as one of Tune's: it compares validation errors at equal epochs; lower is better."""

from __future__ import annotations

from ray.tune import schedulers

from orchestrator.spec.search import TrialScheduler


def tune_scheduler(settings: TrialScheduler, epochs: int) -> schedulers.TrialScheduler:
    """What ends trials early; `none` and `pbt` let all of them finish.

    Args:
        settings: the workload's section.
        epochs: of a whole training; nothing is decided after the last one.
    """
    grace = min(settings.grace_epochs, epochs)
    if settings.type == "asha":
        return schedulers.AsyncHyperBandScheduler(
            time_attr="epoch",
            max_t=epochs,
            grace_period=grace,
            reduction_factor=settings.reduction_factor,
        )
    if settings.type == "hyperband":
        return schedulers.HyperBandScheduler(
            time_attr="epoch", max_t=epochs, reduction_factor=settings.reduction_factor
        )
    if settings.type == "median":
        return schedulers.MedianStoppingRule(time_attr="epoch", grace_period=grace, hard_stop=True)
    return schedulers.FIFOScheduler()  # type: ignore[no-untyped-call]
