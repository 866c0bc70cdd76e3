"""The ranks of an allocation as processes: started, collected, signalled; each leads a process group of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.process import computed_ticks
from orchestrator.base.sweep import group_is_alive, signal_group
from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime.linux import dies_with_parent
from orchestrator.runtime.logs import tail
from orchestrator.runtime.markers import promises_marker, rank_writer, read_marker, read_will
from orchestrator.runtime.outcome import RankEnd

_VMSTAT = Path("/proc/vmstat")


@dataclass(frozen=True)
class RankStart:
    """What one rank executes.

    Attributes:
        argv: the argument vector; never seen by a shell.
        workdir: where it runs.
        environment: its whole environment.
    """

    argv: Sequence[str]
    workdir: str
    environment: Mapping[str, str]


class Ranks:
    """The ranks of one allocation.

    Only the main thread of a single-threaded process may use it: the kernel ties a rank's life to the thread that
    started it.

    Args:
        run: the run.
        stop_by: by what a rank that has a RunContext is asked to stop.
    """

    def __init__(self, run: RunDirectory, stop_by: signal.Signals = signal.SIGTERM) -> None:
        self._run = run
        self._stop_by = stop_by
        self._pids: dict[int, int] = {}
        self._ends: dict[int, RankEnd] = {}
        self._memory_kills: dict[int, int] = {}
        self._stopping = False

    def start(self, rank: int, start: RankStart) -> None:
        """Start one rank; its output goes to `logs/rank-<r>.log`.

        Raises:
            OSError: the program or the working directory cannot be used.
            ValueError: a string holds a NUL byte.
        """
        self._memory_kills[rank] = _memory_kills()
        log = os.open(self._log(rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            process = subprocess.Popen(
                list(start.argv),
                cwd=start.workdir,
                env=dict(start.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=dies_with_parent(),
            )
        finally:
            os.close(log)
        self._pids[rank] = process.pid
        process.returncode = 0  # `reap` collects it, together with the orphans that fall to this process

    def reap(self) -> list[RankEnd]:
        """Collect dead children; the ranks among them."""
        ended = []
        rank_of = {pid: rank for rank, pid in self._pids.items()}
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                rank = rank_of.get(found[0])
                if rank is not None and rank not in self._ends:
                    self._ends[rank] = self._end(rank, os.waitstatus_to_exitcode(found[1]))
                    ended.append(self._ends[rank])
        return ended

    @property
    def ends(self) -> list[RankEnd]:
        """The ranks that have ended."""
        return [self._ends[rank] for rank in sorted(self._ends)]

    def all_ended(self) -> bool:
        """Whether no rank is left."""
        return not self.living

    @property
    def living(self) -> tuple[int, ...]:
        """The ranks that have not ended."""
        return tuple(rank for rank in self._pids if rank not in self._ends)

    def computing(self) -> dict[int, int]:
        """CPU time of each living process in clock ticks, by rank; stopped ones are left out."""
        found = {rank: computed_ticks(self._pids[rank]) for rank in self.living}
        return {rank: ticks for rank, ticks in found.items() if ticks is not None}

    def groups_alive(self) -> bool:
        """Whether a child of a plain command is left, who may still be writing; a RunContext's helpers may not."""
        return any(group_is_alive(pid) for rank, pid in self._pids.items() if not promises_marker(self._run, rank))

    def ask_to_stop(self) -> None:
        """Tell the rank alone where it has a RunContext (its helpers are its own affair); SIGTERM to other groups."""
        self._stopping = True
        for rank, pid in self._pids.items():
            if rank not in self._ends and promises_marker(self._run, rank):
                os.kill(pid, self._stop_by)
            else:
                signal_group(pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL every group."""
        self._stopping = True
        for pid in self._pids.values():
            signal_group(pid, signal.SIGKILL)

    def kill_one(self, rank: int) -> None:
        """SIGKILL the group of one rank, whatever is left of it."""
        signal_group(self._pids[rank], signal.SIGKILL)

    def end_group(self, rank: int) -> None:
        """SIGKILL what a rank that has ended left in its group, and forget it: its number in the kernel is free now."""
        signal_group(self._pids.pop(rank), signal.SIGKILL)

    def collect_all(self, seconds: float) -> None:
        """Wait for ranks that were killed."""
        deadline = time.monotonic() + seconds
        while not self.all_ended() and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.005)

    def _end(self, rank: int, exit_code: int) -> RankEnd:
        return RankEnd(
            rank,
            exit_code,
            marker=read_marker(self._run, rank) or read_will(self._run, rank),
            owes_marker=promises_marker(self._run, rank),
            last_lines=tail(self._log(rank)),
            memory_ran_out=_memory_kills() > self._memory_kills[rank],
            after_stop=self._stopping,
        )

    def _log(self, rank: int) -> Path:
        return self._run.logs / f"{rank_writer(rank)}.log"


def _memory_kills() -> int:
    """How many processes the kernel has ended for memory since boot; 0 where it does not say."""
    try:
        lines = _VMSTAT.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
