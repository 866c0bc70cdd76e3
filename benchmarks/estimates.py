"""How far off are estimates of time and memory? RegNets of many shapes train here; each is predicted from the others.

Every model trains for some seconds on one core, in a process of its own. Then each one's seconds a sample are predicted
from those of all the others (leave one out), by our model and by simpler ones that use the same machinery but know less
of a network: its flops, its activations, or nothing. The error is the root mean square of ln(true / predicted).
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from figures import Figure, options, report
from peers.processes import begin, call

from orchestrator.blueprint.features import Features
from orchestrator.data.build import build
from orchestrator.scheduling.estimates import memory, throughput
from orchestrator.scheduling.estimates.devices import COLUMNS
from orchestrator.scheduling.estimates.errors import QUANTILE_10
from orchestrator.scheduling.estimates.measurement import Measurement, same_model
from orchestrator.spec.load import load_card

# depth, w0, wa, wm, group width, image size, samples of a slice: from thin to wide, shallow to deep, small to large
SHAPES = [
    (4, 16, 16.0, 2.0, 8, 8, 16),
    (6, 24, 24.0, 2.4, 8, 8, 64),
    (8, 48, 32.0, 2.2, 16, 8, 32),
    (12, 16, 12.0, 2.1, 8, 16, 16),
    (4, 64, 48.0, 2.5, 32, 16, 32),
    (8, 24, 24.0, 2.4, 8, 32, 16),
    (5, 96, 64.0, 2.0, 32, 16, 16),
    (10, 32, 16.0, 2.3, 16, 32, 16),
    (4, 32, 24.0, 2.6, 8, 32, 32),
    (16, 16, 8.0, 2.2, 8, 8, 32),
    (6, 128, 64.0, 2.0, 64, 8, 32),
    (7, 40, 40.0, 2.8, 8, 16, 64),
    (5, 16, 16.0, 2.0, 16, 48, 16),
    (9, 56, 24.0, 2.5, 8, 16, 16),
    (12, 24, 16.0, 2.1, 24, 24, 32),
    (4, 48, 96.0, 2.4, 16, 24, 16),
    (6, 80, 32.0, 2.2, 40, 32, 16),
    (14, 32, 24.0, 2.6, 8, 8, 64),
    (8, 16, 24.0, 2.9, 8, 48, 8),
    (5, 64, 32.0, 2.1, 8, 32, 8),
]
QUICK = (0, 2, 3, 4, 5, 15)
CHOICES: dict[str, tuple[str, ...]] = {
    "flops alone": ("samples", "flops"),
    "activations alone": ("samples", "activations"),
    "flops and activations": ("samples", "flops", "activations"),
}


def main() -> None:
    """Train, predict, print."""
    chosen = options(__doc__ or "")
    shapes, seconds = ([SHAPES[i] for i in QUICK], 2.0) if chosen.quick else (SHAPES, 5.0)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        digits = scratch / "digits"
        build(load_card("digits"), None, digits)
        begin(["torch", "estimate_worker"])
        found = [measure(number, workload(digits, *shape), seconds, scratch) for number, shape in enumerate(shapes)]
    report(figures(found), packages=["torch"], as_json=chosen.json is not None)


def workload(
    digits: Path, depth: int, w0: int, wa: float, wm: float, group_width: int, size: int, samples: int
) -> dict[str, Any]:
    """A workload as a document; two slices a step."""
    model = {"depth": depth, "w0": w0, "wa": wa, "wm": wm, "group_width": group_width}
    return {
        "name": "shape",
        "recipe": "regnet",
        "data": {"dataset": str(digits), "image_size": size},
        "model": {"stem": "cifar", "stem_width": 16, **model},
        "optim": {"lr": 0.01},
        "train": {"epochs": 1000, "batch_size": 2 * samples, "samples_per_virtual_worker": samples},
    }


def measure(number: int, document: dict[str, Any], seconds: float, scratch: Path) -> Measurement:
    """Train one model in a new process, on one core."""
    to = scratch / f"{number}.json"
    call("estimate_worker:train", document, seconds, str(to))
    told = json.loads(to.read_text())
    amounts = {name: float(told[name]) for name in ("samples", "seconds", "evaluated", "evaluation_seconds", "memory")}
    features = Features.from_json(told["features"])
    return Measurement(f"m{number}", "regnet", told["device"], features, told["workers"], at=float(number), **amounts)


def figures(found: Sequence[Measurement]) -> list[Figure]:
    """What is said of them."""
    ours = left_out(found, lambda rest, one: _rate(rest, one, COLUMNS))
    peers = {name: left_out(found, lambda rest, one, c=c: _rate(rest, one, c)) for name, c in CHOICES.items()}
    peers["the mean of the others"] = left_out(found, _mean)
    errors = {name: rms(values) for name, values in peers.items()}
    stated = [throughput.learn(without(found, one), one.device).rate(one.features).error for one in found]
    covered = inside(ours, stated)
    alone = rms(left_out(found, lambda rest, one: _rate([], one, COLUMNS)))
    holds = left_out(found, lambda rest, one: memory.learn(rest, one.device).held(one.features).bytes, _bytes)
    sure = [memory.learn(without(found, one), one.device).held(one.features).error for one in found]
    unlearned = left_out(found, lambda rest, one: memory.learn([], one.device).held(one.features).bytes, _bytes)
    fixed = left_out(found, lambda rest, one: math.exp(sum(map(math.log, map(_bytes, rest))) / len(rest)), _bytes)
    spread = max(_seconds(m) for m in found) / min(_seconds(m) for m in found)
    note = f"{len(found)} models; their times differ by a factor of up to {spread:.0f}"
    return [
        Figure(
            "error of seconds a sample, each model predicted from the others",
            "rms ln",
            rms(ours),
            {**errors, "the recipe and a data sheet, nothing measured": alone},
            goal="less than every simpler model, and below 0.35",
            holds=rms(ours) < min(errors.values()) and rms(ours) < 0.35,
            note=note,
        ),
        Figure(
            "true times inside the stated interval, which is meant to hold 0.8 of them",
            "share",
            covered,
            goal="0.65 to 1",
            holds=covered >= 0.65,
        ),
        Figure(
            "error of a worker's peak memory, each model predicted from the others",
            "rms ln",
            rms(holds),
            {"the mean of the others": rms(fixed), "the arithmetic alone, nothing measured": rms(unlearned)},
            goal="below 0.2",
            holds=rms(holds) < 0.2,
        ),
        Figure(
            "true peaks inside the stated interval, which is meant to hold 0.8 of them",
            "share",
            inside(holds, sure),
            goal="0.65 to 1",
            holds=inside(holds, sure) >= 0.65,
        ),
    ]


def left_out(
    found: Sequence[Measurement],
    predict: Callable[[Sequence[Measurement], Measurement], float],
    true: Callable[[Measurement], float] | None = None,
) -> list[float]:
    """ln(true / predicted) of each, from the others."""
    value = true or _seconds
    return [math.log(value(one) / predict(without(found, one), one)) for one in found]


def without(found: Sequence[Measurement], one: Measurement) -> list[Measurement]:
    """Those of other models."""
    return [each for each in found if same_model(each.features) != same_model(one.features)]


def inside(errors: Sequence[float], stated: Sequence[float]) -> float:
    """The share of errors that lie between the stated 10th and 90th percentile."""
    return sum(abs(e) <= QUANTILE_10 * s for e, s in zip(errors, stated, strict=True)) / len(errors)


def rms(values: Sequence[float]) -> float:
    """Root mean square."""
    return math.sqrt(sum(value * value for value in values) / len(values))


def _seconds(one: Measurement) -> float:
    return one.seconds / one.samples


def _bytes(one: Measurement) -> float:
    return float(one.memory or 0)


def _rate(rest: Sequence[Measurement], one: Measurement, columns: Sequence[str]) -> float:
    features = replace(one.features, virtual_workers=1)
    return throughput.learn(rest, one.device, columns=columns).rate(features).seconds


def _mean(rest: Sequence[Measurement], one: Measurement) -> float:
    return math.exp(sum(math.log(_seconds(each)) for each in rest) / len(rest))


if __name__ == "__main__":
    main()
