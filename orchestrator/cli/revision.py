"""The git revision of the working directory, recorded with every job; absent where there is no git or no repository."""

from __future__ import annotations

import os
import subprocess

from orchestrator.spec.messages import CodeVersion

_TIMEOUT_SECONDS = 3.0


def code_version() -> CodeVersion:
    """Revision and dirty flag of the repository around the working directory; None where git does not say."""
    revision = _git("rev-parse", "--verify", "HEAD")
    if not revision:
        return CodeVersion()
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return CodeVersion(revision=revision.strip(), dirty=None if changes is None else bool(changes.strip()))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_SECONDS,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")
