"""Cluster profiles: policies by name, teams, maintenance."""

import re
import textwrap
import time
from pathlib import Path

import pytest

from orchestrator.base.errors import SpecError
from orchestrator.spec.load import load_policy, load_profile, load_served_profile
from orchestrator.spec.presets import PRESETS, preset
from orchestrator.spec.profile import ClusterProfile, Node


def profile(folder: Path, text: str, backend: str = "local") -> ClusterProfile:
    path = folder / "x.yaml"
    path.write_text(f"name: x\nbackend: {backend}\n{text}\n")
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
        ("policy: mine.yaml", "policy: the name of a policy, or a section, is expected, not a file"),
        ("policy: {order: {by: size}}", "policy.order.by"),
        ("policy: {presett: easy}", "unknown key 'presett'"),
        ("teams:\n  - {name: a, parent: b}", "a has parent b, which is no team"),
        ("teams:\n  - {name: a, parent: b}\n  - {name: b, parent: a}", "a is a part of itself"),
        ("teams:\n  - {name: a}\n  - {name: a}", "team a is there already"),
        ("teams:\n  - {name: a, quota: 5, limit: 4}", "the quota of a is above its limit"),
        ("teams:\n  - {name: p, limit: 2}\n  - {name: a, parent: p, quota: 5}", "a is above the limit of p"),
        ("nodes:\n  - {cpus: 4, gpus: 0}\nteams:\n  - {name: a, quota: 5}", "a is 5, and the nodes have 4 slots"),
        ("policy: {preset: las, order: {thresholds: [100, 10]}}", "each is above the one before"),
        ('policy: {preset: fifo, name: "mine\\n"}', "policy.name"),
        ("nodes:\n  - {name: a, count: 2}\n  - {name: a-1}", "a-1 is there twice"),
        ("maintenance:\n  - {nodes: [b], start: 2026-12-01T06:00Z, end: 2026-12-02T06:00Z}", "there is no node b"),
        ("maintenance:\n  - {nodes: [localhost], start: 2, end: 1}", "ends before it starts"),
        ("watch: {poll: 1ms}", "must be at least 10ms, not '1ms'"),
    ],
)
def test_what_does_not_hold_together_is_refused(tmp_path: Path, text: str, rule: str) -> None:
    with pytest.raises(SpecError, match=rule):
        profile(tmp_path, text)


def test_what_ray_says_itself_is_not_written_down_again(tmp_path: Path) -> None:
    text = "nodes: [{name: a, cpus: 4}]\nslurm: {partition: x}"
    with pytest.raises(SpecError, match=r"(?s)Ray says which nodes there are.*this section is for `backend: slurm`"):
        profile(tmp_path, text, "ray")


def test_maintenance_names_nodes_that_ray_knows(tmp_path: Path) -> None:
    assert profile(tmp_path, WINDOW, "ray").maintenance[0].nodes == ["b"]


def test_what_the_autoscaler_can_bring_is_a_list_of_node_types(tmp_path: Path) -> None:
    text = "ray: {autoscaler: [{name: h200, count: 8, cpus: 64, gpus: 8, memory: 1TiB}]}"
    (kind,) = profile(tmp_path, text, "ray").ray.autoscaler
    assert (kind.name, kind.count, kind.gpus, kind.memory) == ("h200", 8, 8, 2**40)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("policy: easy", "policy: with `backend: slurm` Slurm's own scheduler decides"),
        ("nodes:\n  - {name: a}", "nodes: with `backend: slurm` Slurm says which nodes there are"),
        ("teams:\n  - {name: a, quota: 5}", "sacctmgr modify account"),
        ("slurm: {priorities: [{at_least: 5}]}", "a rule needs a qos, a partition or an account"),
        ("slurm: {partitoin: batch}", "unknown key 'partitoin'"),
    ],
)
def test_what_slurm_decides_by_itself_is_refused_in_its_profile(tmp_path: Path, text: str, rule: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"name: x\nbackend: slurm\n{text}\n")
    with pytest.raises(SpecError, match=rule):
        load_profile(path)


def test_a_profile_for_slurm_reads_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nbackend: slurm\nslurm:\n  partition: batch\n  growth: {partition: spare}\n")
    found = load_profile(path)
    assert ClusterProfile.model_validate(found.model_dump(mode="json")) == found


def test_a_section_for_slurm_with_another_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="this section is for `backend: slurm`"):
        profile(tmp_path, "slurm: {partition: batch}")


@pytest.mark.parametrize(
    ("nodes", "place"),
    [("nodes: [{name: a, count: 2}]", "x.yaml:3:19"), ("nodes:\n  - {name: a}\n  - {name: b}", "x.yaml:5:5")],
)
def test_more_nodes_than_this_machine_are_not_served(tmp_path: Path, nodes: str, place: str) -> None:
    profile(tmp_path, nodes)
    with pytest.raises(SpecError, match="exactly one node") as error:
        load_served_profile(tmp_path / "x.yaml")
    assert place in error.value.message


def test_one_node_is_served(tmp_path: Path) -> None:
    found = profile(tmp_path, "nodes: [{name: a}]")
    assert load_served_profile(tmp_path / "x.yaml") == found


