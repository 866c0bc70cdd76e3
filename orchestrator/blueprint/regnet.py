"""RegNets: from the parameters of their quantised linear widths to the stages of an AnyNet.

Source: Radosavovic et al., "Designing Network Design Spaces", arXiv 2003.13678 (section 3.3), with the rounding of the
authors' code (pycls), whose counts of parameters the published models have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from orchestrator.base.errors import UsageError

StemKind = Literal["imagenet", "cifar"]
Family = Literal["regnetx", "regnety"]

WIDTH_QUANTUM = 8
"""Widths of stages are multiples of it before they are fitted to the groups (section 3.3, below equation 4)."""

LARGEST_WIDTH = 1_000_000
"""Beyond what any machine could hold; keeps the arithmetic of widths far from the limits of floating point."""

SE_RATIOS: dict[Family, float] = {"regnetx": 0.0, "regnety": 0.25}
"""Squeeze-and-excitation of each family, as a share of the block's input width (section 4.3)."""


@dataclass(frozen=True)
class Stem:
    """The first convolution, 3x3: at stride 2 for `imagenet`, at stride 1 for `cifar`."""

    kind: StemKind
    width: int

    @property
    def stride(self) -> int:
        """Stride of its convolution."""
        return 2 if self.kind == "imagenet" else 1


@dataclass(frozen=True)
class Stage:
    """Blocks of equal output shape: the first has the stride, the others stride 1.

    Attributes:
        width: channels of every block's output.
        depth: number of blocks.
        stride: of the first block's 3x3 convolution and of its projection.
        bottleneck_ratio: channels of the 3x3 convolution / width.
        group_width: channels of one group of the 3x3 convolution.
    """

    width: int
    depth: int
    stride: int
    bottleneck_ratio: float
    group_width: int

    @property
    def bottleneck_width(self) -> int:
        """Channels of the 3x3 convolution."""
        return round(self.width * self.bottleneck_ratio)

    @property
    def groups(self) -> int:
        """Groups of the 3x3 convolution."""
        return self.bottleneck_width // self.group_width


@dataclass(frozen=True)
class AnyNetDesign:
    """An architecture: a stem, stages of residual bottleneck blocks, and a head (pooling and one linear layer).

    Attributes:
        stem: the first convolution.
        stages: in the order of the forward pass.
        se_ratio: channels of squeeze-and-excitation / channels of the block's input; 0: none.
    """

    stem: Stem
    stages: tuple[Stage, ...]
    se_ratio: float = 0.0

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the stages."""
        return tuple(stage.width for stage in self.stages)

    @property
    def depths(self) -> tuple[int, ...]:
        """Of the stages."""
        return tuple(stage.depth for stage in self.stages)

    def se_width(self, block_input: int) -> int:
        """Channels of squeeze-and-excitation in a block with so many input channels; 0: none."""
        return round(block_input * self.se_ratio)


@dataclass(frozen=True)
class LinearWidths:
    """The quantised linear widths, stage by stage, before they are fitted to the groups.

    Attributes:
        widths: of the stages, rising.
        depths: blocks of each.
        levels: stages that the range of quantised exponents allows; more than there are widths where one was left out
            or two fell together, which the design space has no use for.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    levels: int


@dataclass(frozen=True)
class RegNetParameters:
    """What a RegNet is made from.

    Attributes:
        depth: d, number of blocks.
        w0: width of the first block; a multiple of 8.
        wa: slope of the widths from block to block; not negative.
        wm: factor between the widths of two stages; above 1.
        group_width: g, channels of a group.
        bottleneck_ratio: b in pycls' sense (bottleneck / output): a power of two up to 1, or a whole number; others
            would not divide widths and groups evenly.
        se_ratio: squeeze-and-excitation as a share of the block's input width; 0: none (RegNetX), 0.25 (RegNetY).
        stem_width: channels of the stem.
        stem: `imagenet` halves the resolution, `cifar` keeps it.

    Raises:
        UsageError: where a parameter is out of its range; names all of them at once.
    """

    depth: int
    w0: int
    wa: float
    wm: float
    group_width: int
    bottleneck_ratio: float = 1.0
    se_ratio: float = 0.0
    stem_width: int = 32
    stem: StemKind = "imagenet"

    def __post_init__(self) -> None:
        wrong = [rule.format(self) for holds, rule in self._rules() if not holds]
        if wrong:
            raise UsageError(
                "these are no parameters of a RegNet: " + "; ".join(wrong), hint="correct the model section"
            )

    def _rules(self) -> Iterable[tuple[bool, str]]:
        ratio = self.bottleneck_ratio
        w0_fits = 0 < self.w0 <= LARGEST_WIDTH and self.w0 % WIDTH_QUANTUM == 0
        yield self.depth >= 1, "depth is {0.depth}, at least 1 block is needed"
        yield w0_fits, "w0 is {0.w0}, it must be a positive multiple of 8 (at most 1,000,000)"
        yield 0 <= self.wa <= LARGEST_WIDTH, "wa is {0.wa}, it must be from 0 to 1,000,000"
        yield 1 < self.wm < math.inf, "wm is {0.wm}, it must be above 1"
        yield self.group_width >= 1, "group_width is {0.group_width}, it must be at least 1"
        halved = 0 < ratio <= 1 and math.frexp(ratio)[0] == 0.5
        ratio_fits = halved or (1 < ratio <= LARGEST_WIDTH and ratio == int(ratio))
        yield ratio_fits, "bottleneck_ratio is {0.bottleneck_ratio}, it must be 1, 1/2, 1/4, … or a whole number"
        yield 0 <= self.se_ratio <= 1, "se_ratio is {0.se_ratio}, it must be in [0, 1]"
        yield self.stem_width >= 1, "stem_width is {0.stem_width}, it must be at least 1"
        yield self.stem in ("imagenet", "cifar"), "stem is {0.stem!r}, it must be imagenet or cifar"

    def linear_widths(self) -> LinearWidths:
        """Equations 2 to 4: u_j = w0 + wa j; u_j = w0 wm^s_j; w_j = w0 wm^round(s_j), to the nearest multiple of 8.

        Both roundings are half to even, as numpy's and Python's.
        """
        scale = math.log(self.wm)
        exponents = [round(math.log((self.w0 + self.wa * j) / self.w0) / scale) for j in range(self.depth)]
        blocks = [round(self.w0 * self.wm**k / WIDTH_QUANTUM) * WIDTH_QUANTUM for k in exponents]
        stages = [(width, len(list(same))) for width, same in groupby(blocks)]
        return LinearWidths(tuple(w for w, _ in stages), tuple(d for _, d in stages), max(exponents) + 1)

    def design(self) -> AnyNetDesign:
        """The architecture; every stage has stride 2."""
        linear = self.linear_widths()
        ratio = self.bottleneck_ratio
        fitted = [fit_groups(width, ratio, self.group_width) for width in linear.widths]
        stages = [Stage(w, d, 2, ratio, g) for (w, g), d in zip(fitted, linear.depths, strict=True)]
        return AnyNetDesign(Stem(self.stem, self.stem_width), tuple(stages), self.se_ratio)


