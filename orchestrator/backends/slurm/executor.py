"""submitit's Slurm executor, for one allocation: its script, its body, its files. Imported where submitit is there."""

from __future__ import annotations

import importlib
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor, SlurmJob
from submitit.core.utils import DelayedSubmission

BODY = "orchestrator.runtime.batch"
"""The module whose `main` is the body: of the work plane, and so named, and only imported to be submitted."""

_ONE = ("", '"$SLURM_JOB_ID"')
_TASK = ('-"$SLURM_ARRAY_TASK_ID"', '"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"')
"""What tells the bodies apart: in our name of the file, and in the one that submitit looks for."""

_NOT_YET = "trap '' USR1"
"""Where Slurm tells of a time limit before the body listens, the word is lost; it would kill the body otherwise."""


class _Submitted(SlurmJob[Any]):
    """A job that submitit's own watcher does not look for."""

    def _register_in_watcher(self) -> None:
        pass


class AllocationExecutor(SlurmExecutor):
    """Submits the body of one allocation.

    submitit gives its files their final names once it knows the number of the job, and a body that does not find its
    own gives up: a server that dies in between leaves a job that cannot start. Here the script links the file to the
    name that the body looks for, so that nothing is left to do once sbatch was asked.

    Args:
        folder: of submitit's files, in the run's directory.
        name: of this allocation's files.
        python: the interpreter on the nodes.
        parameters: as submitit takes them.
        sbatch: submits a script, and says which number it has.
        tasks: of an array; 0: it is none.
    """

    job_class = _Submitted

    def __init__(
        self,
        folder: Path,
        name: str,
        python: str,
        parameters: Mapping[str, Any],
        sbatch: Callable[[Path], str],
        *,
        tasks: int = 0,
    ) -> None:
        super().__init__(folder, max_num_timeout=0, python=f"exec {shlex.quote(python)}")
        self._name = name
        self._tasks = tasks
        self._sbatch = sbatch
        ours, theirs = _TASK if tasks else _ONE
        link = f"ln -sfn {shlex.quote(name)}{ours}.pkl {shlex.quote(str(self.folder))}/{theirs}_submitted.pkl"
        self.parameters = {**parameters, "setup": [_NOT_YET, link, *parameters.get("setup", ())]}
        if tasks:
            self.parameters |= {"map_count": tasks, "array_parallelism": tasks}

    @property
    def text(self) -> str:
        """The script."""
        return self._make_submission_file_text(self._submitit_command_str, self._name)

    @property
    def script(self) -> Path:
        """Where it is written."""
        return self.folder / f"{self._name}.sh"

    def begin(self, run_directory: Path, agents: Sequence[str]) -> str:
        """Submit the body, for each of these agents a task of an array where it is one; the number of the job."""
        body = importlib.import_module(BODY).main
        (job,) = self.map_array(body, [str(run_directory)] * len(agents), agents)
        return job.job_id

    @classmethod
    def affinity(cls) -> int:
        """Whether Slurm is there is seen when it is asked."""
        return 2

    @property
    def _submitit_command_str(self) -> str:
        return f"{self.python} -u -P -m submitit.core._submit {shlex.quote(str(self.folder))}"

    def _num_tasks(self) -> int:
        return 1

    def _internal_process_submissions(self, delayed_submissions: list[DelayedSubmission]) -> list[Any]:
        self.folder.mkdir(exist_ok=True)
        for task, body in enumerate(delayed_submissions):
            body.set_timeout(self.parameters.get("time") or 0, 0)
            path = self.folder / f"{self._name}{f'-{task}' if self._tasks else ''}.pkl"
            body.dump(path.with_suffix(".tmp"))
            os.replace(path.with_suffix(".tmp"), path)
        return [self._submit_command(self._submitit_command_str)]

    def _submit_command(self, command: str) -> SlurmJob[Any]:
        self.script.write_text(self._make_submission_file_text(command, self._name))
        return self.job_class(self.folder, self._sbatch(self.script))
