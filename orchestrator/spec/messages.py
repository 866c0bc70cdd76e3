"""What the HTTP API sends and takes: the documents that client, CLI and dashboard share with the server."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.spec.submitter import SubmitterEnvironment


class Message(BaseModel):
    """A document of the HTTP API; readers ignore keys that they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class CodeVersion(Message):
    """The version of the code that a job was submitted from."""

    revision: str | None = None
    dirty: bool | None = None


class SubmitRequest(Message):
    """A workload to queue."""

    source: str = Field(max_length=2_000_000, description="the YAML text, as written")
    filename: str = "workload.yaml"
    overrides: list[str] = Field(default_factory=list, description="as given with --set")
    client_key: str | None = Field(default=None, max_length=200, description="the same key twice is one job")
    workdir: str = Field(description="where the user stood; commands run there")
    environment: SubmitterEnvironment = Field(
        default_factory=dict, description="PATH and its like of the user's shell; commands run with them"
    )
    code: CodeVersion = CodeVersion()


class BulkRequest(Message):
    """Workloads to queue together, all or none."""

    jobs: list[SubmitRequest] = Field(min_length=1, max_length=10_000)


class Progress(Message):
    """The newest word of a run on how far it is."""

    done: float = 0
    total: float = 0
    unit: str = ""
    samples: float = 0
    samples_per_second: float | None = None
    eta_seconds: float | None = None
    best: float | None = None
    best_label: str = ""
    message: str = ""
    time: float = 0


class ResizeRequest(Message):
    """How many workers a running job should have."""

    workers: int | None = Field(ge=1, le=1_000_000, description="pins the width; null: the policy chooses it again")


class Goodput(Message):
    """What the time of runs was spent on, in seconds."""

    useful_seconds: float = Field(default=0, ge=0, description="steps whose result is part of the training")
    redone_seconds: float = Field(default=0, ge=0, description="steps that had to be done again")
    idle_seconds: float = Field(default=0, ge=0, description="neither: starting, resizing, waiting for workers")

    @property
    def seconds(self) -> float:
        """All of them."""
        return self.useful_seconds + self.redone_seconds + self.idle_seconds

    def plus(self, other: Goodput) -> Goodput:
        """The sums."""
        return Goodput(
            useful_seconds=self.useful_seconds + other.useful_seconds,
            redone_seconds=self.redone_seconds + other.redone_seconds,
            idle_seconds=self.idle_seconds + other.idle_seconds,
        )


class Expected(Message):
    """How long something takes, in seconds."""

    seconds: float = Field(description="the median")
    low: float = Field(description="1 of 10 times it takes less")
    high: float = Field(description="1 of 10 times it takes longer")
    source: str = Field(default="", description="what it comes from, in words")


class RunView(Message):
    """One launch of a job."""

    id: str
    number: int
    state: str
    backend: str
    world_size: int = Field(description="workers that share its work now")
    wanted: int | None = Field(default=None, description="workers that it should have")
    goodput: Goodput | None = None
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    failure_class: str | None = None
    message: str = ""
    directory: str


class JobView(Message):
    """A job as people see it."""

    id: str
    name: str
    kind: str = Field(description="command, or the recipe's name, with ` search` where it is one")
    owner: str
    team: str
    priority: int
    state: str
    terminal: bool
    reason: str = Field(description="why it is where it is, in words")
    phase: str = Field(default="", description="of one job that is starting: what it does, and for how long")
    profile: str
    workers: str
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    failures: dict[str, int] = Field(default_factory=dict)
    progress: Progress | None = None
    goodput: Goodput | None = Field(default=None, description="of all its runs together")
    expected: Expected | None = Field(default=None, description="the whole job, with the most workers that it can use")
    left: Expected | None = Field(default=None, description="of a job that runs, with the workers that it has")
    expected_start: float | None = Field(default=None, description="of a job that waits, seconds since the epoch")
    pinned: bool = Field(default=False, description="a person chose its width: the policy leaves it alone")
    preemptions: int = 0
    note: str = Field(default="", description="what to know of the change that was asked for")
    runs: list[RunView] = Field(default_factory=list)
    directory: str


class SubmitReply(Message):
    """The queued job; `created` is false where the client key was known already."""

    job: JobView
    created: bool
    warnings: list[str] = Field(default_factory=list)


class EventView(Message):
    """One entry of a job's history."""

    id: int
    job: str
    run: str | None = None
    time: float
    kind: str
    message: str
    data: dict[str, Any] = Field(default_factory=dict)


class TrialView(Message):
    """One member of a search."""

    index: int
    state: str
    seed: int | None = Field(default=None, description="of its training")
    parameters: dict[str, Any] = Field(default_factory=dict)
    complexity: dict[str, int | float] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict, description="after its last epoch")
    epochs: float = 0
    seconds: float = 0
    message: str = ""


class Below(Message):
    """How many models of a population have an error below a threshold."""

    error: float
    models: int
    fraction: float


class EdfView(Message):
    """The error EDF of a population, in numbers."""

    models: int
    min: float
    lower_quartile: float
    median: float
    upper_quartile: float
    max: float
    mean: float
    below: list[Below] = Field(default_factory=list, description="at round thresholds")


class SearchView(Message):
    """What the trials of a search have found so far."""

    total: int = Field(description="trials of the workload")
    states: dict[str, int] = Field(default_factory=dict, description="how many trials are in each state")
    missing: int = Field(default=0, description="trials that have not ended")
    equal_budgets: bool = Field(default=True, description="false: the scheduler ends trials early")
    caveat: str = Field(default="", description="why this is no EDF of the paper's kind; empty where it is one")
    best: int | None = Field(default=None, description="the finished trial with the lowest validation error")
    edf: EdfView | None = Field(default=None, description="of the trials that finished or were ended early")
    fronts: dict[str, list[int]] = Field(
        default_factory=dict, description="for each cost, the trials that none beats in error and cost, by rising cost"
    )


class ResultFile(Message):
    """A file that a job left for people."""

    name: str
    path: str
    bytes: int


class ResultsView(Message):
    """What a job has found so far."""

    job: JobView
    summary: dict[str, Any] = Field(default_factory=dict)
    trials: list[TrialView] = Field(default_factory=list)
    search: SearchView | None = Field(default=None, description="of a search only")
    files: list[ResultFile] = Field(default_factory=list)
    tracking: dict[str, Any] = Field(default_factory=dict)


class LogFile(Message):
    """One process's log."""

    run: str
    name: str
    bytes: int


class ServerInfo(Message):
    """Who answers."""

    version: str
    pid: int
    started_at: float
    embedded: bool
    profile: str
    backend: str
    state_dir: str
    slots: int
    slots_free: int
    cpus: int = Field(default=0, description="cores beside the slots; 0: not counted")
    cpus_free: int = 0
    notes: list[str] = Field(default_factory=list, description="what is wrong with the engine, or with its profile")
    tracking_uri: str
    object_store: dict[str, str] = Field(
        default_factory=dict, description="hashes of the variables that say which object store is read"
    )
    role: str
    user: str


class ErrorView(Message):
    """Why a request failed."""

    code: str
    message: str
    hint: str = ""
    exit_code: int = 1
