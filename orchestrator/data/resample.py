"""What a person says of a resampled epoch: which rows are to come how often."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from orchestrator.base.errors import UsageError
from orchestrator.data.proportion import MOST

Kind = Literal["class_balanced", "repeat_factor", "square_root", "weights"]

_FIELDS: dict[str, tuple[str, ...]] = {
    "class_balanced": ("column", "length"),
    "repeat_factor": ("column", "threshold", "length"),
    "square_root": ("column", "threshold", "power", "length"),
    "weights": ("column", "length"),
}


@dataclass(frozen=True)
class Resample:
    """How often rows come; part of a run's identity.

    `class_balanced`: each class equally often. `repeat_factor`: max(1, sqrt(t / f(c))) times for the rarest class c of
    a row (LVIS, appendix B.2). `square_root`: max(1, (t / f(c)) ** power), after the hashtag sampling of Mahajan et
    al., "Exploring the Limits of Weakly Supervised Pretraining" (ECCV 2018); with threshold 0 in proportion to
    f(c) ** -power, without a floor, as Singh et al., "Revisiting Weakly Supervised Pre-Training" (CVPR 2022), weigh
    images. `weights`: in proportion to a number of each row.

    Attributes:
        kind: see above.
        column: labels (one class a row), lists of classes (not for `class_balanced`), or weights.
        threshold: t, a share of the rows.
        power: 0.5 is the square root; 1 gives every class below the threshold the same share.
        length: positions of an epoch; 0: what the factors sum to (`repeat_factor`, `square_root` with a threshold),
            else the number of rows.

    Raises:
        UsageError: a number is out of its range.
    """

    kind: Kind
    column: str = "label"
    threshold: float = 0.0
    power: float = 0.5
    length: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UsageError(f"there is no resampling {self.kind!r}", hint=f"use {', '.join(get_args(Kind))}")
        if not 0 <= self.threshold <= 1:
            raise UsageError(f"a threshold is a share of the rows, 0 to 1, not {self.threshold}")
        if self.kind == "repeat_factor" and not self.threshold:
            raise UsageError("repeat_factor needs a threshold", hint="LVIS uses repeat_factor(threshold=0.001)")
        if not 0 < self.power <= 1:
            raise UsageError(f"a power lies above 0 and at most at 1, not {self.power}")
        if not 0 <= self.length <= MOST:
            raise UsageError(f"an epoch has 1 to {MOST} positions, not {self.length}")

    def __str__(self) -> str:
        written = ",".join(f"{name}={getattr(self, name)}" for name in _FIELDS[self.kind])
        return f"{self.kind}({written})"

    @classmethod
    def parse(cls, text: str) -> Resample:
        """The inverse of `str`; what is left out has its default, and the brackets may be left out too.

        Raises:
            UsageError: it cannot be read.
        """
        match = re.fullmatch(r"([a-z_]+)(?:\((.*)\))?", text.strip())
        kind, inside = (match[1], match[2] or "") if match else ("", "")
        if kind not in _FIELDS:
            raise UsageError(f"there is no resampling {text!r}", hint=f"use {', '.join(_FIELDS)}")
        given: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in inside.split(","))):
            name, _, value = part.partition("=")
            if name not in _FIELDS[kind] or not value or name in given:
                raise UsageError(f"{kind} cannot be told {part!r}", hint=f"it knows {', '.join(_FIELDS[kind])}")
            given[name] = value
        try:
            return cls(
                kind,  # type: ignore[arg-type]
                given.get("column", "weight" if kind == "weights" else "label"),
                float(given.get("threshold", 0)),
                float(given.get("power", 0.5)),
                int(given.get("length", 0)),
            )
        except ValueError as error:
            raise UsageError(f"{text!r} cannot be read: {error}") from None
