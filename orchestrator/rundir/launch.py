"""launch.json: what an agent starts, frozen when the run was created."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from orchestrator.base.errors import NotFound
from orchestrator.base.files import read_json, write_json
from orchestrator.base.paths import CACHE_BYTES_VARIABLE, CACHE_VARIABLE, STATE_VARIABLE
from orchestrator.rundir.layout import RunDirectory

_FOR_JOBS = frozenset(
    {STATE_VARIABLE, CACHE_VARIABLE, CACHE_BYTES_VARIABLE, "ORCHESTRATOR_SLOTS_DIR", "ORCHESTRATOR_TEST_DATA"}
)


@dataclass(frozen=True)
class Launch:
    """The processes of a run.

    Attributes:
        job: job identifier.
        run: run identifier, `<job>-r<n>`.
        token: fencing token.
        argv: what each rank executes.
        env: added to each rank's environment.
        workdir: where the ranks run.
        workers: ranks to start.
        cpus_per_worker: threads that each rank may use.
        gpus_per_worker: GPUs of each rank.
        ranks_share_slots: one process is started that uses all workers' slots itself (a search's driver).
        joiner_argv: where ranks share slots, what is executed on each further node of the allocation, to give its slots
            to that process; empty: nothing.
        self_placed: where ranks share slots, that process has Ray place its workers itself:
            on a Ray cluster nothing is reserved for it beforehand.
        array: the workers know nothing of each other: each takes what is left to do, and one that is lost ends none of
            the others. An engine may start each of them by itself.
        elastic: the workers find each other by views (see `membership`), and come and go while the run goes on.
        min_workers: of an elastic run: with fewer it waits for others, and gives up in the end.
        max_workers: of an elastic run: more cannot share its batch.
        lost_after: seconds of silence after which a worker counts as dead.
        hang_after: seconds of one step after which a worker counts as hung.
        replacements: workers that are started in the place of lost ones, in all.
    """

    job: str
    run: str
    token: int
    argv: tuple[str, ...]
    workdir: str
    workers: int
    cpus_per_worker: int = 1
    gpus_per_worker: int = 0
    ranks_share_slots: bool = False
    self_placed: bool = False
    array: bool = False
    elastic: bool = False
    min_workers: int = 1
    max_workers: int = 1000
    lost_after: float = 5.0
    hang_after: float = 300.0
    replacements: int = 10
    joiner_argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def for_jobs(environment: Mapping[str, str]) -> dict[str, str]:
    """A server's environment without what is the server's own, its token above all: no job may read that."""
    return {n: value for n, value in environment.items() if n in _FOR_JOBS or not n.startswith("ORCHESTRATOR_")}


def for_nodes(environment: Mapping[str, str]) -> dict[str, str]:
    """What of a server's environment its jobs need on other machines too: access to storage, and what is ours."""
    return {n: value for n, value in environment.items() if n in _FOR_JOBS or n.startswith("AWS_")}


def write_launch(run: RunDirectory, launch: Launch, *, durable: bool = True) -> None:
    """Write launch.json."""
    write_json(run.launch, asdict(launch), durable=durable)


def read_launch(run: RunDirectory) -> Launch:
    """Read launch.json.

    Raises:
        NotFound: it is not there.
    """
    document = read_json(run.launch)
    if document is None:
        raise NotFound(f"{run.launch} is missing or damaged", hint="the controller writes it before it launches a run")
    return Launch(**document | {name: tuple(document[name]) for name in ("argv", "joiner_argv")})
