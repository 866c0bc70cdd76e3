"""The temporary folder of a benchmark, in which whatever the libraries leave behind lands too."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.util import get_temp_dir
from pathlib import Path

_OWN_CACHES = ("HF_HOME", "DATA_OPTIMIZER_CACHE_FOLDER", "DATA_OPTIMIZER_DATA_CACHE_FOLDER")
"""Where Hugging Face and LitData keep files of their own."""


@contextmanager
def workplace() -> Iterator[Path]:
    """An empty folder, deleted at the end, also when the benchmark is interrupted or terminated."""
    get_temp_dir()  # multiprocessing's own, which outlives ours
    before = os.environ.copy()
    default = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with tempfile.TemporaryDirectory(prefix="orchestrator-bench-", ignore_cleanup_errors=True) as folder:
            litter = Path(folder) / "litter"
            litter.mkdir()
            os.environ.update({name: str(litter / name) for name in _OWN_CACHES} | {"TMPDIR": str(litter)})
            tempfile.tempdir = str(litter)
            yield Path(folder)
    finally:
        tempfile.tempdir = None
        os.environ.clear()
        os.environ.update(before)
        signal.signal(signal.SIGTERM, default)