def fit_groups(width: int, bottleneck_ratio: float, group_width: int) -> tuple[int, int]:
    """The stage's width and group width that go together: the bottleneck becomes a whole number of groups.

    The group width is at most the bottleneck's width v = w b; v is rounded (half to even) to the nearest multiple of
    the group width (of its least common multiple with b where b > 1), at least one; the width is v / b. Source: pycls.
    """
    bottleneck = int(max(1, width * bottleneck_ratio))
    group = min(group_width, bottleneck)
    quantum = math.lcm(group, int(bottleneck_ratio)) if bottleneck_ratio > 1 else group
    fitted = max(quantum, round(bottleneck / quantum) * quantum)
    return int(fitted / bottleneck_ratio), group


_PUBLISHED: dict[str, tuple[int, int, float, float, int]] = {
    "regnetx_200mf": (13, 24, 36.44, 2.49, 8),
    "regnetx_400mf": (22, 24, 24.48, 2.54, 16),
    "regnetx_600mf": (16, 48, 36.97, 2.24, 24),
    "regnetx_800mf": (16, 56, 35.73, 2.28, 16),
    "regnetx_1.6gf": (18, 80, 34.01, 2.25, 24),
    "regnetx_3.2gf": (25, 88, 26.31, 2.25, 48),
    "regnetx_4.0gf": (23, 96, 38.65, 2.43, 40),
    "regnetx_6.4gf": (17, 184, 60.83, 2.07, 56),
    "regnetx_8.0gf": (23, 80, 49.56, 2.88, 120),
    "regnetx_12gf": (19, 168, 73.36, 2.37, 112),
    "regnetx_16gf": (22, 216, 55.59, 2.1, 128),
    "regnetx_32gf": (23, 320, 69.86, 2.0, 168),
    "regnety_200mf": (13, 24, 36.44, 2.49, 8),
    "regnety_400mf": (16, 48, 27.89, 2.09, 8),
    "regnety_600mf": (15, 48, 32.54, 2.32, 16),
    "regnety_800mf": (14, 56, 38.84, 2.4, 16),
    "regnety_1.6gf": (27, 48, 20.71, 2.65, 24),
    "regnety_3.2gf": (21, 80, 42.63, 2.66, 24),
    "regnety_4.0gf": (22, 96, 31.41, 2.24, 64),
    "regnety_6.4gf": (25, 112, 33.22, 2.27, 72),
    "regnety_8.0gf": (17, 192, 76.82, 2.19, 56),
    "regnety_12gf": (19, 168, 73.36, 2.37, 112),
    "regnety_16gf": (18, 200, 106.23, 2.48, 112),
    "regnety_32gf": (20, 232, 115.89, 2.53, 232),
}

PRESETS: tuple[str, ...] = tuple(_PUBLISHED)
"""Names of the published models (depth, w0, wa, wm and group width as in the pycls model zoo)."""


def preset(name: str, *, stem: StemKind = "imagenet", stem_width: int = 32) -> RegNetParameters:
    """The parameters of a published model.

    Args:
        name: such as `regnetx_400mf`; `RegNetX-400MF` is the same.
        stem: the published models have `imagenet`.
        stem_width: the published models have 32.

    Raises:
        UsageError: where no published model has this name; the hint names the nearest ones.
    """
    key = name.lower().replace("-", "_")
    if key not in _PUBLISHED:
        from difflib import get_close_matches

        near = get_close_matches(key, PRESETS, n=3, cutoff=0.5) or PRESETS
        raise UsageError(f"no published RegNet is called {name!r}", hint="did you mean " + ", ".join(near) + "?")
    depth, w0, wa, wm, group_width = _PUBLISHED[key]
    se_ratio = SE_RATIOS["regnety" if key.startswith("regnety") else "regnetx"]
    return RegNetParameters(depth, w0, wa, wm, group_width, se_ratio=se_ratio, stem_width=stem_width, stem=stem)
