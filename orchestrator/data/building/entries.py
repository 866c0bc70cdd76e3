"""The entry of a finished part: what the index needs of its shard, in a file that is written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.base.files import write_atomic
from orchestrator.data.arrays import Structured
from orchestrator.data.assembly import ShardFacts
from orchestrator.data.schema import Schema
from orchestrator.data.source import Skipped
from orchestrator.data.table import record_type

_CHUNK = 1 << 22
_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class PartFacts:
    """A finished part: its shard (none: no sample was good), what was left out, and whether trying again may help."""

    shard: ShardFacts | None
    skipped: tuple[Skipped, ...]
    unread: bool


def entry_file(entries: Path, split: str, number: int) -> Path:
    """Where the entry of a part lies."""
    return entries / f"{split}-{number:05d}.entry"


def write_entry(path: Path, facts: PartFacts, records: Structured) -> None:
    """Write the entry of a part whose shard is already on the disk."""
    shard = facts.shard
    head = {
        "shard": None if shard is None else [shard.rows, shard.size, shard.sha256.hex()],
        "skipped": [[entry.name, entry.reason] for entry in facts.skipped],
        "unread": facts.unread,
    }
    body = json.dumps(head).encode() + b"\n" + records.tobytes()
    write_atomic(path, hashlib.sha256(body).digest() + body)


def read_entry(path: Path, schema: Schema) -> tuple[PartFacts, Structured] | None:
    """Facts and table records of a finished part; None where there is no whole entry."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    body = memoryview(content)[_DIGEST:]
    if hashlib.sha256(body).digest() != content[:_DIGEST]:
        return None
    end = content.index(b"\n", _DIGEST)
    head = json.loads(content[_DIGEST:end])
    shard = None
    if head["shard"] is not None:
        rows, size, digest = head["shard"]
        shard = ShardFacts(rows, size, bytes.fromhex(digest))
    skipped = tuple(Skipped(name, reason) for name, reason in head["skipped"])
    return PartFacts(shard, skipped, head["unread"]), np.frombuffer(content, record_type(schema), offset=end + 1)


def is_whole(shard: Path, facts: ShardFacts) -> bool:
    """Whether a shard's file is still what was written."""
    try:
        if shard.stat().st_size != facts.size:
            return False
        digest = hashlib.sha256()
        with shard.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return False
    return digest.digest() == facts.sha256
