"""Opens the index of a remote dataset: `index.json` fresh from the store each time, the side table from the cache."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.base.clock import SystemClock
from orchestrator.base.errors import DataError, NotFound, RemoteUnavailable
from orchestrator.data.catalog import Catalog
from orchestrator.data.files import ShardFiles
from orchestrator.data.header import Header, check_version, parse_header
from orchestrator.data.remote.cache import Cache, telling_of_the_cache
from orchestrator.data.remote.errors import ObjectMissing, no_bucket
from orchestrator.data.remote.retry import Attempts
from orchestrator.data.remote.settings import RemoteSettings
from orchestrator.data.remote.shards import RemoteFiles
from orchestrator.data.remote.sidetable import SideTable
from orchestrator.data.remote.storage import Storage
from orchestrator.data.remote.transfer import Transfer
from orchestrator.data.schema import Schema
from orchestrator.data.table import Table
from orchestrator.spec.place import RemotePlace
from orchestrator.spec.placement import INDEX_FILE


class NoBucket(NotFound):
    """Not even the bucket is there."""


@dataclass(frozen=True)
class Opened:
    """The parts of an open remote index."""

    header: Header
    schema: Schema
    table: Table
    catalog: Catalog
    files: ShardFiles


def open_remote(place: RemotePlace, settings: RemoteSettings) -> Opened:
    """Open the dataset at a remote place.

    A version has a folder of its own in the cache: a dataset that is published anew never mixes with the old one.

    Raises:
        NotFound: there is none.
        UsageError: its protocol is not known, or its driver not installed.
        DataError: index or table are damaged, or the cache has no room.
        RemoteUnavailable: the store does not answer. What the cache holds is not used then: it may be stale.
    """
    clock = SystemClock()
    storage = Storage(place, settings.patience)
    try:
        header = read_remote_header(storage, settings)
    except RemoteUnavailable as error:
        stale = "what the cache holds of it is not used, since it may be stale"
        raise RemoteUnavailable(error.message, hint=f"{error.hint}; {stale}") from error
    schema = Schema.of(header.columns)
    with telling_of_the_cache():
        cache = Cache(settings.cache, settings.cache_bytes, clock)
        folder = cache.open_version(header.version)
        transfer = Transfer(storage, cache, settings, clock)
        side = SideTable(folder.path, header, transfer, settings)
        side.open()
        table = _open_table(side, header, schema, place.url)
    catalog = Catalog(place.url, header, table.shards)
    return Opened(header, schema, table, catalog, RemoteFiles(folder, catalog, side, transfer, cache, settings))


def _open_table(side: SideTable, header: Header, schema: Schema, url: str) -> Table:
    """The table in the cache; a head that was damaged there is fetched anew."""
    try:
        table = Table.open(side.path, schema, size=header.table.bytes)
        check_version(header, table.shards, url)
    except DataError:
        side.mend_head()
        table = Table.open(side.path, schema, size=header.table.bytes)
        check_version(header, table.shards, url)
    return table


def read_remote_header(storage: Storage, settings: RemoteSettings) -> Header:
    """The index of the dataset in a remote folder, never from a cache.

    Raises:
        NoBucket, NotFound: there is none.
        DataError: it is damaged.
        RemoteUnavailable: the store does not answer.
    """
    url = storage.place.url
    attempts = Attempts(f"the index {url}/{INDEX_FILE}", settings.patience)
    try:
        content = attempts.run(lambda: storage.read_all(INDEX_FILE))
    except ObjectMissing as error:
        if no_bucket(error):
            raise NoBucket(f"no dataset at {url}: the bucket does not exist", hint="check the URL") from error
        raise NotFound(
            f"no dataset at {url}: it has no {INDEX_FILE}", hint="check the URL; the index is published last"
        ) from error
    return parse_header(content, f"{url}/{INDEX_FILE}")
