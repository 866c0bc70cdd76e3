"""A frozen workload thaws into an equal one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import SpecError
from orchestrator.base.paths import bundled
from orchestrator.spec.load import freeze_workload, parse_workload, thaw_workload
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.units import Interval, WorkerRange
from orchestrator.spec.workload import CommandWorkload
from orchestrator.testing.workloads import workload_in

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
LINES = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), max_size=40)
SECONDS = st.floats(min_value=1e-3, max_value=1e8)
COMMANDS = st.builds(
    lambda **kinds: {key: value for key, value in kinds.items() if value is not None},
    name=NAMES,
    command=LINES | st.lists(LINES, min_size=1, max_size=4),
    description=LINES,
    seed=st.integers(0, 2**63 - 1),
    time_limit=st.none() | SECONDS | st.sampled_from(["90m", "1h30m", "500ms"]),
    env=st.dictionaries(st.from_regex(r"X_[A-Z0-9_]{0,9}", fullmatch=True), LINES, max_size=3),
    resources=st.fixed_dictionaries(
        {
            "workers": st.integers(1, 99) | st.sampled_from(["2..8", "1..1000"]),
            "memory_per_worker": st.integers(0, 2**63 - 1) | st.sampled_from(["32GiB", "1.5MB"]),
        }
    ),
    retry=st.fixed_dictionaries({"backoff": SECONDS, "backoff_limit": SECONDS}),
)
POSITIVE = st.floats(min_value=1e-12, max_value=1e12)
REGNETS = st.fixed_dictionaries(
    {
        "lr": POSITIVE,
        "weight_decay": st.floats(0, 1e3),
        "low": st.integers(1, 100) | st.floats(1e-6, 100),
        "more": st.integers(0, 100) | st.floats(0, 1e9),
        "step": POSITIVE,
        "flops": st.integers(0, 10**15),
    }
)


@settings(max_examples=100, deadline=None)
@given(COMMANDS)
def test_a_command_thaws_equal(document: dict[str, object]) -> None:
    workload = CommandWorkload.model_validate(document)
    assert thaw_workload(freeze_workload(workload)) == workload


@settings(max_examples=100, deadline=None)
@given(REGNETS)
def test_a_search_thaws_equal(values: dict[str, float]) -> None:
    interval = Interval(low=values["low"], high=values["low"] + values["more"])
    workload = RegNetWorkload.model_validate(
        {
            "name": "a",
            "recipe": "regnet",
            "data": {"dataset": "digits", "image_size": 16, "shuffle": {"window": 3}},
            "optim": {"lr": values["lr"], "weight_decay": values["weight_decay"]},
            "train": {"epochs": 1, "batch_size": 8},
            "search": {
                "trials": 2,
                "space": {"wa": {"range": interval, "step": values["step"], "scale": "linear"}, "w0": "8..64"},
                "constraints": {"flops": int(values["flops"]), "params": "1M..3M"},
            },
        }
    )
    thawed = thaw_workload(freeze_workload(workload))
    assert thawed == workload
    assert freeze_workload(thawed) == freeze_workload(workload)


@pytest.mark.parametrize("path", sorted(bundled("workloads").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_bundled_workload_thaws_equal(path: object) -> None:
    workload = workload_in(path)
    assert thaw_workload(freeze_workload(workload)) == workload


def test_what_is_frozen_is_also_a_workload() -> None:
    workload = workload_in(bundled("workloads") / "regnet_sweep.yaml", ["resources.workers=2..8"])
    assert parse_workload(freeze_workload(workload), "spec.yaml") == workload
    assert workload.resources.workers == WorkerRange(low=2, high=8)
    assert json.loads(freeze_workload(workload))["search"]["space"]["depth"]["range"] == "4..12"


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"recipe": "x"}', '{"recipe": []}', '{"command": 3}', "{"])
def test_what_was_not_frozen_does_not_thaw(text: str) -> None:
    with pytest.raises(SpecError, match="not a frozen workload"):
        thaw_workload(text)
