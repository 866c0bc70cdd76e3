"""Reads the document that a command is given, from a file or from standard input."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import UsageError

LARGEST = 2_000_000
"""Bytes; more than that is no workload."""


@dataclass(frozen=True)
class Source:
    """A document as it was written, and the name that messages call it by."""

    content: bytes
    filename: str


def read_source(file: str) -> Source:
    """Read `file`; `-` is standard input.

    Raises:
        UsageError: it cannot be read, or is too large.
    """
    try:
        if file == "-":
            content = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with Path(file).open("rb") as source:
                content = source.read(LARGEST + 1)
    except OSError as error:
        hint = "`orchestrator init` lays out workloads to start from" if isinstance(error, FileNotFoundError) else ""
        raise UsageError(f"{file}: {error.strerror}", hint=hint) from None
    if len(content) > LARGEST:
        raise UsageError(f"{file} is larger than {LARGEST:,} bytes; that is no workload")
    return Source(content, "<stdin>" if file == "-" else file)
