"""Entry of each worker of a verified training: the usual one, in a storm."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.recipes.main import end, main
from orchestrator.runtime.membership.protocol import Membership
from orchestrator.verification.hook import Marks, StormMembership
from orchestrator.verification.storm import SCRIPT, STORM_VARIABLE, Storm


def in_storm(membership: Membership) -> Membership:
    """The membership with what the script has for it."""
    folder = Path(os.environ[STORM_VARIABLE])
    return StormMembership(membership, Storm.read(folder / SCRIPT), Marks(folder))


if __name__ == "__main__":
    end(main(in_storm))
