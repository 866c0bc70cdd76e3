"""What this machine computes with, by name: speeds that were measured are kept under it."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


@cache
def cpu_name() -> str:
    """`cpu:amd epyc 9654`: the model as the kernel names it, else the architecture."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2] for line in lines if line.startswith(("model name", "Hardware")))
    model = " ".join(next(models, "").split())
    return f"cpu:{(model or platform.machine() or 'unknown').lower()}"
