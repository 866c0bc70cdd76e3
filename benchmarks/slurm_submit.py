"""How fast jobs reach Slurm beside plain submitit and plain sbatch, and how often Slurm is asked while it has them."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from figures import Figure, options, report, tool

from orchestrator.api.endpoint import read_endpoint
from orchestrator.client import Client, HttpTransport
from orchestrator.spec.messages import SubmitRequest

PROGRAMS = ("sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo", "sacctmgr", "sprio", "srun")
DEV_CLUSTER = Path(__file__).parents[1] / "cluster" / "slurm" / "dev-cluster"
LAUNCH_SHARE = 0.9
MOST_COMMANDS = 8.0
_PACED_JOBS = 100
"""Enough to see the pace of submitit, which waits 0.2 s between two jobs."""
_NODES = 2
_MINUTE = 60.0
_PROFILE = """\
name: bench
backend: slurm
runs_dir: {runs}
slurm:
  partition: batch
  waiting: 100000
"""
_WORKLOAD = "name: wait-{number}\ncommand: [sleep, '5']\ntime_limit: 10m\n"
_OF_JOBS = "-of-jobs"
_WRAPPER = """\
#!/bin/sh
printf '%s\\n' {name}${{SLURM_JOB_ID:+{of_jobs}}} >> {count}
exec {program} "$@"
"""


@dataclass(frozen=True)
class Size:
    """How much is measured: jobs of each way, repetitions of all ways, seconds of watching."""

    jobs: int
    rounds: int
    watching: float


FULL, QUICK = Size(1000, 3, 180.0), Size(60, 1, 20.0)


@dataclass(frozen=True)
class Bench:
    """A development cluster whose nodes are taken, so that all jobs wait; its programs count their calls.

    Attributes:
        folder: of everything.
        environment: in which its programs are found.
        taken: jobs that take a node each.
    """

    folder: Path
    environment: dict[str, str]
    taken: list[str] = field(default_factory=list)

    @property
    def _count(self) -> Path:
        return self.folder / "count"

    def calls(self) -> Counter[str]:
        """How often each program was called since the last `forget`; what jobs call is counted apart."""
        return Counter(self._count.read_text().split())

    def forget(self) -> None:
        """Count anew."""
        self._count.write_text("")

    def run(self, *argv: str) -> str:
        """One of its programs."""
        return subprocess.run(argv, env=self.environment, check=True, capture_output=True, text=True).stdout

    def waiting(self) -> int:
        """Jobs that wait in Slurm's queue."""
        return len(self.run("squeue", "--me", "--noheader", "--format=%i", "--states=PENDING").split())

    def clear(self) -> None:
        """Cancel every job that waits, and wait until none is left in the queue."""
        self.run("scancel", "--state=PENDING", f"--user={os.getuid()}")
        _wait_for(lambda: not self.waiting(), "the queue is empty")


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """Bring it up, and take it down again whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="orch-bench-"))
    place = str(folder / "cluster")
    up = subprocess.run([DEV_CLUSTER, "up", "--at", place, "--nodes", str(_NODES)], check=False, stdout=sys.stderr)
    if up.returncode:  # it has said why
        shutil.rmtree(folder, ignore_errors=True)
        raise SystemExit(up.returncode)
    try:
        environment = dict(os.environ) | _exported(place)
        wrapped = folder / "bin"
        wrapped.mkdir()
        (folder / "count").touch()
        for name in PROGRAMS:
            program = shutil.which(name, path=environment["PATH"])
            path = wrapped / name
            path.write_text(_WRAPPER.format(name=name, of_jobs=_OF_JOBS, count=folder / "count", program=program))
            path.chmod(0o755)
        environment |= {"PATH": f"{wrapped}:{environment['PATH']}", "ORCHESTRATOR_STATE_DIR": str(folder / "state")}
        found = Bench(folder, environment)
        for _ in range(_NODES):  # what fills the nodes, so that all that follows waits
            options = ("--parsable", "--exclusive", "--time=600", "--output=/dev/null")
            found.taken.append(found.run("sbatch", *options, "--wrap=sleep 36000").strip())
        yield found
    finally:
        subprocess.run([DEV_CLUSTER, "down", "--at", place], check=False, stdout=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)


def _exported(place: str) -> dict[str, str]:
    """What `dev-cluster env` exports."""
    text = subprocess.run([DEV_CLUSTER, "env", "--at", place], check=True, capture_output=True, text=True).stdout
    script = f"{text}\nenv -0"
    shown = subprocess.run(["/bin/sh", "-c", script], check=True, capture_output=True, text=True).stdout
    pairs = (line.partition("=") for line in shown.split("\0") if line)
    return {name: value for name, _, value in pairs if name.startswith("SLURM") or name == "PATH"}


@contextlib.contextmanager
def server(found: Bench) -> Iterator[Client]:
    """A server of the orchestrator for that cluster, with a queue of its own that is empty."""
    state = Path(found.environment["ORCHESTRATOR_STATE_DIR"])
    shutil.rmtree(state, ignore_errors=True)
    profile = found.folder / "bench.yaml"
    profile.write_text(_PROFILE.format(runs=found.folder / "runs"))
    process = subprocess.Popen(
        [tool("orchestrator"), "serve", "--profile", str(profile)],
        env=found.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.environ["ORCHESTRATOR_STATE_DIR"] = str(state)
    try:
        yield _client(process)
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(found.folder / "runs", ignore_errors=True)


def _client(process: subprocess.Popen[bytes]) -> Client:
    for _ in range(300):
        if (endpoint := read_endpoint()) is not None:
            return Client(HttpTransport(endpoint.url, timeout=300.0), endpoint.token)
        if process.poll() is not None:
            raise SystemExit("the server ended; try `orchestrator serve --profile` with a profile of backend slurm")
        time.sleep(0.1)
    raise SystemExit("the server does not answer")


@dataclass
class Measured:
    """Rates of all rounds."""

    acknowledged: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    submitit: list[float] = field(default_factory=list)
    unpaced: list[float] = field(default_factory=list)
    sbatch: list[float] = field(default_factory=list)
    watching: Counter[str] = field(default_factory=Counter)
    begun: int = 0


def ours(found: Bench, size: Size, measured: Measured) -> None:
    """One bulk submit; how fast it is acknowledged, and how fast its jobs reach Slurm."""
    with server(found) as client:
        started = time.perf_counter()
        acknowledged = _submit(found, client, size.jobs)
        measured.acknowledged.append(size.jobs / (acknowledged - started))
        measured.ours.append(size.jobs / (time.perf_counter() - started))
    found.clear()


def watch(found: Bench, size: Size, measured: Measured) -> None:
    """How often Slurm is asked about as many jobs, some of which begin and end meanwhile on one node."""
    with server(found) as client:
        _submit(found, client, size.jobs)
        note(f"watching {size.jobs} jobs for {size.watching:g} s")
        found.run("scancel", found.taken.pop())
        found.forget()
        time.sleep(size.watching)
        measured.watching = found.calls()
        measured.begun = size.jobs - found.waiting()
    found.clear()


def _submit(found: Bench, client: Client, jobs: int) -> float:
    """Submit them at once, and wait until Slurm has all; when they were acknowledged."""
    requests = [
        SubmitRequest(source=_WORKLOAD.format(number=number), workdir="/", client_key=f"bench-{number}")
        for number in range(jobs)
    ]
    found.forget()
    client.submit_many(requests)
    acknowledged = time.perf_counter()
    _wait_for(lambda: found.calls()["sbatch"] >= jobs and found.waiting() >= jobs, "jobs reach Slurm")
    return acknowledged


def submitit(found: Bench, jobs: int, *, paced: bool) -> float:
    """Launches/s with submitit alone, one job after the other.

    Args:
        found: the cluster.
        jobs: how many.
        paced: as it is; False: without its wait between two jobs, which no option of it takes away.
    """
    program = f"""
