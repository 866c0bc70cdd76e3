"""What a `command:` takes over from the shell that it was submitted from: where programs are found, nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

VARIABLES = ("PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV")
LONGEST = 32_768
"""Characters of a value."""


def submitter_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of a shell's environment that a submit sends; without values that a submit would be refused for."""
    return {name: environment[name] for name in VARIABLES if name in environment and _fits(environment[name])}


def _fits(value: str) -> bool:
    return 0 < len(value) <= LONGEST and value.isprintable()


def _check(environment: dict[str, str]) -> dict[str, str]:
    for name, value in environment.items():
        if name not in VARIABLES:
            raise ValueError(f"only {', '.join(VARIABLES)} are taken over from the submitter; others belong in `env`")
        if not _fits(value):
            raise ValueError(f"{name} must be one line of 1 to {LONGEST:,} printable characters")
    return environment


SubmitterEnvironment = Annotated[dict[str, str], AfterValidator(_check)]
