"""Makes torch compute the same bits each time, and says what else the bits depend on."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Deterministic kernels and a fixed number of threads inside, the process's own settings again outside."""
    before = (
        torch.get_deterministic_debug_mode(),
        torch.backends.cudnn.benchmark,
        torch.get_num_threads(),
    )
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    # The same as use_deterministic_algorithms(True), which imports torch.compile as well: 3.5 s of CPU time.
    torch.set_deterministic_debug_mode("error")
    torch.backends.cudnn.benchmark = False
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch.set_num_threads(before[2])


def fingerprint(device: torch.device) -> dict[str, str | int]:
    """What the bits of a run depend on besides its workload; the world size is not among it."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu {platform.machine()}"
    return {
        "device": name,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else "",
    }


def fingerprint_number(found: Mapping[str, str | int]) -> int:
    """A fingerprint as 62 bits, which workers compare."""
    content = json.dumps(dict(found), sort_keys=True).encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 2
