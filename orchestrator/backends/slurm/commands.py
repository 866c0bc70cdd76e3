"""Runs Slurm's programs: as argument vectors, in an environment of their own, bounded in time and in what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator.backends.slurm.binding import bound
from orchestrator.backends.slurm.programs import Programs
from orchestrator.base.errors import BackendUnavailable
from orchestrator.base.text import one_line
from orchestrator.spec.slurm import SlurmSection

PATIENCE = 60.0
"""Seconds that a program may take."""

_BOUND = frozenset({"sbatch"})
"""What they do after this process has died would be done twice: the next server cannot know of it."""
_FOREIGN = re.compile(r"(SLURM|SLURMD|SBATCH|SALLOC|SRUN|SQUEUE|SACCT|SINFO|SCANCEL|SCONTROL)_")
"""Where the server itself was started by Slurm, or a person has set defaults, jobs must not inherit them."""
_KEPT = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"})
_UNREACHABLE = re.compile(
    r"unable to contact|unable to establish|connection refused|connection timed out|socket timed out|zero bytes were "
    r"transmitted|no route to host|backup controller|slurmctld.*(not responding|down)|temporarily unable|"
    r"communication connection failure|message receive failure|message send failure|connection reset by peer|"
    r"transport endpoint is not connected|broken pipe|(network|host) is (unreachable|down)|"
    r"\A.*unspecified error\s*\Z",  # after words of a cluster's own rules it is a refusal
    re.IGNORECASE,
)
_IDENTITY = re.compile(r"munge|authentication|credential", re.IGNORECASE)
_CONFIGURATION = re.compile(
    r"configuration (source|file)|slurm\.conf|no config file|load config|resolve/load", re.IGNORECASE
)


@dataclass(frozen=True)
class Answer:
    """What one program said.

    Attributes:
        program: its name.
        code: its exit status.
        out: standard output.
        err: standard error.
    """

    program: str
    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Its complaint on one line."""
        return one_line(self.err or self.out or f"ended with {self.code}", 300)


Runner = Callable[..., Answer]
"""`runner(program, *arguments, patience=…)`: what `Slurm.read` is to those who only read."""


class Slurm:
    """The programs of one Slurm, as a profile says where they are. Threads may share it.

    Args:
        section: of the profile.
        environment: the server's; default: that of this process.
        patience: seconds that a program may take.
    """

    def __init__(
        self, section: SlurmSection, *, environment: Mapping[str, str] | None = None, patience: float = PATIENCE
    ) -> None:
        self._commands = section.commands
        self._patience = patience
        self._environment = _cleaned(os.environ if environment is None else environment, section)
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._programs = Programs()

    @property
    def environment(self) -> dict[str, str]:
        """In which its programs run: without what Slurm would take for options, and with answers in plain English."""
        return dict(self._environment)

    @property
    def calls(self) -> Mapping[str, int]:
        """How often each program was started."""
        with self._lock:
            return dict(self._calls)

    def path(self, program: str) -> str | None:
        """Where a program lies; None where it is missing."""
        return shutil.which(program, path=self._commands or self._environment.get("PATH", os.defpath))

    def call(
        self,
        program: str,
        *arguments: str,
        patience: float | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> Answer:
        """Run one program to its end, whatever its exit status.

        Args:
            program: its name.
            arguments: its own.
            patience: seconds that it may take; default: those of this object.
            environment: in which it runs: sbatch hands its own to the job; default: `self.environment`.
            stdin: an open file that it reads.

        Raises:
            BackendUnavailable: it, or slurm.conf, is missing; it is too slow, says too much, or reaches no Slurm.
        """
        path = self.path(program)
        if path is None:
            where = self._commands or "the folders of $PATH"
            raise BackendUnavailable(
                f"Slurm's program {program} is not in {where}",
                hint="install Slurm's commands on this machine, or name their folder in the profile: slurm.commands",
            )
        if (conf := self._environment.get("SLURM_CONF")) and not os.path.exists(conf):  # Slurm waits a minute for it
            raise BackendUnavailable(
                f"there is no file {one_line(conf)} on this machine, which should say where Slurm is",
                hint="name the cluster's slurm.conf in the profile (slurm.conf), or in $SLURM_CONF",
            )
        with self._lock:
            self._calls[program] += 1
        limit = self._patience if patience is None else patience
        argv = bound([path, *arguments]) if program in _BOUND else [path, *arguments]
        code, out, err = self._programs.run(program, argv, environment or self._environment, limit, stdin)
        answer = Answer(program, code, out.decode(errors="replace"), err.decode(errors="replace"))
        if code != 0 and (hint := _outage(answer.err)):
            raise BackendUnavailable(f"{program}: {answer.words}", hint=hint)
        return answer

    def close(self) -> None:
        """End what runs, and run nothing more."""
        self._programs.close()

    def read(self, program: str, *arguments: str, patience: float | None = None) -> Answer:
        """Run one program that only looks; anything but success means that it could not.

        Raises:
            BackendUnavailable: there is no answer.
        """
        answer = self.call(program, *arguments, patience=patience)
        if answer.code != 0:
            raise BackendUnavailable(
                f"{program} ended with {answer.code}: {answer.words}",
                hint=f"run it by hand on the server's machine: {program} {' '.join(arguments)[:200]}",
            )
        return answer


def _cleaned(environment: Mapping[str, str], section: SlurmSection) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if name in _KEPT or not _FOREIGN.match(name)}
    if section.conf is not None:
        kept["SLURM_CONF"] = section.conf
    if section.commands is not None:
        kept["PATH"] = os.pathsep.join([section.commands, kept.get("PATH", os.defpath)])
    return kept | {"LC_ALL": "C", "SLURM_TIME_FORMAT": "%s"}


def _outage(complaint: str) -> str:
    """What to do where a complaint means that Slurm was not reached; empty where it does not."""
    if _IDENTITY.search(complaint):
        return "see whether munged runs on this machine, with the key of the cluster: munge -n | unmunge"
    if _CONFIGURATION.search(complaint):
        return "name the cluster's slurm.conf in the profile (slurm.conf), or in $SLURM_CONF"
    if _UNREACHABLE.search(complaint):
        return "see whether slurmctld runs and can be reached from this machine: scontrol ping"
    return ""