def test_a_team_and_those_above_it_are_known() -> None:
    teams = [{"name": "lab"}, {"name": "video", "parent": "lab"}]
    found = ClusterProfile.model_validate({"name": "x", "backend": "local", "teams": teams})
    assert [team.name for team in found.chain_of("video")] == ["video", "lab"]
    assert [*found.chain_of("audio")] == []


def test_many_nodes_are_looked_through_once() -> None:
    nodes = [{"name": f"n{number}"} for number in range(20_000)]
    began = time.perf_counter()
    with pytest.raises(ValueError, match="n19999 is there twice"):
        ClusterProfile.model_validate({"name": "x", "backend": "local", "nodes": [*nodes, {"name": "n19999"}]})
    assert time.perf_counter() - began < 5


def test_everything_that_is_wrong_between_keys_is_told_at_its_place(tmp_path: Path) -> None:
    rest = "teams:\n  - {name: vision}\n  - {name: video, parent: vison}\n  - {name: x, parent: y}\n"
    rest += "maintenance:\n  - {nodes: [b], start: 1, end: 2}\npolicy: fairr\n"
    with pytest.raises(SpecError) as error:
        profile(tmp_path, rest)
    assert "there is no policy 'fairr'" in error.value.message
    assert "did you mean 'fair'?" in error.value.message
    for text in (":5:27: teams[1].parent", "did you mean 'vision'?", ":6:23: teams[2].parent", ":8:14: maintenance[0]"):
        assert text in error.value.message


WINDOW = "maintenance:\n  - {nodes: [b], start: 1, end: 2}\n"


@pytest.mark.parametrize(
    ("rest", "told", "not_told"),
    [
        ("teams:\n  - {name: v, parent: y, weight: many}\n  - {name: v}\n", ["[0].parent", "[0].weight"], []),
        ("limits: {max_workers: 0}\n" + WINDOW, ["limits.max_workers", "no node b"], []),
        ("nodes:\n  - {name: a, cpus: -1}\n" + WINDOW, ["nodes[0].cpus", "no node b"], []),
        ("nodes:\n  - {name: a/b}\n" + WINDOW, ["nodes[0].name"], ["no node"]),
        ("nodes:\n  - {name: a, tally: 3}\n" + WINDOW, ["unknown key 'tally'"], ["no node"]),
        ("nodes:\n  - {name: a, cout: 3}\n" + WINDOW, ["unknown key 'cout'", "no node b"], []),
        ("teams:\n  - {nam: v}\n  - {name: x, parent: v}\n", ["unknown key 'nam'"], ["is no team"]),
        ("node:\n  - {name: b}\n" + WINDOW, ["unknown key 'node'"], ["no node b"]),
        ("machines:\n  - {name: b}\n" + WINDOW, ["unknown key 'machines'"], ["no node b"]),
        ("flavour: 3\nnodes: [{name: a}]\n" + WINDOW, ["unknown key 'flavour'", "no node b"], []),
        (
            "teams: [{name: v, tally: 3}, {name: v}, {name: x, parent: y}, {name: z, limit: 1, quota: 2}]\n",
            ["unknown key 'tally'", "team v is there already", "x has parent y", "quota of z is above its limit"],
            [],
        ),
    ],
)
def test_a_wrong_key_hides_only_rules_that_rest_on_it(
    tmp_path: Path, rest: str, told: list[str], not_told: list[str]
) -> None:
    with pytest.raises(SpecError) as error:
        profile(tmp_path, rest)
    assert [text for text in told if text not in error.value.message] == []
    assert [text for text in not_told if text in error.value.message] == []


@pytest.mark.parametrize("text", ["policy: easy\n", "policy: {preset: easy}\n", "preset: easy\n"])
def test_a_policys_file_may_hold_the_section_with_or_without_its_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert load_policy(path).backfill == "easy"
    assert load_policy(path).order.by == "fifo"


SECTION = "  preset: fairr\n  order: {by: fare, thresholds: [3, 2]}\n  depth: 0\n  elastik: {floor: 3}\n"
WRONG = ["policy.preset", "policy.order.by", "policy.order.thresholds", "policy.depth", "'elastik'", "elastic.floor"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (textwrap.dedent(SECTION), [place.removeprefix("policy.") for place in WRONG]),
        ("policy:\n" + SECTION, WRONG),
        ("name: x\nbackend: local\nnodes: [{cpus: none}]\npolicy:\n" + SECTION, ["nodes[0].cpus", *WRONG]),
    ],
    ids=["a section", "a section under its key", "a profile"],
)
def test_everything_that_is_wrong_with_a_policy_is_told_at_once(tmp_path: Path, text: str, wrong: list[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        load_policy(path)
    told = [line for line in error.value.message.splitlines() if re.match(r".*mine\.yaml:\d+:\d+: ", line)]
    assert [place for place in wrong if not any(place in line for line in told)] == []
    assert len(told) == len(wrong)


def test_a_mix_of_the_two_ways_to_write_a_policy_is_told_what_goes_where(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("policy: easy\nround: 30s\n")
    with pytest.raises(SpecError, match=r"mine\.yaml:2:1: unknown key 'round'[^✗]*it belongs in policy"):
        load_policy(path)
