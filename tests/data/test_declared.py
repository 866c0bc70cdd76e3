import pytest

from orchestrator.data.declared import resample_of, shuffle_of
from orchestrator.data.order import FULL, Shuffle
from orchestrator.data.resample import Resample
from orchestrator.spec.data import DataSection


@pytest.mark.parametrize(("written", "meant"), [("full", FULL), ({"window": 8}, Shuffle("window", 8))])
def test_a_declared_shuffle_is_the_shuffle_of_the_order(written: object, meant: Shuffle) -> None:
    assert shuffle_of(DataSection.model_validate({"dataset": "digits", "shuffle": written})) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (None, None),
        ("class_balanced", Resample("class_balanced")),
        ({"weights": "quality"}, Resample("weights", "quality")),
        ({"repeat_factor": {"column": "tags", "threshold": 0.01}}, Resample("repeat_factor", "tags", 0.01)),
        ({"square_root": {"column": "tags", "power": 0.25}}, Resample("square_root", "tags", 0.0, 0.25)),
    ],
)
def test_a_declared_resampling_is_that_of_the_order(written: object, meant: Resample | None) -> None:
    assert resample_of(DataSection.model_validate({"dataset": "digits", "resample": written})) == meant
