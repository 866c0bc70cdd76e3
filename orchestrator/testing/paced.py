"""`python -m orchestrator.testing.paced`: a worker that takes its time, so that tests can disturb it at its leisure.

It rests before each step, until somebody says that the job is to be brisk.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, cast

from orchestrator.runtime.environment import RUN_DIR
from orchestrator.runtime.membership.protocol import Membership

BRISK = "brisk"
"""A file of this name in the job's directory: no more rests."""
_REST_SECONDS = 0.4


class _Paced:
    """A membership that answers late before a step."""

    def __init__(self, inner: Membership, brisk: Path) -> None:
        self._inner, self._brisk = inner, brisk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def newest_epoch(self) -> int:
        """As the real one."""
        if not self._brisk.exists():
            time.sleep(_REST_SECONDS)
        return self._inner.newest_epoch()


def paced(membership: Membership) -> Membership:
    """The membership of a worker that takes its time."""
    return cast(Membership, _Paced(membership, Path(os.environ[RUN_DIR]).parent.parent / BRISK))


if __name__ == "__main__":
    from orchestrator.recipes.main import end, main

    end(main(paced))
