"""Who calls: bearer tokens, the user and role that each stands for, and what a role may do."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import NotAllowed, UsageError
from orchestrator.base.files import read_json

ROLES = ("viewer", "researcher", "operator", "admin")
"""Each may do what those before it may: read; submit, and change one's own jobs; change all jobs; stop the server."""

_USE_TOKEN = "set ORCHESTRATOR_TOKEN to a token that this server knows"


class TokenRefused(NotAllowed):
    """No token, an unknown one, or an expired one: the caller is nobody."""


@dataclass(frozen=True)
class Principal:
    """A caller; `teams` may be charged, None: all of them."""

    user: str
    role: str
    teams: tuple[str, ...] | None = None

    def may(self, role: str) -> bool:
        """Whether the caller has this role or a higher one."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def require(self, role: str, what: str = "this") -> None:
        """Refuse a caller below `role`.

        Raises:
            NotAllowed: naming both roles.
        """
        if not self.may(role):
            raise NotAllowed(
                f"{what} needs the role {role}; {self.user} is {self.role}", hint="ask an admin of the server"
            )

    def require_owner(self, job: str, owner: str) -> None:
        """Refuse a researcher who touches another user's job.

        Raises:
            NotAllowed: naming the owner.
        """
        self.require("researcher")
        if self.user != owner and not self.may("operator"):
            raise NotAllowed(f"job {job} belongs to {owner}; {self.user} may not change it", hint="ask its owner")


@dataclass(frozen=True)
class Grant:
    """What one token stands for; only its digest is kept."""

    digest: bytes
    principal: Principal
    expires_at: float | None = None

    @classmethod
    def of(cls, token: str, principal: Principal, expires_at: float | None = None) -> Grant:
        """The grant of a token in clear."""
        return cls(hashlib.sha256(token.encode()).digest(), principal, expires_at)


class TokenBook:
    """All tokens that the server accepts.

    Args:
        grants: the tokens.
        now: wall-clock seconds, for expiry.
    """

    def __init__(self, grants: Iterable[Grant], *, now: Callable[[], float]) -> None:
        self._grants = tuple(grants)
        self._now = now

    def principal(self, authorization: str | None) -> Principal:
        """The caller behind an `Authorization` header; every grant is compared, in constant time.

        Raises:
            TokenRefused: the header is absent or malformed, its token unknown or expired.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise TokenRefused("the request carries no bearer token", hint=_USE_TOKEN)
        digest = hashlib.sha256(token.strip().encode()).digest()
        matching = [grant for grant in self._grants if hmac.compare_digest(grant.digest, digest)]
        if not matching:
            raise TokenRefused("the token is not known to this server", hint=_USE_TOKEN)
        expires_at = matching[0].expires_at
        if expires_at is not None and expires_at <= self._now():
            raise TokenRefused("the token has expired", hint="ask an admin of the server for a new one")
        return matching[0].principal


def read_grants(path: Path) -> list[Grant]:
    """The tokens of a team: `{"tokens": [{"sha256", "user", "role", "teams"?, "expires_at"?}, …]}`.

    Raises:
        UsageError: the file is absent, damaged, readable by others, or an entry is wrong.
    """
    document = read_json(path)
    if document is None or not isinstance(document.get("tokens"), list):
        raise UsageError(f"{path} holds no list of tokens", hint='write {"tokens": [{"sha256", "user", "role"}]}')
    if path.stat().st_mode & 0o077:
        raise UsageError(f"{path} can be read by others", hint=f"chmod 600 {path}")
    return [_grant(path, number, entry) for number, entry in enumerate(document["tokens"])]


def _grant(path: Path, number: int, entry: object) -> Grant:
    where = f"{path}: tokens[{number}]"
    if not isinstance(entry, dict) or entry.get("role") not in ROLES or not isinstance(entry.get("user"), str):
        raise UsageError(f"{where} needs a user and a role", hint=f"roles: {', '.join(ROLES)}")
    try:
        digest = bytes.fromhex(entry["sha256"])
        expires_at = None if entry.get("expires_at") is None else float(entry["expires_at"])
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{where} needs the token's sha256 in hex", hint="printf %s TOKEN | sha256sum") from None
    if len(digest) != 32:
        raise UsageError(f"{where}: a sha256 has 64 hex digits", hint="printf %s TOKEN | sha256sum")
    return Grant(digest, Principal(entry["user"], entry["role"], _teams(where, entry.get("teams"))), expires_at)


def _teams(where: str, listed: object) -> tuple[str, ...] | None:
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(team, str) for team in listed):
        raise UsageError(f"{where}: teams is no list of names", hint='write "teams": ["vision"], or leave it out')
    return tuple(listed)
