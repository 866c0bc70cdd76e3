"""Where a dataset or a checkpoint lies: a local folder, or a URL that names a place and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from orchestrator.base.errors import UsageError
from orchestrator.base.text import one_line

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_EXAMPLES = {"dataset": "s3://bucket/data/cifar10", "checkpoint": "s3://bucket/checkpoints"}


@dataclass(frozen=True)
class RemotePlace:
    """A folder of objects in a remote store: `s3://bucket/prefix`.

    Attributes:
        protocol: in lower case, as fsspec knows it.
        path: bucket (or host) and prefix, without a slash at the end.
    """

    protocol: str
    path: str

    @property
    def url(self) -> str:
        """The whole URL; it holds no credentials."""
        return f"{self.protocol}://{self.path}"

    def object(self, name: str) -> str:
        """The path of one object, without the protocol."""
        return f"{self.path}/{name}"


def parse_location(location: Path | str, of: Literal["dataset", "checkpoint"] = "dataset") -> Path | RemotePlace:
    """The folder or remote place that `location` names; `file://` is a folder.

    Args:
        location: as it is written.
        of: what lies there, for messages.

    Raises:
        UsageError: it steps out of its root by `..`, holds credentials, a query or a control character, or chains
            protocols. The message never repeats a password.
    """
    if isinstance(location, Path):
        return location
    match = _URL.fullmatch(location)
    if match is None and "://" in location:
        raise UsageError(f"{one_line(location.rpartition('@')[2])} is no URL of a {of}", hint=_hint(of))
    if match is None:
        return Path(location)
    protocol, rest = match[1].lower(), match[2]
    if "@" in rest.partition("/")[0]:
        raise UsageError(f"a {of}'s {protocol} URL holds credentials", hint="put them into the environment")
    _refuse_tricks(location, rest, _hint(of))
    if protocol in {"file", "local"}:
        return _local(location, rest)
    path = rest.rstrip("/")
    if not path or path.startswith("/"):
        raise UsageError(f"{one_line(location)} names no bucket or host", hint=_hint(of))
    return RemotePlace(protocol, path)


def s3_endpoint(environment: Mapping[str, str]) -> str | None:
    """The URL of the S3 server that the environment names; None: Amazon's.

    Raises:
        UsageError: it holds credentials. The message does not repeat them.
    """
    name = next((name for name in _ENDPOINTS if environment.get(name)), None)
    if name is None:
        return None
    if "@" in environment[name]:
        raise UsageError(
            f"{name} holds credentials",
            hint="put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or into a profile",
        )
    return environment[name]


def _hint(of: str) -> str:
    return f"a {of}'s place is a folder or a URL such as {_EXAMPLES[of]}"


def _refuse_tricks(location: str, rest: str, hint: str) -> None:
    decoded = unquote(unquote(rest))  # twice: a proxy may decode once before the store does
    shown = one_line(re.split(r"[?#]", location)[0])
    if any(character in text for text in (rest, decoded) for character in "?#*\\") or "::" in location:
        raise UsageError(f"{shown}: a query, a fragment, a pattern or a chain of protocols is not used", hint=hint)
    if any(ord(character) < 32 or ord(character) == 127 for character in decoded):
        raise UsageError(f"{shown} holds a control character", hint=hint)
    if any(part in {".", ".."} for text in (rest, decoded) for part in text.split("/")):
        raise UsageError(f"{shown} holds a step such as `..`", hint=hint)


def _local(location: str, rest: str) -> Path:
    host, slash, path = unquote(rest).partition("/")
    if host not in {"", "localhost"} or not slash:
        raise UsageError(
            f"{one_line(location)} names another machine, or no absolute path",
            hint="file:// URLs have three slashes: file:///data/cifar10",
        )
    return Path("/" + path)
