"""Tells Ray's autoscaler what there should be room for: by a small job, for Ray's REST API has no call for it."""

from __future__ import annotations

import json
import secrets
import shlex
import sys
import threading
from collections.abc import Sequence

from orchestrator.backends.protocol import Room
from orchestrator.backends.ray.rest import RayRest
from orchestrator.base.errors import BackendUnavailable, LaunchRefused
from orchestrator.spec.ray import RaySection

MODULE = "orchestrator.onray.announce"
_PREFIX = "orchestrator-wants-"


def is_announcement(job: str) -> bool:
    """Whether a job of Ray's is a word to its autoscaler, by its name."""
    return job.startswith(_PREFIX)


class Announcer:
    """For one thread, but for `adopt`.

    Args:
        rest: Ray.
        section: of the profile.
    """

    def __init__(self, rest: RayRest, section: RaySection) -> None:
        self._rest = rest
        self._python = section.python or sys.executable
        self._lock = threading.Lock()
        self._jobs: list[str] = []

    def tell(self, wanted: Sequence[Room]) -> None:
        """Say it.

        Raises:
            BackendUnavailable: Ray does not answer.
        """
        name = f"{_PREFIX}{secrets.token_hex(6)}"
        entrypoint = shlex.join([self._python, "-P", "-m", MODULE, json.dumps(bundles_of(wanted))])
        try:
            self._rest.submit({"submission_id": name, "entrypoint": entrypoint})
        except LaunchRefused as error:
            raise BackendUnavailable(error.message) from error
        with self._lock:
            before, self._jobs = self._jobs, [name]
        kept = [job for job in before if self._is_kept(job)]
        with self._lock:
            self._jobs += kept

    def adopt(self, jobs: Sequence[str]) -> None:
        """Jobs of a server that is gone, of which Ray forgets those that are over at the next word."""
        with self._lock:
            self._jobs += [job for job in jobs if is_announcement(job) and job not in self._jobs]

    def _is_kept(self, job: str) -> bool:
        """Whether Ray keeps an older word of ours, which has to be over before it is deleted."""
        try:
            self._rest.delete(job)
        except BackendUnavailable:
            return True
        return False


def bundles_of(wanted: Sequence[Room]) -> list[dict[str, float]]:
    """As Ray takes them, one a worker."""
    found: list[dict[str, float]] = []
    for room in wanted:
        bundle = {"CPU": room.cpus, "GPU": room.gpus, "memory": room.memory}
        found += [{name: float(count) for name, count in bundle.items() if count > 0}] * room.workers
    return found
