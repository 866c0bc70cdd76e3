"""The real thing: the embedded server that commands start, find, replace and survive, with real jobs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.base.process import ProcessIdentity

TOOL = str(Path(sys.executable).with_name("orchestrator"))


class Home:
    """A user's machine: a state directory of its own, and the tool as a process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("ORCHESTRATOR_", "MLFLOW_"))}
        self.environment |= {
            "ORCHESTRATOR_STATE_DIR": str(path / "state"),
            "ORCHESTRATOR_SLOTS_DIR": str(path / "slots"),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TOOL, *arguments], cwd=self.path, env=self.environment, capture_output=True, text=True, timeout=timeout
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [TOOL, *arguments],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def data(self, *arguments: str):
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)["data"]

    def workload(self, command: str, name: str = "hello", **extra: str) -> str:
        lines = [f"name: {name}", f"command: {json.dumps(command)}", "retry: {application: 0}"]
        lines += [f"{key}: {value}" for key, value in extra.items()]
        (self.path / f"{name}.yaml").write_text("\n".join(lines) + "\n")
        return f"{name}.yaml"

    def endpoint(self) -> dict[str, object]:
        found = json.loads((self.path / "state/server/server.json").read_text())
        assert isinstance(found, dict)
        return found

    def server(self) -> ProcessIdentity:
        return ProcessIdentity.from_json(self.endpoint())

    def state_of(self, job: str) -> str:
        return str(self.data("status", job)["job"]["state"])


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def close(home: Home) -> None:
    if (home.path / "state/server/server.json").exists():
        active = [job["id"] for job in home.data("jobs", "--active")]
        if active:
            home.run("cancel", *active)
            until(lambda: not home.data("jobs", "--active"))
        assert home.run("serve", "--stop").returncode == 0


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """For tests that end the server, or that need it new."""
    home = Home(tmp_path)
    yield home
    close(home)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """For tests that leave the server as it is."""
    home = Home(tmp_path_factory.mktemp("shared"))
    yield home
    close(home)


def test_a_job_is_submitted_watched_and_read_back(shared: Home) -> None:
    done = shared.run("submit", shared.workload("echo hi; echo there >&2"), "--watch")
    assert done.returncode == 0, done.stderr
    job = done.stdout.split()[0]
    assert shared.run("logs", job).stdout == "hi\nthere\n"
    assert shared.run("logs", "-f", job).stdout == "hi\nthere\n"
    assert shared.state_of(job) == "succeeded"
    assert job in shared.run("jobs").stdout
    assert shared.run("events", job).stdout.count("\n") >= 3
    assert shared.run("results", job).returncode == 0


def test_a_job_that_fails_ends_the_watch_with_1_and_its_last_words(shared: Home) -> None:
    done = shared.run("submit", shared.workload("echo no luck; exit 3"), "--watch")
    assert done.returncode == 1
    assert "no luck" in done.stderr


def test_an_interrupted_watch_leaves_the_job_and_says_the_way_back(shared: Home) -> None:
    (shared.path / "go").unlink(missing_ok=True)
    workload = shared.workload("echo begun; until [ -e go ]; do sleep 0.05; done; echo done")
    watch = shared.start("submit", workload, "--watch")
    assert watch.stdout is not None
    job = watch.stdout.readline().strip()
    until(lambda: shared.state_of(job) == "running")
    watch.send_signal(signal.SIGINT)
    _, err = watch.communicate(timeout=20)
    assert watch.returncode == 130, err
    assert f"{job} goes on" in err
    assert f"orchestrator status {job}" in err
    assert shared.state_of(job) == "running"
    follower = shared.start("logs", "-f", job)
    (shared.path / "go").touch()
    assert follower.communicate(timeout=30)[0] == "begun\ndone\n"
    assert shared.state_of(job) == "succeeded"


def test_the_same_key_from_two_calls_is_one_job(shared: Home) -> None:
    workload = shared.workload("true")
    first, second = (shared.data("submit", workload, "--key", "k") for _ in range(2))
    assert first["job"]["id"] == second["job"]["id"]
    assert (first["created"], second["created"]) == (True, False)


def test_commands_that_start_together_start_one_server(home: Home) -> None:
    commands = [home.start("status", "--json") for _ in range(4)]
    outputs = [command.communicate(timeout=60) for command in commands]
    assert [c.returncode for c in commands] == [0] * 4, outputs
    assert len({json.loads(out)["data"]["server"]["pid"] for out, _ in outputs}) == 1


def test_only_the_user_can_read_the_servers_token(shared: Home) -> None:
    shared.data("status")
    path = shared.path / "state/server/server.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert str(shared.endpoint()["url"]).startswith("http://127.0.0.1:")


