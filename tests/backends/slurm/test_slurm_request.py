"""What sbatch is asked for."""

import os
import shlex
import string
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.backends.protocol import LaunchRequest, Needs, Standing, Terms
from orchestrator.backends.slurm import SlurmBackend
from orchestrator.backends.slurm.inventory import NodeRow, PartitionRow
from orchestrator.backends.slurm.limits import Limit
from orchestrator.backends.slurm.request import Lane, lane_of, parameters_of
from orchestrator.backends.slurm.shape import Shape
from orchestrator.base.errors import BackendUnavailable, LaunchRefused
from orchestrator.rundir.launch import Launch
from orchestrator.rundir.layout import RunDirectory
from orchestrator.spec.profile import ClusterProfile

ONE = Shape(1, 1, 1)
ROOT = Path("/runs/jobs/j-1/runs")
NODES = [
    NodeRow(name, name, frozenset({"IDLE"}), 8, 0, 2**36, 0, (("gpu", 4), (f"gpu:{kind}", 4)), ())
    for name, kind in (("a1", "h200"), ("a2", "h200"), ("b1", "a100"), ("c1", "t4"))
]


def profile(**slurm: Any) -> ClusterProfile:
    return ClusterProfile.model_validate({"name": "lab", "backend": "slurm", "slurm": slurm})


def request(terms: Terms | None = None, root: Path = ROOT, name: str = "j-1-r1", **changes: Any) -> LaunchRequest:
    values = {"job": "j-1", "run": name, "token": 1, "argv": ("x",), "workdir": "/", "workers": 1}
    return LaunchRequest(f"{name}.0", RunDirectory(root / name), Launch(**{**values, **changes}), terms=terms)


def parameters(asked: LaunchRequest, *, shape: Shape = ONE, nodes: Any = NODES, **lane: Any) -> dict[str, Any]:
    return parameters_of(asked, profile().slurm, Lane(**lane), shape, Limit(10, True, "", 120), nodes)


def test_the_job_carries_the_allocation_and_its_run() -> None:
    found = parameters(request())
    assert (found["job_name"], found["comment"]) == ("j-1-r1.0", "j-1-r1")


def test_one_task_a_node_has_all_that_its_workers_need() -> None:
    terms = Terms(8, 8, needs=Needs(memory=2**30))
    found = parameters(request(terms, cpus_per_worker=2, gpus_per_worker=1), shape=Shape(2, 2, 4))
    assert (found["nodes"], found["ntasks_per_node"], found["cpus_per_task"]) == ("2", 1, 8)
    assert (found["gres"], found["mem"]) == ("gpu:4", "4608M")  # and 512 for the agent and its like


def test_what_nobody_asked_for_is_left_to_slurm() -> None:
    found = parameters(request())
    assert all(found[key] is None for key in ("partition", "qos", "account", "gres", "mem", "exclude", "constraint"))


def test_slurm_neither_requeues_nor_gives_up_for_one_lost_node() -> None:
    more = parameters(request())["additional_parameters"]
    assert more["no-requeue"] is True
    assert more["no-kill"] is True
    assert (more["open-mode"], more["signal"]) == ("append", "B:USR1@120")


def test_one_gpu_type_is_asked_for_and_several_by_leaving_other_nodes_out() -> None:
    one = Terms(1, 1, needs=Needs(gpu_types=("H200",)))
    found = parameters(request(one, gpus_per_worker=1))
    assert (found["gres"], found["exclude"]) == ("gpu:h200:1", None)
    several = Terms(1, 1, needs=Needs(gpu_types=("h200", "a100")))
    found = parameters(request(several, gpus_per_worker=1))
    assert (found["gres"], found["exclude"]) == ("gpu:1", "c1")


def test_nodes_that_slurm_does_not_know_are_not_told() -> None:
    found = parameters(request(Terms(1, 1, needs=Needs(not_on=("a2", "old-node")))))
    assert found["exclude"] == "a2"


def test_one_rack_is_one_switch() -> None:
    assert parameters(request(Terms(1, 1, needs=Needs(same_rack=True))))["additional_parameters"]["switches"] == 1


def test_a_held_job_is_submitted_held() -> None:
    assert parameters(request(), held=True)["additional_parameters"]["hold"] is True
    assert "hold" not in parameters(request())["additional_parameters"]


