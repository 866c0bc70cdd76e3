"""The places of an elastic allocation: room for one worker each, taken from the machine and given back while it runs.

A place is some slots of a pool (see `Grant`); an allocation without a pool has as many places as it was granted.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from orchestrator.base.errors import BackendError, BackendUnavailable
from orchestrator.base.slots import Lease, give_back
from orchestrator.rundir.grant import Grant, Pool
from orchestrator.rundir.launch import Launch
from orchestrator.runtime.keeping import Keeping
from orchestrator.runtime.logs import say


@dataclass(frozen=True)
class _Place:
    """Room for one worker: its slots, none where there is no pool, and its GPUs."""

    lease: Lease
    devices: tuple[str, ...] | None


class Places:
    """What an allocation holds, and which worker sits where.

    Args:
        grant: what it begins with.
        launch: what a worker needs.
        keeping: makes the guard hold what is taken, too, so that it stays locked until nothing of the run is alive.
    """

    def __init__(self, grant: Grant, launch: Launch, keeping: Keeping) -> None:
        self._pool = grant.pool
        self._launch = launch
        self._keeping = keeping
        self._places = list(_first_places(grant, launch))
        self._taken_by: dict[int, _Place] = {}

    @property
    def room(self) -> int:
        """Workers that can be here at a time."""
        return len(self._places)

    def occupy(self, number: int) -> tuple[str, ...] | None:
        """Give a worker a place.

        Returns:
            Its GPUs; None: leave them to the engine.

        Raises:
            BackendUnavailable: every place is taken.
        """
        seated = self._taken_by.values()
        place = next((place for place in self._places if all(place is not other for other in seated)), None)
        if place is None:
            raise BackendUnavailable(f"no place is free for worker {number}: all {self.room} are taken")
        self._taken_by[number] = place
        return place.devices

    def vacate(self, number: int) -> None:
        """A worker has ended, and everything below it; harmless where it had no place."""
        self._taken_by.pop(number, None)

    def fit(self, wanted: int) -> bool:
        """Take places up to `wanted` as far as the machine has free ones, or give back those above it that are empty.

        Returns:
            Whether the room has changed.
        """
        before = self.room
        while self._pool is not None and self.room < wanted and self._take(self._pool):
            pass
        seated = self._taken_by.values()
        for place in [p for p in reversed(self._places) if all(p is not other for other in seated)]:
            if self._pool is not None and self.room > wanted:
                self._give_back(place)
        return self.room != before

    def _take(self, pool: Pool) -> bool:
        try:
            lease = pool.locks.take(pool.each)
        except BackendUnavailable:
            return False
        except (BackendError, OSError) as error:
            say(f"cannot take slots: {error}")
            return False
        if not self._keeping.keep(lease):
            for handle in lease.handles:
                give_back(handle)
            return False
        self._places.append(_Place(lease, _devices(pool, lease, self._launch)))
        return True

    def _give_back(self, place: _Place) -> None:
        self._places.remove(place)
        for handle in place.lease.handles:
            with contextlib.suppress(OSError):
                give_back(handle)
        self._keeping.drop(place.lease)


def _first_places(grant: Grant, launch: Launch) -> list[_Place]:
    if grant.pool is not None:
        pool = grant.pool
        leases = [
            Lease(pool.slots[i : i + pool.each], pool.handles[i : i + pool.each])
            for i in range(0, len(pool.slots), pool.each)
        ]
        return [_Place(lease, _devices(pool, lease, launch)) for lease in leases]
    each, devices = launch.gpus_per_worker, grant.devices
    count = launch.workers if grant.workers is None else grant.workers
    return [_Place(Lease(), None if devices is None else devices[i * each : (i + 1) * each]) for i in range(count)]


def _devices(pool: Pool, lease: Lease, launch: Launch) -> tuple[str, ...] | None:
    """GPUs of some slots; none are shown to workers that asked for none. None where slots are cores."""
    if pool.kind == "cpu":
        return None
    return tuple(pool.names[slot] for slot in lease.slots) if launch.gpus_per_worker else ()