def test_a_killed_server_is_replaced_by_one_of_the_same_profile_and_its_job_goes_on(home: Home) -> None:
    (home.path / "lab.yaml").write_text("name: lab\nbackend: local\nteams: [{name: vision}]\n")
    workload = home.workload("until [ -e go ]; do sleep 0.05; done; echo done", team="vision")
    job = home.data("submit", workload, "--cluster", "./lab.yaml")["job"]["id"]
    until(lambda: home.state_of(job) == "running")
    killed = home.server()
    os.kill(killed.pid, signal.SIGKILL)
    until(lambda: not killed.alive())
    assert home.state_of(job) == "running"
    assert home.server() != killed
    assert home.data("status")["server"]["profile"] == "lab"
    (home.path / "go").touch()
    until(lambda: home.state_of(job) == "succeeded")
    assert len(home.data("status", job)["job"]["runs"]) == 1


def test_a_watch_survives_the_end_of_the_server(home: Home) -> None:
    watch = home.start("submit", home.workload("until [ -e go ]; do sleep 0.05; done"), "--watch")
    assert watch.stdout is not None
    job = watch.stdout.readline().strip()
    until(lambda: home.state_of(job) == "running")
    os.kill(home.server().pid, signal.SIGKILL)
    (home.path / "go").touch()
    assert watch.wait(150) == 0, watch.communicate()


def test_a_stopped_server_leaves_no_word_behind_and_its_jobs_go_on(home: Home) -> None:
    job = home.data("submit", home.workload("until [ -e go ]; do sleep 0.05; done"))["job"]["id"]
    until(lambda: home.state_of(job) == "running")
    stopped = home.server()
    os.kill(stopped.pid, signal.SIGTERM)
    until(lambda: not stopped.alive())
    assert not (home.path / "state/server/server.json").exists()
    assert home.state_of(job) == "running"
    (home.path / "go").touch()
    until(lambda: home.state_of(job) == "succeeded")


def test_a_server_of_an_older_version_hands_over(home: Home) -> None:
    home.data("status")
    old = home.server()
    path = home.path / "state/server/server.json"
    path.write_text(json.dumps(home.endpoint() | {"version": "0.0.1"}))
    done = home.run("status")
    assert done.returncode == 0
    assert "0.0.1" in done.stderr
    assert not old.alive()
    assert home.server() != old


def test_an_idle_embedded_server_ends_by_itself(home: Home) -> None:
    command = [sys.executable, "-P", "-m", "orchestrator.api.server", "--embedded", "--idle-seconds", "0.5"]
    server = subprocess.Popen(command, cwd=home.path, env=home.environment, stderr=subprocess.DEVNULL)
    assert server.wait(40) == 0
    assert not (home.path / "state/server/server.json").exists()


def test_an_embedded_server_stays_while_a_job_is_not_over(home: Home) -> None:
    command = [sys.executable, "-P", "-m", "orchestrator.api.server", "--embedded", "--idle-seconds", "0.5"]
    job = home.data("submit", home.workload("until [ -e go ]; do sleep 0.05; done"))["job"]["id"]
    home.run("serve", "--stop")  # only now one that ends so soon: a command may take longer than that to arrive
    server = subprocess.Popen(command, cwd=home.path, env=home.environment, stderr=subprocess.DEVNULL)
    until(lambda: (home.path / "state/server/server.json").exists())
    with pytest.raises(subprocess.TimeoutExpired):
        server.wait(3)
    (home.path / "go").touch()
    assert server.wait(40) == 0
    assert home.state_of(job) == "succeeded"


def test_a_second_server_of_the_same_user_is_a_conflict(shared: Home) -> None:
    shared.data("status")
    done = shared.run("serve")
    assert done.returncode == 6
    assert str(shared.server().pid) in done.stderr


def test_serve_in_the_foreground_prints_its_address_and_ends_cleanly_on_ctrl_c(home: Home) -> None:
    server = home.start("serve")
    assert server.stdout is not None
    assert server.stdout.readline().startswith("http://127.0.0.1:")
    assert home.data("status")["server"]["embedded"] is False
    server.send_signal(signal.SIGINT)
    _, err = server.communicate(timeout=30)
    assert server.returncode == 0, err
    assert not (home.path / "state/server/server.json").exists()


def test_a_server_that_cannot_start_is_3_and_its_last_words_are_shown(home: Home) -> None:
    (home.path / "state").mkdir()
    (home.path / "state/orchestrator.db").write_bytes(b"this is no database, " * 1000)
    done = home.run("status")
    assert done.returncode == 3
    assert "orchestrator.db" in done.stderr


def test_a_command_beside_a_server_that_is_coming_up_uses_that_one(home: Home) -> None:
    server = home.start("serve")
    lock = home.path / "state/server/lock"
    until(lambda: lock.exists() and lock.read_text().strip() == str(server.pid))
    found = home.data("status")["server"]
    assert (found["pid"], found["embedded"]) == (server.pid, False)
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=30)


@pytest.mark.parametrize("arguments", [["status"], ["serve", "--stop"]])
def test_a_damaged_server_json_is_written_again_by_the_server_that_runs(home: Home, arguments: list[str]) -> None:
    home.data("status")
    pid = home.server().pid
    (home.path / "state/server/server.json").write_text("}garbage{")
    data = home.data(*arguments)
    assert (data["pid"] if "pid" in data else data["server"]["pid"]) == pid
