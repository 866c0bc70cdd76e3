"""Parts of a slot in Ray's units."""

import pytest

from orchestrator.search.shares import trial_resources
from orchestrator.spec.search import TrialShare


@pytest.mark.parametrize(
    ("share", "cores", "resources"),
    [
        (TrialShare(4, 1), 4, {"cpu": 1, "gpu": 1}),  # a slot of the search's own Ray
        (TrialShare(1, 0.5), 4, {"cpu": 0.25, "gpu": 0.5}),
        (TrialShare(1, 0), 3, {"cpu": 0.3333, "gpu": 0}),  # three fit
        (TrialShare(4, 1), 1, {"cpu": 4, "gpu": 1}),  # a cluster's Ray counts cores
    ],
)
def test_a_trial_takes_its_part_of_a_slot(share: TrialShare, cores: int, resources: dict[str, float]) -> None:
    assert trial_resources(share, cores) == resources
