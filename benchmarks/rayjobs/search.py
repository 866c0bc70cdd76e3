"""A search's driver as it is, but for what its trials train: the toy."""

from __future__ import annotations

import sys
from functools import partial

from orchestrator.search import main as search
from orchestrator.search import setting
from orchestrator.search.driver import SearchRun

if __name__ == "__main__":
    search.SearchRun = partial(SearchRun, trainer="rayjobs.trainer:train")  # type: ignore[misc,assignment]
    setting.REGNET_EVALUATOR = "rayjobs.trainer:evaluate"
    sys.exit(search.main())
