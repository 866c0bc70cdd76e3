"""Images a second on a GPU, ResNet-50 and ViT-B/16 in bf16 with torch.compile: this engine and a plain PyTorch loop.

On images that lie on the GPU, and on JPEGs from shards of ours, which are made in a temporary folder. The contenders
take turns of some steps each and stay on the GPU meanwhile, which takes about 80 GB of its memory. Without a GPU
nothing is measured, and the exit code is 2.
"""

from __future__ import annotations

import sys
from pathlib import Path

from figures import Figure, options, report
from peers.gpu_size import Job, Size
from peers.inputs import Inputs
from peers.processes import begin, call
from peers.race import Contender, Laps, warm
from peers.workplace import workplace

MOST_OVERHEAD = 0.01
LEAST_KEPT = 0.95
NO_GPU = "gpu_training.py needs an NVIDIA GPU, and torch finds none here: nothing was measured."

ENGINE = Contender("synthetic, this engine", "peers.gpu_loops:engine", extra="synthetic")
ALIKE = Contender("a plain loop, deterministic kernels too", "peers.gpu_loops:plain", extra="deterministic")
FREE = Contender("a plain loop, the fastest kernels", "peers.gpu_loops:plain", extra="any")
BY_CPU = Contender("shards, decoded by loader processes", "peers.gpu_loops:engine", extra="cpu")
BY_GPU = Contender("shards, decoded by the GPU", "peers.gpu_loops:engine", extra="gpu")


FULL = Size()
QUICK = Size(models=("resnet50",), steps=40, rounds=3, images=1024)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "")
    size = QUICK if chosen.quick else FULL
    name = device_name(size.device)
    if name is None:
        print(NO_GPU, file=sys.stderr)
        raise SystemExit(2)
    report(measure(size, name), packages=["torch", "torchvision"], as_json=chosen.json is not None)


def device_name(device: str) -> str | None:
    """The GPU's; None where there is none."""
    if device == "cpu":
        return "a CPU"
    import torch  # not before the arguments are read: it takes seconds

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def measure(size: Size, device: str) -> list[Figure]:
    """All figures; the dataset is deleted at the end."""
    with workplace() as folder:
        begin(["torch", "torchvision", "peers.gpu_loops"])
        shards = folder / "shards"
        shards.mkdir()
        call("peers.ours:write", shards, Inputs(size.images, pixels=size.pixels))
        found: list[Figure] = []
        for model in size.models:
            found += figures(size, model, device, race(size, model, shards))
        return found


def race(size: Size, model: str, shards: Path) -> Laps:
    """All contenders with one model."""
    running = [ENGINE, ALIKE, FREE, BY_CPU, *([BY_GPU] if size.device == "cuda" else [])]
    laps = warm(running, lambda one: [(Job(size, model, shards, one.extra),)], size.rounds)
    if ENGINE.name in laps.reasons:
        raise SystemExit(f"{model}, {ENGINE.name}: {laps.reasons[ENGINE.name]}")
    return laps


def figures(size: Size, model: str, device: str, laps: Laps) -> list[Figure]:
    """The engine's overhead, and what shards keep of its synthetic rate."""
    what = f"{model}, {size.pixels}x{size.pixels}, batches of {size.batch}, bf16{', compiled' * size.compiled}"
    over = {one: overhead(laps, one) for one in (ALIKE, FREE)}
    told = " and ".join(f"{value:+.2%} over {one.name}" for one, value in over.items() if value is not None)
    alike = over[ALIKE]
    found = [
        Figure(
            f"{what}, on images that lie on the device",
            "images/s",
            rate(laps, ENGINE.name) or 0.0,
            {one.name: rate(laps, one.name) or laps.reasons[one.name] for one in over},
            goal=f"an overhead of at most {MOST_OVERHEAD:.0%} over {ALIKE.name}",
            holds=None if alike is None or size.device == "cpu" else alike <= MOST_OVERHEAD,
            note=f"Measured: {told or 'nothing'}, medians of {size.rounds} rounds, on {device}. The engine's kernels "
            "are deterministic, and it waits for the loss of every step, as the plain loops do not.",
        )
    ]
    for one in (BY_CPU, BY_GPU):
        if one.name in laps.seconds or one.name in laps.reasons:
            found.append(kept(size, f"{what}, {one.name}", laps, one))
    return found


def kept(size: Size, name: str, laps: Laps, one: Contender) -> Figure:
    """What shards keep of the engine's synthetic rate."""
    share, why = laps.ratio(one.name, ENGINE.name), laps.reasons.get(one.name)
    return Figure(
        name,
        "images/s",
        rate(laps, one.name) or 0.0,
        {ENGINE.name: rate(laps, ENGINE.name) or 0.0},
        goal=f"at least {LEAST_KEPT:.0%} of the synthetic rate",
        holds=None if why or size.device == "cpu" else share >= LEAST_KEPT,
        note=f"Not run: {why}." if why else f"Measured: {share:.1%} of it, by {size.loaders} loader processes at most.",
    )


def overhead(laps: Laps, one: Contender) -> float | None:
    """Of the engine over a plain loop: the median over rounds; None where that did not run."""
    return None if one.name in laps.reasons else 1 / laps.ratio(ENGINE.name, one.name) - 1


def rate(laps: Laps, name: str) -> float | None:
    """Images a second; None where it did not run."""
    speed = laps.speed(name)
    return 1000 * speed if isinstance(speed, float) else None


if __name__ == "__main__":
    main()
