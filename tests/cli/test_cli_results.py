"""What `orchestrator results` tells: of a search, of a training, and of a program, whose results are its own affair."""

import csv
import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from api_fakes import NOW, FakeService

from orchestrator.base.paths import bundled
from orchestrator.cli.edfdrawing import ASCII, UNICODE, characters, draw_edf
from orchestrator.spec.messages import TrialView
from orchestrator.testing.workloads import workload_in

pytestmark = pytest.mark.usefixtures("live")

ERRORS = {
    0: (0.3, 3e6, "succeeded"),
    1: (1 / 9, 9e6, "succeeded"),
    2: (0.2, 6e6, "stopped"),
    3: (0.2, 9e6, "succeeded"),
}
"""Error, flops and state of each trial."""


def member(index: int) -> TrialView:
    error, flops, state = ERRORS[index]
    costs = {"flops": int(flops), "params": 100 - index}
    metrics = {"val_error": error}
    return TrialView(
        index=index, state=state, seed=2**62, parameters={"depth": index}, complexity=costs, metrics=metrics, epochs=4
    )


@pytest.fixture
def search(service: FakeService) -> str:
    """A search of six trials that runs: four have ended, one runs, one waits."""
    service.add("j-a", state="running")
    running = TrialView(index=4, state="running", metrics={"val_error": 0.001}, message="=1+1")
    service.trials["j-a"] = [*map(member, ERRORS), running, TrialView(index=5, state="pending")]
    overrides = ["search.trials=6", "search.scheduler={type: asha}"]
    service.searches["j-a"] = workload_in(bundled("workloads") / "regnet_sweep.yaml", overrides)
    return "j-a"


def part(text: str, begins: str) -> list[list[str]]:
    """The words of the lines of a paragraph."""
    (found,) = [paragraph for paragraph in text.split("\n\n") if paragraph.startswith(begins)]
    return [line.split() for line in found.splitlines()]


def test_a_search_says_how_far_it_is_what_is_best_and_what_to_doubt(cli, search: str) -> None:
    lines = cli("results", search).out.splitlines()
    assert "trials       3 of 6 finished, 1 ended early, 1 running, 1 waiting" in lines
    assert "best         trial 1: val error 0.1111" in lines
    assert (
        "note: 2 of 6 trials still missing: what follows is of those that have ended so far, quick ones first" in lines
    )
    assert "note: unequal budgets (asha): no EDF of the paper's kind" in lines
    table = part(cli("results", search).out, "TRIAL")
    assert [row[0] for row in table[1:]] == ["1", "2", "3", "0", "4"]  # what runs is not among the best yet


