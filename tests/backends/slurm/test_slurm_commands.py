"""How Slurm's programs are run, with programs of our own in their place."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.backends.slurm import binding
from orchestrator.backends.slurm.binding import bound
from orchestrator.backends.slurm.commands import Slurm
from orchestrator.base.errors import BackendUnavailable
from orchestrator.base.process import ProcessIdentity
from orchestrator.spec.slurm import SlurmSection

Programs = Callable[..., Slurm]


def await_that(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_arguments_reach_a_program_as_they_are(programs: Programs) -> None:
    slurm = programs(squeue='for a in "$@"; do echo "[$a]"; done')
    assert slurm.read("squeue", "a b", "$(id)", "; ls", "x\ny").out == "[a b]\n[$(id)]\n[; ls]\n[x\ny]\n"


def test_programs_know_the_cluster_of_the_profile_and_speak_plain_english(programs: Programs, tmp_path: Path) -> None:
    (conf := tmp_path / "slurm.conf").touch()
    slurm = Slurm(
        SlurmSection(commands=str(programs(squeue="env")._commands), conf=str(conf)),
        environment={"PATH": "/usr/bin:/bin", "LANG": "de_DE.UTF-8", "SLURM_CONF": "/elsewhere"},
    )
    said = slurm.read("squeue").out.splitlines()
    assert {f"SLURM_CONF={conf}", "LC_ALL=C", "SLURM_TIME_FORMAT=%s"} <= {*said}


def test_without_one_in_the_profile_the_environment_says_which_cluster(programs: Programs, tmp_path: Path) -> None:
    (conf := tmp_path / "slurm.conf").touch()
    slurm = programs(squeue="env", environment={"PATH": "/usr/bin:/bin", "SLURM_CONF": str(conf)})
    assert f"SLURM_CONF={conf}" in slurm.read("squeue").out.splitlines()


def test_no_program_is_started_to_wait_for_a_configuration_that_is_not_there(programs: Programs) -> None:
    slurm = programs(squeue="sleep 60", environment={"PATH": "/usr/bin:/bin", "SLURM_CONF": "/etc/lab/none.conf"})
    with pytest.raises(BackendUnavailable, match=r"no file /etc/lab/none\.conf on this machine") as raised:
        slurm.read("squeue")
    assert "slurm.conf" in raised.value.hint
    assert slurm.calls == {}


@pytest.mark.parametrize(
    "name", ["SQUEUE_FORMAT", "SBATCH_ACCOUNT", "SLURM_JOB_ID", "SLURM_CLUSTERS", "SACCT_FEDERATION"]
)
def test_what_slurm_would_take_for_an_option_is_not_handed_on(programs: Programs, name: str) -> None:
    slurm = programs(squeue="env", environment={"PATH": "/usr/bin:/bin", name: "x"})
    assert name not in slurm.read("squeue").out


def test_a_missing_program_is_named_with_where_it_was_looked_for(programs: Programs) -> None:
    slurm = programs(squeue="true")
    with pytest.raises(BackendUnavailable, match=r"program sbatch is not in .*/programs") as raised:
        slurm.call("sbatch")
    assert "slurm.commands" in raised.value.hint


def test_a_program_that_cannot_be_started_is_told(programs: Programs) -> None:
    slurm = programs(squeue="true")
    path = slurm.path("squeue")
    assert path is not None
    with open(path, "w") as file:
        file.write("#!/no/such/interpreter\n")
    with pytest.raises(BackendUnavailable, match="cannot be started"):
        slurm.call("squeue")


def test_a_slow_program_is_ended_with_all_that_it_started(programs: Programs, tmp_path: Path) -> None:
    slurm = programs(squeue=f"sleep 60 & echo $! > {tmp_path}/pid; wait", patience=0.5)
    with pytest.raises(BackendUnavailable, match=r"did not answer within 0\.5 s"):
        slurm.read("squeue")
    child = int((tmp_path / "pid").read_text())
    await_that(lambda: ProcessIdentity.of(child) is None)


def test_a_program_that_runs_is_ended_with_its_owner(programs: Programs, tmp_path: Path) -> None:
    slurm = programs(squeue=f"sleep 60 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(slurm.read, "squeue")
        await_that((tmp_path / "pid").exists)
        slurm.close()
        with pytest.raises(BackendUnavailable, match="squeue was ended"):
            answer.result(5)
    child = int((tmp_path / "pid").read_text())
    await_that(lambda: ProcessIdentity.of(child) is None)
    with pytest.raises(BackendUnavailable, match="squeue was ended"):
        slurm.read("squeue")


def test_a_program_whose_child_keeps_its_output_open_is_slow(programs: Programs) -> None:
    slurm = programs(squeue="sleep 60 & exit 0", patience=0.3)
    with pytest.raises(BackendUnavailable, match="did not answer"):
        slurm.read("squeue")


def test_a_program_that_says_too_much_is_ended(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.backends.slurm.programs.MOST_OUTPUT", 1 << 20)
    with pytest.raises(BackendUnavailable, match="said more than 1 MiB"):
        programs(squeue="yes").read("squeue")


def test_ten_megabytes_are_read(programs: Programs) -> None:
    assert len(programs(squeue="head -c 10000000 /dev/zero | tr '\\0' x").read("squeue").out) == 10_000_000


def test_what_is_no_text_is_read_all_the_same(programs: Programs) -> None:
    assert programs(squeue=r"printf 'a\377b'").read("squeue").out == "a�b"


def test_another_exit_status_is_an_answer_to_who_can_use_it(programs: Programs) -> None:
    answer = programs(sbatch="echo no >&2; exit 1").call("sbatch")
    assert (answer.code, answer.words) == (1, "no")


def test_who_only_looks_is_told_that_it_failed(programs: Programs) -> None:
    slurm = programs(squeue="echo 'squeue: error: something odd' >&2; exit 3")
    with pytest.raises(BackendUnavailable, match="squeue ended with 3: squeue: error: something odd"):
        slurm.read("squeue")


@pytest.mark.parametrize(
    ("complaint", "hint"),
    [
        ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", "scontrol ping"),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", "scontrol ping"),
        ("sacct: error: Sending PersistInit msg: Connection refused", "scontrol ping"),
        ('sbatch: error: Munge encode failed: Failed to access "/run/munge"', "munge -n | unmunge"),
        ("sbatch: error: Batch job submission failed: Connection reset by peer", "scontrol ping"),
        ("slurm_load_jobs error: Transport endpoint is not connected", "scontrol ping"),
        ("sbatch: error: Batch job submission failed: Unspecified error", "scontrol ping"),
        ("squeue: error: Protocol authentication error", "munge -n | unmunge"),
        ("squeue: fatal: Could not establish a configuration source", "$SLURM_CONF"),
    ],
)
def test_slurm_that_is_not_reached_is_unavailable_with_what_to_do(
    programs: Programs, complaint: str, hint: str
) -> None:
    slurm = programs(sbatch=f"cat >&2 <<'EOF'\n{complaint}\nEOF\nexit 1")
    with pytest.raises(BackendUnavailable) as raised:
        slurm.call("sbatch")
    assert complaint in raised.value.message
    assert hint in raised.value.hint


def test_calls_are_counted_over_all_threads(programs: Programs) -> None:
    slurm = programs(squeue="true", sacct="true")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: slurm.read(name), ["squeue"] * 12 + ["sacct"] * 3))
    assert slurm.calls == {"squeue": 12, "sacct": 3}


@pytest.mark.parametrize("way", ["setpriv", "python"])
def test_an_sbatch_that_waits_dies_with_the_server(programs: Programs, tmp_path: Path, way: str) -> None:
    folder = programs(sbatch=f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 60")._commands
    server = (
        "import sys; from orchestrator.backends.slurm import binding; from orchestrator.backends.slurm.commands import"
        " Slurm; from orchestrator.spec.slurm import SlurmSection; binding._setpriv = sys.argv[2] and (lambda: None) or"
        " binding._setpriv; Slurm(SlurmSection(commands=sys.argv[1]), environment={'PATH': '/bin'}).call('sbatch')"
    )
    process = subprocess.Popen([sys.executable, "-c", server, str(folder), way if way == "python" else ""])
    try:
        await_that((tmp_path / "pid").exists)
    finally:
        process.kill()
        process.wait()
    sbatch = int((tmp_path / "pid").read_text())
    await_that(lambda: ProcessIdentity.of(sbatch) is None)


@pytest.mark.parametrize("way", ["setpriv", "python"])
def test_nothing_begins_for_a_server_that_is_dead_already(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "python":
        monkeypatch.setattr(binding, "_setpriv", lambda: None)
    assert subprocess.run(bound(["/bin/echo", "a b", "c"]), capture_output=True, text=True).stdout == "a b c\n"
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert subprocess.run(bound(["/bin/echo", "a b"]), capture_output=True, text=True).stdout == ""


def test_no_program_keeps_a_descriptor_of_ours(programs: Programs) -> None:
    slurm = programs(squeue="true")
    slurm.read("squeue")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        slurm.read("squeue")
    assert len(os.listdir("/proc/self/fd")) == before
