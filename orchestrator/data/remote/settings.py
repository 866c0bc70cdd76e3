"""How remote datasets are fetched and kept: the cache's folder and size, patience, threads."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.base.paths import CACHE_BYTES_VARIABLE, CACHE_VARIABLE
from orchestrator.data.remote.retry import Patience
from orchestrator.spec.units import parse_bytes

_RANKS_VARIABLE = "LOCAL_WORLD_SIZE"  # torchrun's


@dataclass(frozen=True)
class RemoteSettings:
    """Settings of remote datasets.

    Attributes:
        cache: the folder that all processes of a node share; it must lie on a local disk.
        cache_bytes: its bound. None: 64 GiB, or four fifths of what the disk has free beside what the cache holds
            already, whichever is less, so that a cache never fills a small disk and never takes a big one by surprise.
        patience: with the store.
        chunk_bytes: of one request.
        whole_table_bytes: a side table up to this size is fetched whole at opening, a larger one with its shards.
        threads: downloads at once, in each process.
        processes: how many processes of this node share the room for reading ahead, which is half of the cache.
    """

    cache: Path
    cache_bytes: int | None = None
    patience: Patience = field(default_factory=Patience)
    chunk_bytes: int = 16 * 2**20
    whole_table_bytes: int = 256 * 2**20
    threads: int = 8
    processes: int = 1

    @classmethod
    def from_environment(cls) -> RemoteSettings:
        """`$ORCHESTRATOR_CACHE_DIR` (else the XDG cache folder) and `$ORCHESTRATOR_CACHE_BYTES` (such as 200GiB).

        Raises:
            UsageError: the size is none.
        """
        ranks = os.environ.get(_RANKS_VARIABLE, "")
        return cls(cache_dir(), _bound(), processes=max(1, int(ranks)) if ranks.isdigit() else 1)


def cache_dir() -> Path:
    """The folder of the cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("orchestrator"))


def _bound() -> int | None:
    written = os.environ.get(CACHE_BYTES_VARIABLE)
    if not written:
        return None
    try:
        size = parse_bytes(int(written) if written.isdigit() else written)
    except ValueError as error:
        raise UsageError(f"{CACHE_BYTES_VARIABLE}={written}: {error}", hint="such as 200GiB") from error
    if size < 1:
        raise UsageError(f"{CACHE_BYTES_VARIABLE}={written} is no room at all", hint="such as 200GiB")
    return size
