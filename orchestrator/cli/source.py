"""Reads the document that a command is given, from a file or from standard input."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.spec.source import MAX_BYTES, read_document


@dataclass(frozen=True)
class Source:
    """A document as it was written, and the name that messages call it by."""

    content: bytes
    filename: str


def read_source(file: str) -> Source:
    """Read `file`; `-` is standard input, of which no more is read than can be accepted.

    Raises:
        UsageError: it cannot be read.
        SpecError: it is too large.
    """
    if file == "-":
        return Source(sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>")
    return Source(read_document(Path(file)), file)
