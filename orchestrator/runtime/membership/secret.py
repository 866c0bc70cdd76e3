"""The secret that only a run's processes know, and how two of them show each other that they know it.

The secret itself never travels: each side sends a nonce and gets it back under HMAC-SHA256.
"""

from __future__ import annotations

import hmac
import secrets

from orchestrator.base.files import create_exclusive
from orchestrator.rundir.layout import RunDirectory
from orchestrator.rundir.membership import membership_folder

_BYTES = 32


def make_secret(run: RunDirectory) -> None:
    """Draw the secret of a run, where there is none; only its owner may read the file."""
    folder = membership_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "secret"
    if not path.exists():
        create_exclusive(path, secrets.token_hex(_BYTES).encode(), mode=0o600)


def read_secret(run: RunDirectory) -> bytes:
    """The secret.

    Raises:
        FileNotFoundError: no agent has drawn it yet.
    """
    return (membership_folder(run) / "secret").read_bytes()


def nonce() -> str:
    """A text that was never used before."""
    return secrets.token_hex(_BYTES)


def proof(secret: bytes, side: str, text: str) -> str:
    """What only somebody who knows the secret can answer to `text`; each side's answers differ from the other's."""
    return hmac.new(secret, f"{side}\0{text}".encode(), "sha256").hexdigest()


def proves(secret: bytes, side: str, text: str, answer: object) -> bool:
    """Whether an answer is the right one; takes as long whatever part of it is wrong."""
    return isinstance(answer, str) and hmac.compare_digest(proof(secret, side, text).encode(), answer.encode())
