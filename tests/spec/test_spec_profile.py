"""Cluster profiles: policies by name, teams, maintenance."""

from pathlib import Path

import pytest

from orchestrator.base.errors import SpecError
from orchestrator.spec.load import load_profile
from orchestrator.spec.presets import PRESETS, preset
from orchestrator.spec.profile import ClusterProfile, Node


def profile(folder: Path, text: str) -> ClusterProfile:
    path = folder / "x.yaml"
    path.write_text(f"name: x\nbackend: local\n{text}\n")
    return load_profile(path)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_policy_is_chosen_by_its_name(tmp_path: Path, name: str) -> None:
    found = profile(tmp_path, f"policy: {name}").policy
    assert found.model_dump(exclude={"preset"}) == preset(name).model_dump()


def test_the_shipped_profile_has_the_default_policy() -> None:
    assert load_profile("local").policy.preset == "default"


def test_a_section_says_what_differs_from_its_preset(tmp_path: Path) -> None:
    text = "policy:\n  preset: default\n  preemption: {min_run: 5m}\n  elastic: null"
    found, base = profile(tmp_path, text).policy, preset("default")
    assert found.preemption is not None
    assert base.preemption is not None
    assert found.preemption == base.preemption.model_copy(update={"min_run": 300.0})
    assert found.elastic is None
    assert found.order == base.order


def test_a_profile_that_was_written_out_reads_back_the_same(tmp_path: Path) -> None:
    found = profile(tmp_path, "policy: {preset: easy, round: 30s}")
    assert ClusterProfile.model_validate(found.model_dump(mode="json")) == found


def test_times_of_maintenance_have_an_offset(tmp_path: Path) -> None:
    window = "start: 2026-12-01T06:00+01:00, end: 2026-12-01T06:00Z"
    (found,) = profile(tmp_path, f"maintenance:\n  - {{nodes: [localhost], {window}}}").maintenance
    assert found.end - found.start == 3600
    with pytest.raises(SpecError, match="expected a time with its offset"):
        profile(tmp_path, "maintenance:\n  - {nodes: [localhost], start: 2026-12-01T06:00, end: 2026-12-02T06:00Z}")


def test_machines_of_one_kind_are_numbered() -> None:
    assert Node(name="gpu", count=3).names == ("gpu-1", "gpu-2", "gpu-3")
    assert Node(name="gpu").names == ("gpu",)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("policy: esy", "there is no policy 'esy'"),
        ("policy: {order: {by: size}}", "policy.order.by"),
        ("policy: {presett: easy}", "unknown key 'presett'"),
        ("teams:\n  - {name: a, parent: b}", "a has parent b, which is no team"),
        ("teams:\n  - {name: a, parent: b}\n  - {name: b, parent: a}", "a is a part of itself"),
        ("teams:\n  - {name: a}\n  - {name: a}", "a name is there twice"),
        ("teams:\n  - {name: a, quota: 5, limit: 4}", "the quota of a is above its limit"),
        ("nodes:\n  - {name: a, count: 2}\n  - {name: a-1}", "a-1 is there twice"),
        ("maintenance:\n  - {nodes: [b], start: 2026-12-01T06:00Z, end: 2026-12-02T06:00Z}", "there is no node b"),
        ("maintenance:\n  - {nodes: [localhost], start: 2, end: 1}", "ends before it starts"),
    ],
)
def test_what_does_not_hold_together_is_refused(tmp_path: Path, text: str, rule: str) -> None:
    with pytest.raises(SpecError, match=rule):
        profile(tmp_path, text)
