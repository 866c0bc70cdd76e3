"""Works and estimates as JSON documents, as the store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from orchestrator.blueprint.features import Features, Training
from orchestrator.scheduling.estimates.forecast import RunEstimate, Work


def work_to_json(work: Work) -> dict[str, Any]:
    """A work."""
    return asdict(work)


def work_from_json(document: Mapping[str, Any]) -> Work:
    """The inverse.

    Raises:
        KeyError, TypeError, ValueError: it is no such document.
    """
    trainings = tuple(
        Training(**{**each, "features": Features.from_json(each["features"])}) for each in document["trainings"]
    )
    return Work(**{**document, "trainings": trainings})


def estimate_to_json(estimate: RunEstimate) -> dict[str, Any]:
    """An estimate."""
    return {**asdict(estimate), "widths": {str(width): seconds for width, seconds in estimate.widths.items()}}


def estimate_from_json(document: Mapping[str, Any]) -> RunEstimate:
    """The inverse.

    Raises:
        KeyError, TypeError, ValueError: it is no such document.
    """
    widths = {int(width): float(seconds) for width, seconds in document["widths"].items()}
    return RunEstimate(**{**document, "widths": widths})
