"""What a measured speed belongs to: the features of the model that was trained, as the event `measured` has them."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.blueprint.complexity import complexity
from orchestrator.blueprint.features import features_of
from orchestrator.blueprint.regnet import RegNetParameters
from orchestrator.data.header import Description
from orchestrator.spec.regnet import RegNetWorkload


def features_document(
    workload: RegNetWorkload, parameters: RegNetParameters, about: Description
) -> Mapping[str, object]:
    """Of one model of a workload.

    Args:
        workload: the workload.
        parameters: of the model: the workload's own, or those of a trial.
        about: the dataset.
    """
    design = parameters.design()
    classes, size = len(about.classes), workload.data.image_size
    cost = complexity(design, image_size=size, in_channels=about.channels, num_classes=classes)
    return features_of(workload, design, cost, channels=about.channels).to_json()
