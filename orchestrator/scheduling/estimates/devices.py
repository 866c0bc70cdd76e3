"""What devices can do at best, and the times that follow from it: the prior of a device that nothing has run on yet."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.scheduling.estimates.regression import Prior

CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Peak:
    """A device at its best.

    Attributes:
        flops: floating point operations a second with 32-bit numbers as convolutions use them (TF32 where there is it).
        half_flops: the same with 16-bit numbers, without sparsity.
        bandwidth: bytes a second of its memory.
        memory: bytes of it.
    """

    flops: float
    half_flops: float
    bandwidth: float
    memory: float


_T, _G, _GIB = 1e12, 1e9, 2**30

PEAKS: dict[str, Peak] = {
    # NVIDIA's data sheets: dense rates, SXM forms where there are several.
    "b200": Peak(1100 * _T, 2250 * _T, 8000 * _G, 180 * _GIB),
    "h200": Peak(494 * _T, 989 * _T, 4800 * _G, 141 * _GIB),
    "h100": Peak(494 * _T, 989 * _T, 3350 * _G, 80 * _GIB),
    "a100": Peak(156 * _T, 312 * _T, 2039 * _G, 80 * _GIB),
    "a30": Peak(82 * _T, 165 * _T, 933 * _G, 24 * _GIB),
    "a10": Peak(62 * _T, 125 * _T, 600 * _G, 24 * _GIB),
    "l40s": Peak(183 * _T, 362 * _T, 864 * _G, 48 * _GIB),
    "l4": Peak(60 * _T, 121 * _T, 300 * _G, 24 * _GIB),
    "a6000": Peak(77 * _T, 155 * _T, 768 * _G, 48 * _GIB),
    "v100": Peak(15.7 * _T, 125 * _T, 900 * _G, 32 * _GIB),
    "p100": Peak(10.6 * _T, 21.2 * _T, 732 * _G, 16 * _GIB),
    "t4": Peak(8.1 * _T, 65 * _T, 320 * _G, 16 * _GIB),
    "4090": Peak(82.6 * _T, 165 * _T, 1008 * _G, 24 * _GIB),
    "3090": Peak(35.6 * _T, 71 * _T, 936 * _G, 24 * _GIB),
}
UNKNOWN_GPU = Peak(60 * _T, 120 * _T, 900 * _G, 24 * _GIB)
CPU_CORE = Peak(120 * _G, 120 * _G, 12 * _G, 0.0)
"""One core: AVX2 at 3 GHz or so, with two units, and its part of a socket's memory bandwidth."""

FORWARDS = 3.0
"""A training pass computes as much as three forward passes (see `blueprint.cost`), four where activations are computed
twice."""
COLUMNS = ("samples", "inputs", "flops", "activations", "layers", "parameters")
"""What the time of one sample in a pass is made of; `throughput.row` says in which units."""

_EFFICIENCY = 0.35  # of the peak, which a convolutional network reaches in its convolutions
_STREAMED = 0.7  # of the bandwidth, which elementwise kernels reach
_TOUCHES = 8.0  # reads and writes of each activation in a forward pass: convolution, normalisation, ReLU
_PARAMETER_BYTES = 40.0  # moved for each parameter in a pass: gradients are summed up, and the optimizer's part of it
_CPU_LAUNCH, _GPU_LAUNCH = 100e-6, 60e-6  # seconds of a layer's kernels, beside their work
_CPU_INPUT, _GPU_INPUT = 1e-8, 1e-9  # seconds of each number of a sample: beside a GPU, loaders are taken to keep up
_CPU_SAMPLE, _GPU_SAMPLE = 5e-5, 1e-5


def canonical(device: str) -> str:
    """The name under which a device's history is kept: `h200` of `NVIDIA H200`, `cpu:amd epyc`; else in lower case.

    Args:
        device: as a driver, a node's `gpu_type` or the kernel names it.
    """
    text = " ".join(device.lower().split())
    if text.startswith(CPU):
        return text
    return _peak_name(text) or text


def is_cpu(device: str) -> bool:
    """Whether workers compute on cores."""
    return device.lower().startswith(CPU)


def peak_of(device: str) -> Peak:
    """Of one GPU, or of one core; of a GPU that is not in the table, those of a middling one."""
    if is_cpu(device):
        return CPU_CORE
    name = _peak_name(device.lower())
    return UNKNOWN_GPU if name is None else PEAKS[name]


def prior_of(device: str, precision: str) -> Prior:
    """Seconds of each of `COLUMNS` on a device, by its data sheet."""
    peak, half = peak_of(device), precision != "fp32"
    operations = (peak.half_flops if half else peak.flops) / 2  # a multiply-add is two of them
    stream = peak.bandwidth * _STREAMED
    seconds = (
        _CPU_SAMPLE if is_cpu(device) else _GPU_SAMPLE,
        _CPU_INPUT if is_cpu(device) else _GPU_INPUT,
        1 / (operations * _EFFICIENCY),
        _TOUCHES * (2 if half else 4) / stream,
        _CPU_LAUNCH if is_cpu(device) else _GPU_LAUNCH,
        _PARAMETER_BYTES / stream,
    )
    return Prior(seconds, scale_error=0.5 if is_known(device) else 1.0)


def is_known(device: str) -> bool:
    """Whether the table has it."""
    return not is_cpu(device) and _peak_name(device.lower()) is not None


def _peak_name(text: str) -> str | None:
    """The entry that a name means, such as `a100` in `nvidia a100-sxm4-80gb`."""
    words = set(re.split(r"[^a-z0-9]+", text))
    return next((name for name in PEAKS if name in words), None)
