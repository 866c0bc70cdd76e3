"""`Preview`: what an engine with a queue of its own has against a workload, asked before it is queued."""

from __future__ import annotations

import logging
import math

from orchestrator.base.errors import BackendUnavailable, LaunchRefused, UsageError
from orchestrator.base.text import one_line
from orchestrator.control.briefly import briefly
from orchestrator.control.measuring import Expected
from orchestrator.control.site import Site
from orchestrator.planning.estimate_plan import estimate_view
from orchestrator.planning.queueing import Ask
from orchestrator.planning.whatif import NEW
from orchestrator.spec.workload import Workload

_LOG = logging.getLogger(__name__)

_PATIENCE = 1.0
"""Seconds that the engine is waited for; what it refuses is told when it is handed over, too."""
_GOOD_FOR = 60.0
"""Seconds for which another workload of the same team, priority and resources is taken, too."""
_SILENT = 30.0
"""Seconds for which an engine that did not answer is not asked again."""


class Preview:
    """Tries workloads by the engine's dry run, as `plan` does."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._taken: dict[str, float] = {}
        self._silent_until = -math.inf

    def refuse(self, workload: Workload, workdir: str, expected: Expected | None) -> None:
        """Nothing where the engine would take it, is silent, or has no queue of its own.

        Raises:
            UsageError: it refuses the workload for good, in its words: an account that it does not know, say.
        """
        site, now = self._site, self._site.clock.monotonic()
        key = f"{workload.team} {workload.priority} {workload.time_limit} {workload.resources.model_dump_json()}"
        if not site.backend.queues or now < self._silent_until or now - self._taken.get(key, -math.inf) < _GOOD_FOR:
            return
        directory = site.job_directory(NEW).run(f"{NEW}-r1")
        estimate = None if expected is None else estimate_view(expected.estimate, {})
        request = Ask(workload, site.profile, workdir, directory, {}, estimate).request()
        try:
            briefly(lambda: site.backend.expected_start(request), _PATIENCE)
        except LaunchRefused as error:
            raise UsageError(f"{workload.name}: {error.message}", hint=error.hint) from None
        except BackendUnavailable as error:
            self._silent_until = now + _SILENT
            _LOG.info("no dry run of %s: %s", workload.name, one_line(error.message, 300))
            return
        self._taken = {one: at for one, at in self._taken.items() if now - at < _GOOD_FOR} | {key: now}
