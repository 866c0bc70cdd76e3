"""A design space of RegNets, and the population that is sampled from it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from orchestrator.base.errors import UsageError
from orchestrator.blueprint.axis import Axis
from orchestrator.blueprint.complexity import Complexity, complexity
from orchestrator.blueprint.regnet import SE_RATIOS, WIDTH_QUANTUM, AnyNetDesign, Family, RegNetParameters, StemKind

AXES = ("depth", "w0", "wa", "wm", "group_width")
"""The sampled parameters, in the order in which they are drawn."""

Range = tuple[int, int]


@dataclass(frozen=True)
class DesignSpace:
    """The RegNet design space; the defaults are those of pycls' sampler, group widths from 16 on.

    Attributes:
        depth: number of blocks.
        w0: width of the first block.
        wa: slope of the widths.
        wm: factor between two stages.
        group_width: channels of a group.
        family: `regnety` has squeeze-and-excitation.
        stem: `imagenet` halves the resolution, `cifar` keeps it.
        stem_width: channels of the stem.
        bottleneck_ratio: the same for all; 1 in the paper's RegNets.
        stages: designs with another number of stages do not belong to the space; 4 in the paper.

    Raises:
        UsageError: where the axes hold parameters that no RegNet has; names every fault at once.
    """

    depth: Axis = field(default=Axis(12, 28, 1, "linear"))
    w0: Axis = field(default=Axis(8, 256, 8))
    wa: Axis = field(default=Axis(8, 256, 0.1))
    wm: Axis = field(default=Axis(2, 3, 0.001))
    group_width: Axis = field(default=Axis(16, 128, 8))
    family: Family = "regnetx"
    stem: StemKind = "imagenet"
    stem_width: int = 32
    bottleneck_ratio: float = 1.0
    stages: int = 4

    def __post_init__(self) -> None:
        faults = [f"{name}: {fault}" for name in AXES for fault in self.axis(name).faults()]
        faults += [f"{name}: {fault}" for name, holds, fault in self._rules() if not holds]
        if faults:
            raise UsageError("this is no design space: " + "; ".join(faults), hint="correct the search.space section")

    def _rules(self) -> Iterable[tuple[str, bool, str]]:
        for name in ("depth", "w0", "group_width"):
            axis = self.axis(name)
            yield name, axis.quantum % 1 == 0, f"its step {axis.quantum:g} is not a whole number"
            yield name, axis.low >= 1, f"starts at {axis.low:g}, it must start at 1 or above"
        yield "w0", self.w0.quantum % WIDTH_QUANTUM == 0, f"its step must be a multiple of {WIDTH_QUANTUM}"
        yield "wa", self.wa.low >= 0, f"starts at {self.wa.low:g}, it must not be negative"
        yield "wm", self.wm.low > 1, f"starts at {self.wm.low:g}, it must start above 1"

    def axis(self, name: str) -> Axis:
        """The axis of one of the sampled parameters."""
        axis = getattr(self, name)
        assert isinstance(axis, Axis)
        return axis

    def draw(self, generator: random.Random) -> RegNetParameters:
        """One random member; takes exactly one number from the generator for each axis."""
        return self.member({name: self.axis(name).value(generator.random()) for name in AXES})

    def member(self, value: Mapping[str, float]) -> RegNetParameters:
        """The member with these values on the axes."""
        return RegNetParameters(
            depth=int(value["depth"]),
            w0=int(value["w0"]),
            wa=value["wa"],
            wm=value["wm"],
            group_width=int(value["group_width"]),
            bottleneck_ratio=self.bottleneck_ratio,
            se_ratio=SE_RATIOS[self.family],
            stem_width=self.stem_width,
            stem=self.stem,
        )

    def holds(self, parameters: RegNetParameters) -> bool:
        """Whether they give the wanted number of stages, none left out (pycls: NUM_STAGES, num_s == max_s)."""
        linear = parameters.linear_widths()
        return len(linear.widths) == linear.levels == self.stages


@dataclass(frozen=True)
class Constraints:
    """Closed ranges (least, most) that a design's complexity must lie in; None: any.

    Attributes:
        flops: multiply-adds of a forward pass of one image.
        params: learned numbers.
        activations: elements of the outputs of convolutions and linear layers.
    """

    flops: Range | None = None
    params: Range | None = None
    activations: Range | None = None

    def broken_by(self, cost: Complexity) -> str | None:
        """The first constraint that does not hold, as `flops_low` or `params_high`; None where all hold."""
        for constraint in fields(self):
            allowed, value = getattr(self, constraint.name), getattr(cost, constraint.name)
            if allowed is not None and value < allowed[0]:
                return f"{constraint.name}_low"
            if allowed is not None and value > allowed[1]:
                return f"{constraint.name}_high"
        return None


@dataclass(frozen=True)
class SampledDesign:
    """A member of a population.

    Attributes:
        index: its place, from 0, in the order of the draws.
        parameters: what was drawn.
        design: the architecture that follows from them.
        complexity: what it costs.
    """

    index: int
    parameters: RegNetParameters
    design: AnyNetDesign
    complexity: Complexity


@dataclass(frozen=True)
class Population:
    """Designs sampled from a space, all different.

    Attributes:
        designs: in the order of the draws.
        draws: how many it took; each became a design or was rejected for one reason.
        rejected_by: draws by reason: `invalid` (not of the wanted number of stages), `flops_low`, `flops_high`,
            `params_low` and so on (the first constraint that does not hold), `duplicate` (architecture there already).
    """

    designs: tuple[SampledDesign, ...]
    draws: int
    rejected_by: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


def sample_population(
    space: DesignSpace,
    constraints: Constraints,
    count: int,
    seed: int,
    *,
    image_size: int,
    in_channels: int,
    num_classes: int,
    max_draws: int = 1_000_000,
) -> Population:
    """Draw until `count` different designs keep the constraints.

    The same arguments give the same population on every machine; a larger count only appends to it.

    Raises:
        UsageError: where `max_draws` draws do not suffice; says what rejects most, and what to loosen.
    """
    generator = random.Random(seed)
    taken: dict[AnyNetDesign, SampledDesign] = {}
    tally = _Tally()
    while len(taken) < count:
        if tally.draws == max_draws:
            raise _exhausted(len(taken), count, tally)
        tally.draws += 1
        parameters = space.draw(generator)
        if not space.holds(parameters):
            tally.reject("invalid")
            continue
        found = examine(len(taken), parameters, image_size=image_size, in_channels=in_channels, num_classes=num_classes)
        tally.see(found.complexity)
        reason = constraints.broken_by(found.complexity) or ("duplicate" if found.design in taken else None)
        if reason:
            tally.reject(reason)
        else:
            taken[found.design] = found
    return Population(tuple(taken.values()), tally.draws, MappingProxyType(dict(tally.rejected)))


def examine(
    index: int, parameters: RegNetParameters, *, image_size: int, in_channels: int, num_classes: int
) -> SampledDesign:
    """The architecture of these parameters and its complexity, for members of a space that `holds` them."""
    design = parameters.design()
    cost = complexity(design, image_size=image_size, in_channels=in_channels, num_classes=num_classes)
    return SampledDesign(index, parameters, design, cost)


class _Tally:
    """What became of the draws so far, and the extremes of what was seen."""

    def __init__(self) -> None:
        self.draws = 0
        self.rejected: Counter[str] = Counter()
        self.least: Complexity | None = None
        self.most: Complexity | None = None

    def reject(self, reason: str) -> None:
        self.rejected[reason] += 1

    def see(self, cost: Complexity) -> None:
        self.least = _each(min, self.least or cost, cost)
        self.most = _each(max, self.most or cost, cost)


def _each(pick: Callable[[int, int], int], one: Complexity, other: Complexity) -> Complexity:
    return Complexity(
        pick(one.flops, other.flops), pick(one.params, other.params), pick(one.activations, other.activations)
    )


def _exhausted(found: int, count: int, tally: _Tally) -> UsageError:
    """What to say when the draws run out."""
    ranked = tally.rejected.most_common()
    counts = ", ".join(f"{reason} {n:,}" for reason, n in ranked)
    message = f"only {found} of {count} models found in {tally.draws:,} draws from the space; dropped: {counts}"
    # Most draws of a good space are invalid too: they are to blame only where what is valid is mostly taken.
    blamed = next((reason for reason, n in ranked if reason != "invalid" and n >= found), "invalid")
    return UsageError(message, hint=_loosen(blamed, tally) + "; or allow more draws")


def _loosen(blamed: str, tally: _Tally) -> str:
    if blamed == "invalid":
        return "few parameters give the wanted number of stages: allow larger depth or wa, or smaller w0 or wm"
    if blamed == "duplicate":
        return "the space holds too few different models: widen its axes or constraints, or ask for fewer models"
    metric, _, side = blamed.rpartition("_")
    advice = "raise the upper end of" if side == "high" else "lower the lower end of"
    low, high = getattr(tally.least, metric), getattr(tally.most, metric)
    return f"{blamed} drops most: {advice} constraints.{metric} (models of this space have {low:,} to {high:,})"
