"""Population based training as arithmetic: who copies whom, and what varies (Jaderberg et al., arXiv 1711.09846).

Every choice is a function of the search's seed, the generation and the trial: not of who is the first to end.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping

from orchestrator.spec.search import TrialScheduler, Varied


def first_values(vary: Varied, seed: int, index: int) -> dict[str, float]:
    """What a trial begins with: each value drawn evenly over the logarithm of its range.

    Args:
        vary: the ranges.
        seed: of the search.
        index: of the trial.
    """
    generator = _generator(seed, "first", index)
    return {name: _drawn(generator, ends) for name, ends in vary.ranges.items()}


def generation_ends(epochs: int, interval: int) -> list[int]:
    """The epochs after which trials are compared, and the last one, after which they are not.

    Args:
        epochs: of a whole training.
        interval: epochs of a generation.
    """
    return [*range(interval, epochs, interval), epochs]


def sources(
    errors: Mapping[int, float | None], count: int, seed: int, generation: int, alive: frozenset[int]
) -> dict[int, int]:
    """Which trials copy which: truncation selection (section 4.1.1).

    The worst `count` trials each copy one of as many of the best, drawn evenly.
    Trials that failed or have no error are among the worst, however many they are. Nobody copies what is no better.

    Args:
        errors: validation errors at the end of the generation, of all trials; None where there is none.
        count: at most one half of them.
        seed: of the search.
        generation: its number, from 0.
        alive: trials that can go on by themselves, and be copied.

    Returns:
        The copied trial, by that which copies it.
    """
    known = {index: _number(error) if index in alive else math.inf for index, error in errors.items()}
    ranking = sorted(known, key=lambda index: (known[index], index))
    best = [index for index in ranking[:count] if math.isfinite(known[index])]
    worst = [index for place, index in enumerate(ranking) if place >= len(ranking) - count or known[index] == math.inf]
    found = {}
    for index in worst if best else ():
        source = best[int(_generator(seed, "source", generation, index).random() * len(best))]
        if known[source] < known[index]:
            found[index] = source
    return found


def next_best(
    errors: Mapping[int, float | None], copies: Mapping[int, int], index: int, alive: frozenset[int]
) -> list[int]:
    """Whose state a trial takes over, and whose instead where that one's is damaged: the best first.

    Args:
        errors: validation errors at the end of the generation, of all trials.
        copies: as `sources` says; trials that are themselves copies have no state of their own left.
        index: of the trial; it takes over that of none where it is no copy.
        alive: trials that can go on by themselves, and be copied.
    """
    if index not in copies:
        return []
    known = {each: _number(error) if each in alive else math.inf for each, error in errors.items()}
    better = [each for each in known if known[each] < known[index] and each not in copies]
    return sorted(better, key=lambda each: (each != copies[index], known[each], each))


def explored(
    values: Mapping[str, float], settings: TrialScheduler, seed: int, generation: int, index: int
) -> dict[str, float]:
    """What a trial goes on with that has copied another one: section 4.1.2, perturb or resample.

    Args:
        values: of the copied trial.
        settings: the ranges, which values stay within, the factors, and how probably a value is drawn anew.
        seed: of the search.
        generation: its number, from 0.
        index: of the trial that copies.
    """
    generator, found = _generator(seed, "explore", generation, index), {}
    ranges = {} if settings.vary is None else settings.vary.ranges
    for name, (low, high) in ranges.items():
        anew, chosen, drawn = generator.random(), generator.random(), _drawn(generator, (low, high))
        factor = settings.factors[int(chosen * len(settings.factors))]
        found[name] = drawn if anew < settings.resample else _within(values[name] * factor, low, high)
    return found


def _number(error: float | None) -> float:
    return math.inf if error is None or math.isnan(error) else error


def _drawn(generator: random.Random, ends: tuple[float, float]) -> float:
    """Evenly over the logarithm."""
    low, high = ends
    return _within(low * (high / low) ** generator.random(), low, high)


def _within(value: float, low: float, high: float) -> float:
    """With six digits: what people read is what is trained with."""
    return min(max(float(f"{value:.6g}"), low), high)


def _generator(seed: int, *purpose: str | int) -> random.Random:
    words = ":".join(map(str, (seed, "pbt", *purpose)))
    return random.Random(int.from_bytes(hashlib.blake2b(words.encode(), digest_size=16).digest(), "big"))
