"""The token of a Ray cluster: from the profile's file, or from where Ray itself looks for it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from orchestrator.base.errors import BackendUnavailable
from orchestrator.spec.ray import RaySection

HINT = "it is that of ray.token_file in the profile, else of $RAY_AUTH_TOKEN, $RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token"


class Token:
    """Read once, and again when Ray refuses it. Threads may share it; nothing tells it.

    Args:
        section: of the profile.
        environment: of the server.
    """

    def __init__(self, section: RaySection, environment: Mapping[str, str]) -> None:
        self._section = section
        self._environment = environment
        self._lock = threading.Lock()
        self._known: str | None = None

    def get(self) -> str:
        """The token; empty where there is none.

        Raises:
            BackendUnavailable: the file that should hold it cannot be read, or holds something else.
        """
        with self._lock:
            if self._known is None:
                self._known = self._read()
            return self._known

    def has_changed(self, refused: str) -> bool:
        """Read it anew; whether it is another one than that which was refused."""
        with self._lock:
            self._known = self._read()
            return self._known != refused

    def _read(self) -> str:
        named = self._section.token_file
        if named is None and (direct := self._environment.get("RAY_AUTH_TOKEN", "").strip()):
            return _checked(direct, "$RAY_AUTH_TOKEN")
        named = named or self._environment.get("RAY_AUTH_TOKEN_PATH")
        path = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
        try:
            return _checked(path.read_text().strip(), str(path))
        except FileNotFoundError:
            if named is None:
                return ""
            raise _unreadable(path, "it is not there") from None
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(path, getattr(error, "strerror", None) or "it is no text") from None


def _checked(token: str, where: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise BackendUnavailable(f"{where} holds no token of Ray: blanks or control characters are in it", hint=HINT)
    return token


def _unreadable(path: Path, why: str) -> BackendUnavailable:
    return BackendUnavailable(f"the token of Ray cannot be read from {path}: {why}", hint=HINT)
