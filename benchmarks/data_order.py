"""How soon an epoch of up to ten billion samples begins or is resumed, in what memory, and how fast its order is.

Every measurement is a fresh process that opens a real index from a cold page cache: header, shard table of ragged
shards, and a side table whose records are a hole. Seconds count from before the index is opened until the first 256
ids are there, in the fastest of three processes; beside them are CPU seconds, which others on the machine change less.
Ids a second are those of a CPU second, the best of several rounds. Memory is the peak resident size over what the
imports took.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import Figure, options, report
from virtual_index import forget, make_index

MILLION, BILLION = 10**6, 10**9
PEERS = {
    "grain index_shuffle": ("grain", "grain", 0),
    "streaming py1e": ("streaming", "streaming", 32),
    "torch.randperm": ("torch", "torch", 8),
    "numpy permutation": ("numpy", "numpy", 8),
}
"""Name -> way of the probe, module, and bytes of memory a sample that it takes (measured; 0: none)."""

_MOST_PEER_SAMPLES = BILLION
_TIMES = 3
_MOST_SECONDS = 300
_MOST_SECONDS_QUICK = 4
_ROUNDS_QUICK = 2
_OURS = ("ours", "mixture")
_SHUFFLES = ("full", "window=16")


@dataclass(frozen=True)
class Case:
    """One size of a dataset."""

    samples: int
    shards: int

    @property
    def judged(self) -> bool:
        """Whether seconds and memory have a goal."""
        return self.samples >= 10 * BILLION

    def __str__(self) -> str:
        return f"{self.samples / MILLION:,.0f} million samples, {self.shards:,} shards"


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__ or "")
    sizes = (10 * MILLION, 10 * BILLION) if chosen.quick else (10 * MILLION, BILLION, 10 * BILLION)
    cases = [Case(samples, count) for samples in sizes for count in (4096, MILLION)]
    if chosen.quick:
        cases = [case for case in cases if case.shards == MILLION]
    with tempfile.TemporaryDirectory(prefix="orchestrator-order-") as folder:
        peers = {size: _peers(Case(size, 4096), quick=chosen.quick) for size in sizes}
        measured = {(case, how): _both(Path(folder), case, how, chosen.quick) for case in cases for how in _SHUFFLES}
        figures = [figure for (case, how), found in measured.items() for figure in _figures(case, how, found, peers)]
        figures += _flat(measured, cases)
        figures += _resampled(Path(folder), 2 * MILLION if chosen.quick else 100 * MILLION)
        figures.append(_mixed(Case(10 * BILLION, 1)))
    report(figures, packages=["numpy", "torch", "mosaicml-streaming", "grain"], as_json=chosen.json is not None)


def _both(folder: Path, case: Case, how: str, quick: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """An epoch from its start, and one that is resumed in its middle."""
    root = folder / f"{case.samples}-{case.shards}"
    if not root.exists():
        make_index(root, case.samples, case.shards)
    ask = ["--root", str(root), "--shuffle", how, *(["--rounds", str(_ROUNDS_QUICK)] if quick else [])]
    times = 1 if quick and not case.judged else _TIMES
    begun = _best(root, case, *ask, "--start", "0", times=times)
    return begun, _best(root, case, *ask, "--start", str(case.samples // 2), times=times)


def _best(
    root: Path, case: Case, *argv: str, times: int = _TIMES, environment: dict[str, str] | None = None
) -> dict[str, Any]:
    """The fastest of some probes, each with a cold page cache; of what each says of ids and memory the best."""
    found = []
    for _ in range(times):
        forget(root)
        found.append(_probe("ours", case, *argv, environment=environment))
    best: dict[str, Any] = min(found, key=lambda one: one["seconds"])
    for key in ("rates", "wall_rates"):
        best[key] = {batch: max(one[key][batch] for one in found) for batch in best[key]}
    return best | {"mib": max(one["mib"] for one in found), "times": times}


def _figures(
    case: Case, how: str, found: tuple[dict[str, Any], dict[str, Any]], peers: dict[int, dict[str, Any]]
) -> list[Figure]:
    start, resumed = found
    theirs = peers[case.samples]
    goal = case.judged
    seconds = {name: _value(peer, "seconds") for name, peer in theirs.items()}
    memory = {name: _value(peer, "mib") for name, peer in theirs.items()}
    rates = {name: _rate(peer) for name, peer in theirs.items()}
    name = f"{how}, {case}"
    peak = max(start["mib"], resumed["mib"])
    slowest = min(_rate_of(start), _rate_of(resumed))
    return [
        _timed(f"start an epoch: {name}", start, seconds, goal),
        _timed(f"resume in its middle: {name}", resumed, seconds, goal),
        Figure(
            f"peak memory over imports: {name}",
            "MiB",
            peak,
            memory,
            goal="under 200 MiB" if goal else "",
            holds=peak < 200 if goal else None,
            note=f"the whole process: {start['whole_mib']:.0f} MiB",
        ),
        _fast(f"ids a second in batches of 256: {name}", start if slowest == _rate_of(start) else resumed, rates),
    ]


def _fast(name: str, found: dict[str, Any], peers: dict[str, float | str] | None = None) -> Figure:
    rate = _rate_of(found)
    wall, large = (one / MILLION for one in (found["wall_rates"]["256"], found["rates"]["8192"]))
    note = f"in a CPU second; by the clock {wall:.2f}; in batches of 8192: {large:.1f} million/s"
    return Figure(
        name, "million/s", rate / MILLION, peers or {}, goal="over 1 million/s", holds=rate > MILLION, note=note
    )


def _timed(name: str, found: dict[str, Any], peers: dict[str, float | str], goal: bool) -> Figure:
    ours = found["seconds"]
    holds = ours < 1 if goal else None
    note = f"best of {found['times']}; CPU {found['cpu_seconds']:.3f} s"
    return Figure(name, "s", ours, peers, goal="under 1 s" if goal else "", holds=holds, note=note)


def _flat(measured: dict[tuple[Case, str], Any], cases: list[Case]) -> list[Figure]:
    """Ten billion samples against ten million in as many shards."""
    figures = []
    for how in _SHUFFLES:
        few, many = (measured[Case(samples, MILLION), how][1] for samples in (cases[0].samples, cases[-1].samples))
        slower = _rate_of(few) / _rate_of(many)
        more = many["mib"] / few["mib"]
        figures += [
            Figure(
                f"time of an id, {how}: 10 billion over 10 million",
                "x",
                slower,
                goal="flat: under 1.5",
                holds=slower < 1.5,
            ),
            Figure(f"memory, {how}: 10 billion over 10 million", "x", more, goal="flat: under 1.1", holds=more < 1.1),
        ]
    return figures


def _resampled(folder: Path, samples: int) -> list[Figure]:
    """Class-balanced epochs: one pass over the labels for all epochs, and what each epoch costs then."""
    case = Case(samples, samples // 1000)
    root, state = folder / "labels", folder / "state"
    make_index(root, samples, case.shards, labels=True)
    ask = ("--root", str(root), "--shuffle", "window=16", "--resample", "class_balanced", "--start", str(samples // 2))
    forget(root)
    environment = {"ORCHESTRATOR_STATE_DIR": str(state)}
    first = _probe("ours", case, *ask, environment=environment)
    later = _best(root, case, *ask, environment=environment)
    size = sum(path.stat().st_size for path in state.rglob("*.npy"))
    return [
        Figure(
            f"class-balanced: the one pass over the labels, {case}",
            "s",
            first["seconds"],
            note=f"CPU {first['cpu_seconds']:.1f} s; {first['seconds'] / samples * BILLION:.0f} s a billion samples, "
            f"the table's SHA-256 among them; {size / 2**20:.0f} MiB on disk",
        ),
        _timed(f"class-balanced: start or resume any later epoch, {case}", later, {}, goal=True),
        Figure(f"class-balanced: peak memory over imports then, {case}", "MiB", later["mib"]),
        _fast(f"class-balanced: ids a second in batches of 256, {case}", later),
    ]


def _mixed(case: Case) -> Figure:
    """Three datasets, the smallest of ten million samples, that have 70, 25 and 5 % of the positions."""
    found = _probe("mixture", case, "--start", str(case.samples // 2))
    return _fast("mixture of three: ids a second in batches of 256, 10 billion positions", found)


def _peers(case: Case, *, quick: bool) -> dict[str, Any]:
    """What each peer needs for the ids of an epoch; the reason where it cannot be run."""
    found: dict[str, Any] = {}
    for name, (way, module, each) in PEERS.items():
        needed = each * case.samples
        if importlib.util.find_spec(module) is None:
            found[name] = f"{module} is not installed; make .venv-bench"
        elif case.samples > _MOST_PEER_SAMPLES and needed:
            found[name] = f"it keeps all ids: {8 * case.samples / 2**30:,.0f} GiB and more"
        elif needed and ((quick and case.samples > 10 * MILLION) or needed > 0.5 * _free_bytes()):
            found[name] = f"needs about {needed / 2**30:,.0f} GiB of memory"
        else:
            found[name] = _probe(way, case, seconds=_MOST_SECONDS_QUICK if quick else _MOST_SECONDS)
    return found


def _probe(
    way: str, case: Case, *argv: str, environment: dict[str, str] | None = None, seconds: float = _MOST_SECONDS
) -> Any:
    here = Path(__file__).with_name("order_probe.py")
    size = ("--samples", str(case.samples), "--shards", str(case.shards))
    try:
        done = subprocess.run(
            [sys.executable, str(here), way, *size, *argv],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        if way in _OURS:
            raise
        return f"not done after {seconds} s"
    if done.returncode:
        if way in _OURS:
            raise SystemExit(done.stderr)
        return (done.stderr.strip().splitlines() or ["it was killed"])[-1][:120]
    return json.loads(done.stdout.splitlines()[-1])


def _value(peer: Any, key: str) -> float | str:
    return peer if isinstance(peer, str) else float(peer[key])


def _rate(peer: Any) -> float | str:
    return peer if isinstance(peer, str) else _rate_of(peer) / MILLION


def _rate_of(found: dict[str, Any]) -> float:
    return float(found["rates"]["256"])


def _free_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