import submitit, time
executor = submitit.SlurmExecutor(folder={str(found.folder / "submitit")!r})
executor.update_parameters(time=10, partition="batch", job_name="bench")
executor._throttling = {0.2 if paced else 0.0}
started = time.perf_counter()
for number in range({jobs}):
    executor.submit(time.sleep, 60)
print({jobs} / (time.perf_counter() - started))
"""
    rate = float(found.run(sys.executable, "-c", program))
    found.clear()
    return rate


def sbatch(found: Bench, size: Size, measured: Measured) -> None:
    """The same with sbatch alone, one job after the other."""
    script = found.folder / "plain.sh"
    script.write_text("#!/bin/sh\n#SBATCH --time=10 --partition=batch --output=/dev/null\nsleep 60\n")
    started = time.perf_counter()
    for _ in range(size.jobs):
        found.run("sbatch", str(script))
    measured.sbatch.append(size.jobs / (time.perf_counter() - started))
    found.clear()


def _wait_for(condition: Callable[[], bool], what: str, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"gave up after {seconds:g} s of waiting until {what}")
        time.sleep(0.02)


def note(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "")
    size, measured = QUICK if chosen.quick else FULL, Measured()
    with bench() as found:
        for number in range(size.rounds):
            note(f"round {number + 1} of {size.rounds}: {size.jobs} jobs each")
            ours(found, size, measured)
            measured.submitit.append(submitit(found, min(size.jobs, _PACED_JOBS), paced=True))
            measured.unpaced.append(submitit(found, size.jobs, paced=False))
            sbatch(found, size, measured)
        watch(found, size, measured)
    report(_figures(size, measured), packages=["submitit"], as_json=chosen.json is not None)


def _figures(size: Size, measured: Measured) -> list[Figure]:
    launches, unpaced = statistics.median(measured.ours), statistics.median(measured.unpaced)
    peers: dict[str, float | str] = {
        "submitit": statistics.median(measured.submitit),
        "submitit without its wait": unpaced,
        "sbatch": statistics.median(measured.sbatch),
    }
    calls = {name: count for name, count in measured.watching.most_common() if not name.endswith(_OF_JOBS)}
    asked = sum(calls.values()) * 60.0 / size.watching
    listed = ", ".join(f"{name} {count}" for name, count in calls.items())
    theirs = sum(measured.watching.values()) - sum(calls.values())
    return [
        Figure(
            f"acknowledged of one bulk submit of {size.jobs}",
            "jobs/s",
            statistics.median(measured.acknowledged),
            note="durable: each is in the store, on the disk, before the answer is sent.",
        ),
        Figure(
            "launches",
            "jobs/s",
            launches,
            peers,
            goal=f"at least {LAUNCH_SHARE} of submitit's, also without its wait",
            holds=launches >= LAUNCH_SHARE * unpaced,
            note="ours: from the bulk submit until the last sbatch; the peers submit one job after the other; submitit "
            "by itself waits 0.2 s between two.",
        ),
        Figure(
            f"Slurm commands while {size.jobs} jobs are watched",
            "1/min",
            asked,
            goal=f"at most {MOST_COMMANDS:g}",
            holds=asked <= MOST_COMMANDS if size.watching >= _MINUTE else None,
            note=f"counted by wrappers in PATH over {size.watching:g} s, in which {measured.begun} began: {listed}. "
            f"Left out are {theirs} that jobs ran on their own nodes, an srun as each begins.",
        ),
    ]


if __name__ == "__main__":
    main()