def test_priorities_below_the_highest_of_users_are_nice_and_none_is_negative() -> None:
    lab = profile(nice_step=7)
    assert [lane_of(lab, Standing(p), growth=False).nice for p in (-10, 0, 10)] == [70, 0, 0]
    assert lane_of(profile(nice_step=0), Standing(-10), growth=False).nice == 0


def test_the_highest_rule_that_a_priority_reaches_counts() -> None:
    rules = [{"at_least": 5, "qos": "high"}, {"at_least": 50, "qos": "urgent", "partition": "fast", "account": "boss"}]
    lab = profile(partition="batch", qos="normal", account="lab", priorities=rules)
    assert lane_of(lab, Standing(0), growth=False) == Lane("batch", "normal", "lab")
    assert lane_of(lab, Standing(5), growth=False) == Lane("batch", "high", "lab")
    assert lane_of(lab, Standing(99), growth=False) == Lane("fast", "urgent", "boss")


def test_a_team_is_charged_to_its_account() -> None:
    lab = profile(account="lab", accounts={"vision": "vis"})
    assert lane_of(lab, Standing(team="vision"), growth=False).account == "vis"
    assert lane_of(lab, Standing(team="other"), growth=False).account == "lab"


def test_growth_waits_behind_the_runs_and_no_priority_lifts_it() -> None:
    rules = [{"at_least": 5, "qos": "high"}]
    lab = profile(qos="normal", priorities=rules, growth={"partition": "spare", "nice": 500})
    assert lane_of(lab, Standing(9), growth=True) == Lane("spare", "normal", None, 500)


@pytest.mark.parametrize("root", ["/runs/a'b", '/runs/a"b', "/runs/a\\b", "/runs/a\nb", "/runs/100%j", "/runs/a\x85b"])
def test_a_path_that_slurm_would_read_otherwise_is_refused(root: str) -> None:
    with pytest.raises(LaunchRefused, match="cannot be told"):
        parameters(request(root=Path(root)))


@pytest.mark.parametrize("name", ["-x", "a b", "a\nb", "$(id)", "a;b", "../a", "x" * 300, ""])
def test_an_unsafe_name_is_refused(name: str) -> None:
    with pytest.raises(LaunchRefused):
        parameters(request(name=name))


ANY = st.text(max_size=12) | st.text(alphabet=string.punctuation + " \n\r\t\0%j", max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    names=st.tuples(ANY, ANY, ANY, ANY),
    nodes=st.lists(ANY, max_size=2),
    types=st.lists(ANY, max_size=2),
    root=ANY,
    known=st.booleans(),
)
def test_no_string_adds_a_line_or_an_option_to_the_script(
    names: tuple[str, ...], nodes: list[str], types: list[str], root: str, known: bool
) -> None:
    backend = backend_of(known)
    team, title, job, word = names
    needs = Needs(not_on=tuple(nodes), gpu_types=tuple(types))
    terms = Terms(1, 1, Standing(team=team), name=title, needs=needs)
    strange = {"job": job, "argv": (word, title), "env": {word: title}, "workdir": word, "gpus_per_worker": 1}
    plain = backend.plan(request(Terms(1, 1, needs=Needs(not_on=("a1",))), gpus_per_worker=1)).script or ""
    folder = Path("/runs") / root.replace("\0", "") if root else ROOT
    try:
        script = backend.plan(request(terms, root=folder, **strange)).script or ""
    except LaunchRefused:
        return
    allowed = [*options(plain), "--exclude"]
    assert all(option in allowed for option in options(script))
    assert len(script.splitlines()) <= len(plain.splitlines())
    assert all(len(shlex.split(line)) == 2 for line in script.splitlines() if line.startswith("#SBATCH"))
    assert script.splitlines()[-1].startswith("exec ")


def options(script: str) -> list[str]:
    return [line.split()[1].partition("=")[0] for line in script.splitlines() if line.startswith("#SBATCH")]


@cache
def backend_of(known: bool) -> SlurmBackend:
    """A backend whose Slurm has four nodes, or does not answer."""
    backend = SlurmBackend(profile(), state=Path(os.devnull), environment={"PATH": "/nonexistent"})
    row = PartitionRow("batch", True, True, tuple(node.name for node in NODES), 86_400.0, 3600.0, None, "OFF")

    def told(rows: Any) -> Any:
        if not known:
            raise BackendUnavailable("Slurm is away")
        return rows

    backend._watch.nodes = lambda: told(tuple(NODES))  # type: ignore[method-assign]
    backend._watch.partitions = lambda: told((row,))  # type: ignore[method-assign]
    return backend
