"""Reads the index of a dataset that lies at a URL, within seconds or not at all: somebody waits for the answer."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from typing import Any

from orchestrator.base.errors import DataError, NotFound, OrchestratorError, RemoteUnavailable, UsageError
from orchestrator.base.text import without_credentials
from orchestrator.spec.place import s3_endpoint
from orchestrator.spec.placement import INDEX_FILE

SECONDS = 6.0
"""The longest that a plan or a submit waits for a remote index."""
_LARGEST = 64 * 2**20
_OPTIONS = {
    "s3": {"config_kwargs": {"connect_timeout": 2, "read_timeout": 4, "retries": {"max_attempts": 1}}},
}
_HINT = (
    "check the URL and this environment (AWS_ENDPOINT_URL, AWS_PROFILE and the like); a server has that of the shell "
    "that started it: orchestrator serve --stop lets the next command start a new one"
)


def read_remote_index(url: str, *, seconds: float = SECONDS) -> dict[str, Any]:
    """`index.json` of the dataset at a URL.

    Args:
        url: whatever fsspec reads.
        seconds: after which it counts as unreachable.

    Raises:
        UsageError: the library that reads such URLs is not installed, or there is none.
        NotFound: there is no dataset.
        RemoteUnavailable: it cannot be reached.
        DataError: it is damaged.
    """
    s3_endpoint(os.environ)
    files, path = _opened(f"{url}/{INDEX_FILE}")
    fetch = _Fetch(files, path)
    thread = threading.Thread(target=fetch.run, name="remote-index", daemon=True)
    thread.start()
    thread.join(seconds)
    if fetch.error is not None:
        raise _explained(url, fetch.error) from fetch.error
    if fetch.content is None:
        raise RemoteUnavailable(f"{url} cannot be reached: no answer within {seconds:g} s", hint=_HINT)
    try:
        document = json.loads(fetch.content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{url}/{INDEX_FILE} is damaged: {error}", hint="publish the dataset again") from error
    if not isinstance(document, dict):
        raise DataError(f"{url}/{INDEX_FILE} is damaged: not a JSON object", hint="publish the dataset again")
    return document


@dataclass
class _Fetch:
    """One attempt, in a thread of its own: no library's time-outs hold for all that it does."""

    files: Any
    path: str
    content: bytes | None = None
    error: Exception | None = None

    def run(self) -> None:
        """Read; what comes of it is in `content` or `error`."""
        try:
            self.content = self.files.cat_file(self.path, start=0, end=_LARGEST)
        except Exception as error:  # each driver has errors of its own
            self.error = error


def _opened(url: str) -> tuple[Any, str]:
    """The driver of a URL and the path in it; nothing is asked of the store yet."""
    try:
        import fsspec  # only where a URL is named: it and its drivers take a second to import

        files, path = fsspec.core.url_to_fs(url, **_OPTIONS.get(url.partition("://")[0].lower(), {}))
    except ImportError as error:
        raise UsageError(f"{url} cannot be read here: {error}", hint="pip install 'orchestrator[s3]'") from error
    except ValueError as error:
        raise UsageError(f"{url}: {error}", hint="use s3://bucket/path, or a path") from error
    return files, str(path)


def _explained(url: str, error: Exception) -> OrchestratorError:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"no dataset at {url}: it has no {INDEX_FILE}", hint="check the URL; it is published last")
    what = str(error).strip().splitlines() or [type(error).__name__]
    return RemoteUnavailable(f"{url} cannot be reached: {without_credentials(what[0])}", hint=_HINT)