def test_the_best_of_a_population_tells_which_trials_it_is_a_copy_of(
    cli, service: FakeService, search: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stretches = [
        {"trial": 3, "to_epoch": 2, "parameters": {"lr": 0.1, "weight_decay": 5e-5}},
        {"trial": 1, "to_epoch": 4.0, "parameters": {"lr": 0.12, "weight_decay": 4e-5}},
    ]
    summary = {"best": {"index": 1, "val_error": 0.1, "lineage": stretches}}
    found = service.results(search).model_copy(update={"summary": summary})
    monkeypatch.setattr(service, "results", lambda job: found)
    out = cli("results", search).out
    assert "came from    trial 3 to epoch 2: lr 0.1, weight_decay 5e-05\n" in out
    assert "             trial 1 to epoch 4: lr 0.12, weight_decay 4e-05\n" in out


def test_of_a_search_that_is_over_what_never_ran_is_told(cli, service: FakeService, search: str) -> None:
    service.jobs[search] = service.jobs[search].model_copy(update={"state": "cancelled", "terminal": True})
    out = cli("results", search).out
    assert "note: 2 of 6 trials did not end: what follows is of the others" in out
    assert "1 never ran" in out


def test_the_edf_is_told_in_numbers_and_drawn(cli, search: str) -> None:
    paragraph = part(cli("results", search).out, "EDF: validation errors of 4 models")
    assert paragraph[2] == ["0.1111", "0.1778", "0.2", "0.225", "0.3", "0.2028"]
    assert paragraph[-3:] == [
        ["ERROR", "BELOW", "0.15", "0.2", "0.25", "0.3", "0.35"],
        ["models", "1", "1", "3", "3", "4"],
        ["fraction", "0.25", "0.25", "0.75", "0.75", "1.00"],
    ]
    assert any("█" in word for line in paragraph for word in line)


def test_each_front_is_a_table_by_rising_cost(cli, search: str) -> None:
    out = cli("results", search).out
    flops = part(out, "Pareto front, error against flops: 3 of 4 models")
    assert [row[:4] for row in flops[2:]] == [
        ["0", "succeeded", "3M", "0.3"],
        ["2", "stopped", "6M", "0.2"],
        ["1", "succeeded", "9M", "0.1111"],
    ]
    assert "against params" not in out
    params = cli("results", search, "--against", "params").out
    assert "against flops" not in params
    assert [row[0] for row in part(params, "Pareto front, error against params")[2:]] == ["3", "1"]


def test_json_holds_the_fronts_and_the_whole_population(cli, search: str) -> None:
    data = cli("results", search, "--json").document["data"]
    assert data["search"]["fronts"] == {"flops": [0, 2, 1], "params": [3, 1]}
    assert data["search"]["edf"]["models"] == 4
    assert [trial["complexity"].get("flops") for trial in data["trials"][:2]] == [3_000_000, 9_000_000]


@pytest.mark.parametrize("arguments", [("j-a", "--csv"), ("--csv", "j-a")])
def test_csv_on_stdout_holds_every_trial_in_full(cli, search: str, arguments: tuple[str, ...]) -> None:
    rows = list(csv.DictReader(io.StringIO(cli("results", *arguments).out)))
    assert [row["index"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert (rows[1]["val_error"], rows[1]["flops"], rows[1]["seed"]) == (repr(1 / 9), "9000000", str(2**62))
    assert rows[4]["message"] == "'=1+1"


def test_csv_in_a_file_leaves_stdout_to_the_text(cli, search: str, tmp_path: Path) -> None:
    outcome = cli("results", search, "--csv", tmp_path / "t.csv", "--json")
    assert (outcome.code, outcome.document["error"]) == (0, None)
    assert f"wrote {tmp_path / 't.csv'}: 6 trials" in outcome.err
    assert (tmp_path / "t.csv").read_text() == cli("results", search, "--csv").out


def test_a_csv_file_is_replaced_as_a_whole_and_keeps_its_name_and_permissions(
    cli, search: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, link = tmp_path / "t.csv", tmp_path / "link.csv"
    file.write_text("before")
    file.chmod(0o640)
    link.symlink_to(file)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "No space left on device" in cli("results", search, "--csv", link).err
    assert file.read_text() == "before"
    assert cli("results", search, "--csv", link).code == 0
    assert (link.is_symlink(), file.stat().st_mode & 0o777) == (True, 0o640)
    assert file.read_text() == cli("results", search, "--csv").out
    assert cli("results", search, "--csv", "/dev/null").code == 0
    assert sorted(path.name for path in tmp_path.glob("*link*")) == ["link.csv"]


def test_the_plot_has_a_name_of_its_own_or_the_jobs(
    cli, search: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("results", "--plot", search).code == 0
    assert (tmp_path / "j-a.png").read_bytes().startswith(b"\x89PNG")
    assert cli("results", search, "--plot", "x.svg", "--against", "params").code == 0
    first = (tmp_path / "x.svg").read_text()
    assert "<svg" in first
    assert cli("results", search, "--plot", "x.svg", "--against", "params").code == 0
    assert (tmp_path / "x.svg").read_text() == first


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--csv", "--json", "j-a"], 2, "no"),
        (["j-a", "--csv", "--json"], 2, "not both"),
        ([], 2, "name a job"),
        (["j-a", "--plot", "x.jpeg"], 2, "must end with .png"),
        (["j-a", "--plot", "nowhere/x.png"], 2, "there is no folder"),
        (["j-a", "--csv", "nowhere/x.csv"], 2, "cannot write"),
        (["--plot", "j-a", "--csv", "x.csv"], 2, "which is the job, and which a file"),
        (["--csv", "j-a", "--plot", "x.png"], 2, "name the job first: orchestrator results JOB --csv FILE --plot"),
        (["j-b", "--csv"], 2, "j-b is no search"),
        (["j-b", "--plot", "x.png"], 2, "j-b is no search"),
        (["j-c", "--plot", "x.png"], 6, "no trial of j-c has ended"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    cli,
    service: FakeService,
    search: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: Any,
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    service.add("j-b", state="succeeded")
    service.add("j-c", state="running")
    service.searches["j-c"] = service.searches[search]
    outcome = cli("results", *arguments)
    assert (outcome.code, said in outcome.err + outcome.out) == (code, True)
    assert list(tmp_path.glob("x.*")) == []


def test_a_plot_without_matplotlib_says_what_to_install(cli, search: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    outcome = cli("results", search, "--plot", "x.png")
    assert outcome.code == 2
    assert "orchestrator[train]" in outcome.err


@pytest.mark.parametrize(
    ("encoding", "environment", "using"),
    [
        ("utf-8", {}, UNICODE),
        ("utf-8", {"LANG": "de_DE.UTF-8"}, UNICODE),
        ("utf-8", {"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, ASCII),
        ("latin-1", {"LANG": "de_DE"}, ASCII),
        ("no-such-encoding", {}, ASCII),
    ],
)
def test_the_drawing_uses_what_the_locale_can(encoding: str, environment: dict[str, str], using: object) -> None:
    assert characters(encoding, environment) is using


def test_the_drawing_in_plain_characters() -> None:
    assert draw_edf([0.1, 0.2, 0.2, 0.3], ASCII, width=32, height=4) == [
        "    1 +                           #####",
        "      |                ################",
        "  0.5 +                ################",
        "      |    ############################",
        "    0 +----------+-----+----+-----+----",
        "                 0.15  0.2  0.25  0.3",
    ]


def test_of_equal_errors_there_is_a_drawing_too() -> None:
    assert len(draw_edf([0.25, 0.25], UNICODE)) == 10


def test_nothing_heavy_is_loaded_and_what_a_terminal_cannot_show_is_no_error(search: str, service: FakeService) -> None:
    service.trials[search] = [
        trial.model_copy(update={"index": i}) for i in range(30) for trial in service.trials[search][:1]
    ]
    heavy = {"torch", "ray", "numpy", "matplotlib", "sqlalchemy", "fastapi", "rich", "orchestrator.spec.regnet"}
    code = "import sys; from orchestrator.cli.main import main\n"
    code += f"try: main(['results', 'j-a'])\nfinally: print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "j-a is running: these are the results so far\n[]\n")
    assert b"? and 20 more" in done.stdout
    assert b"    1 +" in done.stdout


def test_how_a_program_ended_and_where_its_output_lies(cli, service: FakeService) -> None:
    view = service.add("j-a", state="succeeded")
    message = "every rank ended with exit code 0"
    run = view.runs[0].model_copy(update={"ended_at": NOW + 60, "message": message, "directory": "/runs/j-a-r1"})
    service.jobs["j-a"] = view.model_copy(update={"runs": [run], "started_at": NOW, "finished_at": NOW + 60})
    lines = [line.split(maxsplit=1) for line in cli("results", "j-a").out.splitlines() if line]
    assert lines[1:] == [
        ["ended", message],
        ["took", "1m 00s, in 1 run"],
        ["output", "in    /runs/j-a-r1/logs  (orchestrator logs j-a)"],
    ]


def test_of_a_program_that_runs_its_runs_are_counted(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    assert "runs         1 run so far" in cli("results", "j-a").out


def test_of_a_training_that_runs_it_is_told_how_far_it_is(cli, service: FakeService) -> None:
    view = service.add("j-a", state="running")
    service.jobs["j-a"] = view.model_copy(update={"kind": "regnet"})
    assert "so far       3/24 trials, best val error 0.04" in cli("results", "j-a").out
