"""`orchestrator simulate`."""

import builtins
import gzip
import importlib.util
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.simulation.compare import Comparison

pytestmark = pytest.mark.usefixtures("offline")

TRACE = """job_id,submit_s,num_gpus,duration_s,vc,status,est_s
a,0,8,100,,,200
b,10,6,50,,,100
c,20,2,30,,,60
d,30,1,10,,,10
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.csv"
    path.write_text(TRACE)
    return path


def figures_of(outcome: Any) -> dict[str, list[str]]:
    """The cells of each row of the table."""
    return {name: cells for name, *cells in (re.split(r"  +", line) for line in outcome.out.splitlines() if line)}


def test_policies_are_compared_side_by_side(cli, trace: Path) -> None:
    outcome = cli("simulate", "--trace", trace, "--nodes", 1, "--policy", "fifo", "--policy", "easy")
    assert outcome.code == 0
    table = figures_of(outcome)
    assert (table["FIGURE"], table["jobs"], table["average JCT"]) == (["FIFO", "EASY"], ["4", "4"], ["1m 55s"] * 2)
    rows = outcome.out.split("\n\n")[1].splitlines()
    assert len({len(row) for row in rows}) == 1  # numbers end below one another


def test_the_best_of_each_row_bears_a_star_where_all_policies_came_to_an_end(cli, trace: Path) -> None:
    trace.write_text(TRACE.splitlines()[0] + "\na,0,8,100,,,\nb,1,8,90,,,\nc,2,8,10,,,\n")
    arguments = ("simulate", "--trace", trace, "--nodes", 1, "--policy", "fifo", "--policy", "sjf")
    outcome = cli(*arguments, "--estimates", "perfect")
    rows = figures_of(outcome)
    assert rows["average wait"] == ["1m 36s", "*1m 09s"]
    assert rows["p99 wait"] == ["3m 08s", "*1m 49s"]
    assert rows["makespan"] == ["3m 20s", "3m 20s"]
    assert outcome.out.splitlines()[-1] == "* the best of its row"


def test_nobody_is_best_where_jobs_were_left_behind(cli, trace: Path, tmp_path: Path) -> None:
    profile = tmp_path / "lab.yaml"
    nodes = "nodes: [{name: gpu, gpus: 8, cpus: 8}]"
    profile.write_text(f"name: lab\nbackend: local\n{nodes}\nlimits: {{max_workers: 6}}\n")
    outcome = cli("simulate", "--trace", trace, "--cluster", profile, "--policy", "fifo", "--policy", "sjf")
    assert "fifo: ended early: the rest of the queue can never start" in outcome.out
    assert "*" not in outcome.out


def test_json_has_the_figures_of_every_policy(cli, trace: Path) -> None:
    arguments = ("simulate", "--trace", trace, "--nodes", 1, "--estimates", "users", "--limit", 3, "--json")
    data = cli(*arguments, "--policy", "fifo", "--policy", "conservative").document["data"]
    assert data["cluster"] == {"nodes": 1, "slots": 8}
    assert data["units"]["jct"] == "seconds"
    assert data["units"].keys() == data["policies"][0]["figures"].keys()
    assert data["load"]["layout"] == "plain"
    assert (data["load"]["jobs"], data["load"]["simulated"], data["load"]["estimates"]) == (4, 3, "users")
    first, second = data["policies"]
    assert (first["name"], second["name"]) == ("fifo", "conservative")
    assert first["figures"]["jct"] == {"mean": (100 + 140 + 110) / 3, "median": 110, "p99": 140, "most": 140}
    assert first["figures"]["events"] == 6
    assert first["policy"]["backfill"] == "none"


def test_in_one_pool_gangs_lie_across_nodes(cli, trace: Path) -> None:
    trace.write_text(TRACE.splitlines()[0] + "\na,0,3,10,,,\nb,0,3,10,,,\nc,0,2,10,,,\n")
    arguments = ("simulate", "--trace", trace, "--nodes", 2, "--slots", 4, "--policy", "fifo", "--json")
    ends = [
        cli(*arguments, *more).document["data"]["policies"][0]["figures"]["makespan"] for more in ((), ["--one-pool"])
    ]
    assert ends == [20, 10]


def test_without_a_policy_the_default_one_decides(cli, trace: Path) -> None:
    data = cli("simulate", "--trace", trace, "--nodes", 1, "--json").document["data"]
    assert [policy["name"] for policy in data["policies"]] == ["default"]


def test_the_same_seed_gives_the_same_figures(cli) -> None:
    arguments = ("simulate", "--synthetic", 60, "--nodes", 4, "--mtbf", "5d", "--elastic", 4, "--json")
    first, second, other = (cli(*arguments, "--seed", seed).document["data"] for seed in (1, 1, 2))
    assert first == second != other


def test_a_profile_gives_nodes_and_a_file_gives_the_policy(cli, trace: Path, tmp_path: Path) -> None:
    profile = tmp_path / "lab.yaml"
    nodes = "nodes: [{name: gpu, count: 2, gpus: 4, cpus: 8}]"
    profile.write_text(f"name: lab\nbackend: local\n{nodes}\npolicy: easy\nlimits: {{max_workers: 6}}\n")
    section = tmp_path / "mine.yaml"
    section.write_text("preset: fifo\nbackfill: skip\n")
    arguments = ("simulate", "--trace", trace, "--cluster", profile, "--policy", profile, "--policy", section, "--json")
    data = cli(*arguments).document["data"]
    assert data["cluster"] == {"nodes": 2, "slots": 8}
    assert data["policies"][0]["figures"]["unfinished"] == 1  # eight GPUs are more than a run may have
    assert [(p["name"], p["policy"]["backfill"]) for p in data["policies"]] == [("lab", "easy"), ("mine", "skip")]


def test_a_drained_node_starts_nothing_new_and_is_back_when_it_was_said(cli, trace: Path) -> None:
    trace.write_text(TRACE.splitlines()[0] + "\na,1000,8,100,,,\nb,1010,8,50,,,\n")
    arguments = ("simulate", "--trace", trace, "--nodes", 1, "--policy", "fifo")
    outcome = cli(*arguments, "--drain", "node-0:20s..1h")
    assert "; 1 drain" in outcome.out
    assert figures_of(outcome)["makespan"] == ["1h 00m"]  # a goes on to its end, b begins an hour after a came
    assert "the rest of the queue can never start" in cli(*arguments, "--drain", "node-0:20s..").out
    told = cli(*arguments, "--drain", "node-0:20s..", "--resume-cost", "1m", "--json").document["data"]["setting"]
    assert told["drains"] == [{"node": "node-0", "start": 1020, "end": None}]
    assert (told["charges"]["resume"], told["faults"]) == (60, None)


def test_the_maintenance_of_a_profile_counts_once_it_is_said_when_the_load_begins(
    cli, trace: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "lab.yaml"
    closed = "maintenance: [{nodes: [a], start: 2026-12-01T01:00Z, end: 2026-12-01T02:00Z}]"
    profile.write_text(f"name: lab\nbackend: local\nnodes: [{{name: a, gpus: 8, cpus: 8}}]\n{closed}\n")
    trace.write_text(TRACE.splitlines()[0] + "\na,9,8,4000,,,4000\n")
    arguments = ("simulate", "--trace", trace, "--cluster", profile, "--policy", "fifo", "--estimates", "users")
    without = cli(*arguments)
    assert "maintenance is left out" in without.err
    assert figures_of(without)["makespan"] == ["1h 06m"]
    outcome = cli(*arguments, "--begin", "2026-12-01T00:00Z")
    assert "; 1 window of maintenance" in outcome.out
    assert figures_of(outcome)["makespan"] == ["3h 06m"]


def test_the_cluster_that_is_this_machine_has_what_was_measured(
    cli, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(str(index) for index in range(8)))
    outcome = cli("simulate", "--trace", trace, "--cluster", "local", "--policy", "fifo")
    assert "4 jobs on 1 node with 8 slots" in outcome.out
    assert figures_of(outcome)["average JCT"] == ["1m 55s"]


def test_several_nodes_that_must_be_measured_are_refused_with_what_to_type(cli, trace: Path, tmp_path: Path) -> None:
    profile = tmp_path / "two.yaml"
    profile.write_text("name: two\nbackend: local\nnodes: [{name: a}, {name: b, gpus: 8}]\n")
    outcome = cli("simulate", "--trace", trace, "--cluster", profile)
    assert outcome.code == 2
    assert "gpus: auto" in outcome.err
    assert "--nodes" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--nodes", 1), "which load?"),
        (("--nodes", 1, "--trace", "x.csv", "--synthetic", 5), "which load?"),
        (("--synthetic", 5), "which cluster?"),
        (("--synthetic", 5, "--slots", 5), "--slots goes with --nodes"),
        (("--synthetic", 5, "--nodes", 1, "--estimates", "guess"), "--estimates 'guess'"),
        (("--synthetic", 5, "--nodes", 1, "--mtbf", "0"), "--mtbf must be above zero"),
        (("--synthetic", 5, "--nodes", 1, "--mtbf", "soon"), "duration"),
        (("--synthetic", 5, "--nodes", 1, "--begin", "noon"), "a time with its offset"),
        (("--synthetic", 5, "--nodes", 1, "--begin", "2026-12-01T00:00Z"), "there is none here"),
        (
            ("--synthetic", 5, "--nodes", 9, "--drain", "node-9:1h..2h"),
            "its nodes are node-0, node-1, node-2, …, node-8",
        ),
        (("--synthetic", 5, "--nodes", 1, "--drain", "node-0"), "such as node-03:36h..44h"),
        (("--synthetic", 5, "--nodes", 1, "--drain", "node-0:2h..1h"), "ends before it starts"),
        (("--synthetic", 5, "--nodes", 1, "--drain", "node-0:soon..1h"), "duration"),
        (("--synthetic", 5, "--nodes", 1, "--plot", "x.gif"), ".png, .svg or .pdf"),
        (("--synthetic", 5, "--nodes", 1, "--plot", "none/x.png"), "there is no folder"),
        (("--nodes", 1, "--trace", "none.csv"), "there is no trace"),
        (("--synthetic", 5, "--nodes", 1, "--policy", "fifo", "--policy", "fifo"), "the same name"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_simulated(cli, arguments: tuple[object, ...], message: str) -> None:
    outcome = cli("simulate", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.out == ""


def test_an_unknown_policy_is_told_with_the_closest_ones(cli) -> None:
    outcome = cli("simulate", "--synthetic", 5, "--nodes", 1, "--policy", "fif")
    assert outcome.code == 2
    assert "did you mean 'fifo'" in outcome.err
    assert cli("simulate", "--synthetic", 5, "--nodes", 1, "--policy", "fif.yaml").code == 2


def test_a_load_that_fits_nowhere_is_refused(cli, trace: Path) -> None:
    trace.write_text(TRACE.splitlines()[0] + "\na,0,9,1,,,\n")
    outcome = cli("simulate", "--trace", trace, "--nodes", 1)
    assert outcome.code == 2
    assert "no job of the load fits" in outcome.err


def test_bad_rows_are_told_with_their_lines_and_passed_over_where_asked(cli, trace: Path) -> None:
    trace.write_text(TRACE + "e,soon,1,1,,,\n")
    outcome = cli("simulate", "--trace", trace, "--nodes", 1)
    assert outcome.code == 2
    assert f"{trace}:6: submit_s is 'soon'" in outcome.err
    outcome = cli("simulate", "--trace", trace, "--nodes", 1, "--skip-bad", 1)
    assert outcome.code == 0
    assert f"passed over {trace}:6" in outcome.err


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_plot_is_written(cli, trace: Path, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"out.{suffix}"
    assert cli("simulate", "--trace", trace, "--nodes", 1, "--policy", "fifo", "--plot", path).code == 0
    assert path.read_bytes()[:4] in (b"\x89PNG", b"<?xm", b"%PDF")


def test_without_matplotlib_a_plot_is_refused_with_what_to_install(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "matplotlib" else find(name, *a))
    outcome = cli("simulate", "--synthetic", 5, "--nodes", 1, "--plot", "x.png")
    assert outcome.code == 2
    assert "pip install" in outcome.err


def test_without_a_plot_matplotlib_is_not_imported(cli, trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def guarded(name: str, *more: object, **named: object) -> object:
        assert not name.startswith("matplotlib")
        return real(name, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", guarded)
    assert cli("simulate", "--trace", trace, "--nodes", 1, "--policy", "fifo").code == 0


def test_ctrl_c_ends_it_with_what_was_simulated_until_then(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Comparison.run

    def interrupted(self: Comparison, name: str, policy: object, progress: object = None) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return run(self, name, policy, progress)  # type: ignore[arg-type]

    monkeypatch.setattr(Comparison, "run", interrupted)
    outcome = cli("simulate", "--synthetic", 50, "--nodes", 4, "--policy", "fifo", "--policy", "easy", "--json")
    (only,) = outcome.document["data"]["policies"]
    assert (outcome.code, only["name"], only["stopped"]) == (130, "fifo", "stopped")
    assert "interrupted" in outcome.err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_where_nodes_fail_jobs_save_every_half_hour_and_that_is_said(cli, trace: Path) -> None:
    trace.write_text(TRACE.splitlines()[0] + "\na,0,1,400000,,,\n")
    arguments = ("simulate", "--trace", trace, "--nodes", 1, "--policy", "fifo", "--mtbf", "10h", "--mttr", "1h")
    outcome = cli(*arguments, "--json")
    assert "jobs save every 30 minutes" in outcome.err
    figures = outcome.document["data"]["policies"][0]["figures"]
    assert (figures["jobs"], figures["unfinished"]) == (1, 0)
    assert 0 < figures["lost_work"] <= 1_800 * figures["node_failures"]
    said = cli(*arguments, "--checkpoint-every", "1h", "--json")
    assert "every 30 minutes" not in said.err


def test_jobs_that_are_left_out_are_counted(cli, trace: Path) -> None:
    trace.write_text(TRACE + "e,40,9,1,,,\nf,41,0,1,,,\n")
    outcome = cli("simulate", "--trace", trace, "--nodes", 1, "--policy", "fifo")
    assert "left out: 1 without a GPU; 1 too large for the cluster" in outcome.out


def test_all_that_a_simulation_lacks_is_told_at_once(cli) -> None:
    outcome = cli("simulate")
    assert outcome.code == 2
    for text in ("which load?", "which cluster?", "--synthetic JOBS", "--cluster NAME"):
        assert text in outcome.err


def test_a_made_up_load_has_no_layout(cli) -> None:
    outcome = cli("simulate", "--synthetic", "5", "--nodes", "1", "--format", "philly")
    assert outcome.code == 2
    assert "--format is for --trace" in outcome.err


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        (b"", "is empty", "--format"),
        (b"job_id,submit_s,num_gpus\na,1,2\n", "no column duration_s", "submit_s"),
        (bytes(range(128, 256)), "no text in UTF-8", "CSV"),
        (gzip.compress(b"job_id,submit_s,num_gpus,duration_s\na,1,2,3\n", mtime=0)[:30], "ends too early", "cut off"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_what_to_do(
    cli, tmp_path: Path, content: bytes, said: str, hint: str
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    outcome = cli("simulate", "--trace", tmp_path / "t.csv", "--nodes", "1")
    assert outcome.code == 2
    assert said in outcome.err
    assert hint in outcome.err.partition("hint:")[2]
