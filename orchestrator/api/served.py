"""Which cluster this state directory served last: `server/served.json`, by which a command starts the server anew."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from orchestrator.api.endpoint import server_folder
from orchestrator.base.errors import Conflict, NotFound, UsageError
from orchestrator.base.files import read_json, write_json
from orchestrator.base.paths import bundled, state_dir
from orchestrator.spec.load import load_served_profile

_FILE = "served.json"
_FIRST = "local"
"""What is served where nothing ever was."""


def from_anywhere(profile: str) -> str:
    """A profile as it may be named wherever one stands: a path made absolute, a name of the package as it is.

    An unchanged copy in ./cluster stands for the package's: it may be deleted without anybody missing it.
    """
    if os.sep in profile or profile.endswith((".yaml", ".yml")):
        return str(Path(profile).absolute())
    beside, shipped = Path("cluster") / f"{profile}.yaml", bundled("cluster") / f"{profile}.yaml"
    copied = beside.is_file() and shipped.is_file() and beside.read_bytes() == shipped.read_bytes()
    return str(beside.absolute()) if beside.is_file() and not copied else profile


def remember(cluster: str, profile: str) -> None:
    """Keep what is served now.

    Args:
        cluster: its name.
        profile: its profile, as it may be named from anywhere.
    """
    served = {"last": cluster, "profiles": {**served_profiles(), cluster: profile}}
    write_json(server_folder() / _FILE, served, mode=0o600)


def served_profiles() -> Mapping[str, str]:
    """The profile of each cluster that was ever served here, by the cluster's name."""
    found = (_read() or {}).get("profiles")
    return found if isinstance(found, dict) else {}


def profile_to_serve() -> str:
    """The profile that was served last: never another in its place.

    Raises:
        Conflict: it can no longer be served, or nobody knows any more which it was.
    """
    document, profiles = _read(), served_profiles()
    if document is None and not (state_dir() / "server" / _FILE).exists():
        return from_anywhere(_FIRST)
    cluster = str((document or {}).get("last", ""))
    if cluster not in profiles:
        path = state_dir() / "server" / _FILE
        raise Conflict(f"{path} is damaged: it said which cluster was served last", hint=f"{serve_command()} says it")
    profile = from_anywhere(profiles[cluster])
    try:
        load_served_profile(profile)
    except (NotFound, UsageError) as error:
        again = serve_command(profile)
        raise Conflict(
            f"the cluster that was served last, {cluster}, can no longer be served:\n{error}",
            hint=f"mend it, then: {again}; what it runs goes on meanwhile",
        ) from None
    return profile


def serve_command(profile: str = "PATH") -> str:
    """What to type to serve a profile."""
    return f"orchestrator serve --profile {shlex.quote(profile)}"


def _read() -> dict[str, object] | None:
    return read_json(state_dir() / "server" / _FILE)
