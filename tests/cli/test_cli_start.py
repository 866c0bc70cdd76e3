"""What the command line costs before it does anything, and what it makes of mistakes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.cli import entry
from orchestrator.cli.main import MainGroup

HEAVY = [
    "torch",
    "torchvision",
    "ray",
    "mlflow",
    "pyarrow",
    "fastapi",
    "pydantic",
    "rich",
    "httpx",
    "sqlalchemy",
    "uvicorn",
]
SNIPPET = """
import sys
from orchestrator.cli.main import run
code = run({arguments!r})
print("LOADED", sorted(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["sttus"], ["submit", "--help"], ["data", "--help"]])
def test_help_and_mistakes_import_nothing_heavy(arguments: list[str]) -> None:
    heavy = [h for h in HEAVY if arguments != ["submit", "--help"] or h != "pydantic"]
    code = SNIPPET.format(arguments=arguments, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "LOADED []"


def test_plan_loads_neither_the_sql_toolkit_nor_the_server(offline: Path, workload: Path) -> None:
    offline.mkdir()
    (offline / "orchestrator.db").write_bytes(b"")
    heavy = [name for name in HEAVY if name != "pydantic"]
    code = SNIPPET.format(arguments=["plan", str(workload), "--offline"], heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "LOADED []")


def test_help_answers_within_0_4_seconds() -> None:
    tool = str(Path(sys.executable).with_name("orchestrator"))

    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run([tool, "--help"], capture_output=True, check=True)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(5)) < 0.4


def test_help_names_every_command_and_the_exit_codes(cli) -> None:
    outcome = cli("--help")
    assert outcome.code == 0
    for name in MainGroup.entries:
        assert f"\n  {name}" in outcome.out
    assert "130" in outcome.out


@pytest.mark.parametrize("name", [n for n in MainGroup.entries if n not in {"cluster", "data", "verify"}])
def test_every_command_has_help_and_json(cli, name: str) -> None:
    outcome = cli(name, "--help")
    assert outcome.code == 0
    assert "--json" in outcome.out


@pytest.mark.parametrize("name", ["build", "verify", "info", "head"])
def test_every_data_command_has_help_and_json(cli, name: str) -> None:
    assert "--json" in cli("data", name, "--help").out


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["sttus"], "status"),
        (["sumbit", "x.yaml"], "submit"),
        (["data", "verfy"], "verify"),
        (["jobs", "--limt", "3"], "--limit"),
        (["logs", "--folow", "j"], "--follow"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_right_one(cli, arguments: list[str], meant: str) -> None:
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert meant in outcome.err
    assert outcome.out == ""


def test_a_mistake_is_told_as_json_where_json_is_asked_for(cli) -> None:
    outcome = cli("sttus", "--json")
    assert outcome.code == 2
    assert outcome.document["data"] is None
    assert outcome.document["error"]["code"] == "usage"
    assert "status" in outcome.document["error"]["hint"]


@pytest.mark.parametrize("arguments", [["submit"], ["cancel"], ["logs"], ["schema", "poem"], ["jobs", "--limit", "0"]])
def test_wrong_arguments_are_a_usage_error(cli, arguments: list[str]) -> None:
    assert cli(*arguments).code == 2


def test_a_reader_that_has_had_enough_is_no_failure() -> None:
    snippet = "from orchestrator.cli.main import main; main(['--help'])"
    command = f'{sys.executable} -c "{snippet}" | true'
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_completion_script(cli, shell: str) -> None:
    outcome = cli("completion", shell)
    assert outcome.code == 0
    assert "_ORCHESTRATOR_COMPLETE" in outcome.out


def test_an_interrupt_while_the_command_line_is_imported_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.__import__", stop)
    with pytest.raises(SystemExit) as ended:
        entry.main()
    monkeypatch.undo()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted: nothing more was done\n"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("drain", "orchestrator cluster drain"), ("queu", "did you mean: queue")],
)
def test_a_command_that_is_none_is_answered_with_where_it_is(cli, name: str, hint: str) -> None:
    outcome = cli(name)
    assert outcome.code == 2
    assert hint in outcome.err
