"""What every document's model has in common: frozen, no unknown keys, names that are safe on every engine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Beside ASCII's and Latin-1's: what breaks a line or turns its direction, so that it shows other than it is.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_REFUSED_ENVIRONMENT = re.compile(
    r"LD_|DYLD_|GCONV_PATH$|PYTHON(STARTUP|HOME|INSPECT)$|BASH_ENV$|ENV$|IFS$|ORCHESTRATOR_|SLURM_|SBATCH_|RAY_"
    r"|RANK$|LOCAL_RANK$|WORLD_SIZE$|LOCAL_WORLD_SIZE$|MASTER_(ADDR|PORT)$|CUDA_VISIBLE_DEVICES$"
)


class Document(BaseModel):
    """A part of a document that people write."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)


class Problems(ValueError):
    """All that is wrong between the keys of a document, each problem told at its own place.

    Attributes:
        problems: each begins with where it is: `teams[1].parent: …`.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a name has letters, digits, '.', '_' and '-' only, and starts with a letter or digit")
    return name


def _check_line(text: str) -> str:
    if "\n" in text or "\t" in text or _CONTROL.search(text):
        raise ValueError("must be one line without control characters")
    return text


def _check_text(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must not hold control characters")
    return text


def _check_variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("an environment variable's name has letters, digits and '_' only")
    if _REFUSED_ENVIRONMENT.match(name):
        raise ValueError(f"the environment variable {name} changes how programs are loaded or is set by the engine")
    return name


LOWEST_PRIORITY, HIGHEST_PRIORITY = -1000, 1000

Priority = Annotated[int, Field(ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)]
Name = Annotated[
    str,
    Field(min_length=1, max_length=63, json_schema_extra={"pattern": f"^{_NAME.pattern}$"}),
    AfterValidator(_check_name),
]
Line = Annotated[str, Field(max_length=1000), AfterValidator(_check_line)]
Text = Annotated[str, Field(max_length=20_000), AfterValidator(_check_text)]
EnvironmentName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_check_variable)]
