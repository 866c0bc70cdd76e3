"""What this machine computes with, by name: speeds that were measured are kept under it."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_SECONDS = 20.0
"""The driver answers within, or is taken for none."""


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


def gpu_name() -> str:
    """As the driver names the first GPU of this machine; `gpu` where there is none to ask."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "gpu"
    return next((line.strip() for line in listed.splitlines() if line.strip()), "gpu")
