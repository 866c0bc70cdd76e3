"""`index.json`, the small header of a dataset: what it is called, its columns, its splits, its version."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from orchestrator.base.errors import DataError, NotFound
from orchestrator.base.text import one_line
from orchestrator.data.arrays import Structured
from orchestrator.data.schema import NAME_PATTERN
from orchestrator.spec.placement import INDEX_FILE

FORMAT = 1
"""The newest format that this code reads, and the one that it writes."""

_CHECKSUM = "checksum"
_DIGEST_PATTERN = r"^[0-9a-f]{64}$"
# Names of splits become names of files, and the version that of a folder: whatever an index says, they step nowhere.
_Digest = Annotated[str, Field(pattern=_DIGEST_PATTERN)]
_PartName = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SplitPart(_Part):
    """One split: where its rows and shards start in the table, and how many there are."""

    first_row: int = Field(ge=0)
    rows: int = Field(ge=0)
    first_shard: int = Field(ge=0)
    shards: int = Field(ge=0)
    bytes: int = Field(ge=0)


class TablePart(_Part):
    """The side table's size and SHA-256."""

    bytes: int = Field(ge=64)
    sha256: _Digest


class Description(_Part):
    """What a dataset says of itself, beyond its rows.

    Statistics are of pixels in 0..1, one number a channel; `channels` is what images are decoded to.
    """

    name: str
    card: str = Field(default="", description="digest of the card it was built from")
    classes: tuple[str, ...] = ()
    channels: int = Field(default=3, ge=1, le=3)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    attributes: dict[str, JsonValue] = Field(default_factory=dict, description="facts of the source, such as ids")


class Header(_Part):
    """All that index.json says; there it has a checksum of itself beside it."""

    format: int
    version: _Digest
    description: Description
    columns: tuple[tuple[_PartName, str], ...]
    splits: dict[_PartName, SplitPart]
    table: TablePart

    def document(self) -> dict[str, Any]:
        """What index.json holds."""
        document = self.model_dump(mode="json")
        return {**document, _CHECKSUM: _checksum(_canonical(document))}


def content_version(
    description: Description, columns: tuple[tuple[str, str], ...], splits: dict[str, SplitPart], shards: Structured
) -> str:
    """The version of a dataset: SHA-256 over everything that a reader can see of it.

    That is columns, classes, statistics, splits, and the rows, bytes and SHA-256 of every shard; not its name or card.
    """
    visible = {
        "format": FORMAT,
        "columns": columns,
        "splits": {name: part.model_dump() for name, part in splits.items()},
        "description": description.model_dump(exclude={"name", "card"}),
    }
    digest = hashlib.sha256(json.dumps(visible, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(shards).view(np.uint8).data)  # a million shards are 56 MB: no copy
    return digest.hexdigest()


def check_version(header: Header, shards: Structured, where: str) -> None:
    """Refuse an index whose shard table is not the one that its version names.

    Raises:
        DataError: they do not belong together.
    """
    if content_version(header.description, header.columns, header.splits, shards) != header.version:
        raise DataError(
            f"the index of {where} does not have the content that its version names", hint="build the dataset again"
        )


def read_header(root: Path) -> Header:
    """Read and check a dataset's index.json.

    Raises:
        NotFound: there is no dataset at `root`.
        DataError: it is damaged, or of a newer format.
    """
    path = root / INDEX_FILE
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(
            f"no dataset at {root}: it has no {INDEX_FILE}", hint="build it: orchestrator data build CARD"
        ) from error
    return parse_header(content, str(path))


def parse_header(content: bytes, where: str) -> Header:
    """The header from the bytes of an index.json that lies at `where`, a path or a URL.

    Raises:
        DataError: it is damaged, or of a newer format.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise DataError(f"{where} is damaged: not a JSON object", hint="build the dataset again")
    written = document.get("format")
    if isinstance(written, int) and written > FORMAT:
        raise DataError(
            f"{where} is of dataset format {written}; this version reads up to {FORMAT}", hint="upgrade orchestrator"
        )
    checksum = document.pop(_CHECKSUM, None)
    canonical = _canonical(document)
    try:
        header = Header.model_validate_json(canonical)
    except ValidationError as error:
        first = error.errors()[0]
        place = one_line(".".join(str(part) for part in first["loc"]))
        raise DataError(f"{where} is damaged: {place}: {first['msg']}", hint="build the dataset again") from error
    if checksum != _checksum(canonical):
        raise DataError(
            f"{where} is damaged: it does not have its own checksum", hint="copy it again, or build the dataset again"
        )
    return header


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _checksum(canonical: bytes) -> str:
    return hashlib.sha256(canonical).hexdigest()
