"""`orchestrator serve` whose searches train a toy instead of RegNets: `python -m rayjobs.serve serve …`."""

from __future__ import annotations

from orchestrator.cli.main import main
from orchestrator.planning import launch

if __name__ == "__main__":
    launch.SEARCH_MODULE = "rayjobs.search"
    main()
