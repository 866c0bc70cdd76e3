"""Which object store an environment leads to: compared between a shell and a server, without a value being told."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_ACCESS_KEY_ID")
_DIGITS = 16


def store_fingerprints(environment: Mapping[str, str]) -> dict[str, str]:
    """A hash of each of `VARIABLES` that is set."""
    return {name: _hash(name, environment[name]) for name in VARIABLES if environment.get(name)}


def other_store(environment: Mapping[str, str], server: Mapping[str, str]) -> list[str]:
    """The variables that are set in a shell and not so in the server, which reads and trains by its own.

    Args:
        environment: of the shell.
        server: `store_fingerprints` of the server.
    """
    return [name for name, value in store_fingerprints(environment).items() if server.get(name) != value]


def _hash(name: str, value: str) -> str:
    return hashlib.sha256(f"{name}={value}".encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
