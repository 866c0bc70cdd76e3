"""The one exception tree. Every message says what happened, where, and what to do.

OrchestratorError                 exit 1
 ├─ UsageError                    exit 2   the command line or a request is wrong
 │   └─ SpecError                 exit 2   a document is wrong; carries every diagnostic at once
 ├─ ServerUnreachable             exit 3
 ├─ NotAllowed                    exit 4
 ├─ NotFound                      exit 5
 ├─ Conflict                      exit 6   the state of things forbids it
 │   ├─ IllegalMove                        a programming error: the life cycle has no such arrow
 │   └─ Fenced                             a writer with an older fencing token
 ├─ TimedOut                      exit 7
 ├─ StoreError                    exit 1   the database is damaged, locked, or of a newer version
 ├─ DamagedRow                    exit 1   what the store has of one job cannot be read; also a ValueError
 ├─ BackendError                  exit 1
 │   ├─ BackendUnavailable                 the engine does not answer: the state is unknown, never failed
 │   │   └─ Busy                           it is being asked about this very allocation
 │   └─ LaunchRefused                      the engine says no for good
 └─ DataError                     exit 1   a dataset is missing, damaged, or of another version
     ├─ ShardCorrupt                       names the shard and its rows
     └─ RemoteUnavailable                  a remote dataset cannot be fetched now; nothing is known of the data
"""

from __future__ import annotations


class OrchestratorError(Exception):
    """Any failure that a person can act on.

    Args:
        message: what happened, and where.
        hint: what to do about it; shown on a line of its own.
    """

    exit_code = 1
    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class UsageError(OrchestratorError):
    """The command line or the request is wrong."""

    exit_code = 2
    code = "usage"


class SpecError(UsageError):
    """A document (workload, profile, dataset card) is wrong; the message holds every diagnostic, one a paragraph."""

    code = "invalid_spec"


class ServerUnreachable(OrchestratorError):
    """No server answers where one is configured."""

    exit_code = 3
    code = "server_unreachable"


class NotAllowed(OrchestratorError):
    """The caller lacks the token or the role."""

    exit_code = 4
    code = "not_allowed"


class NotFound(OrchestratorError):
    """Nothing has this identifier."""

    exit_code = 5
    code = "not_found"


class Conflict(OrchestratorError):
    """The state of things forbids the request."""

    exit_code = 6
    code = "conflict"


class IllegalMove(Conflict):
    """The life cycle has no such arrow; a programming error."""

    code = "illegal_move"


class Fenced(Conflict):
    """A writer holds an older fencing token than the directory does."""

    code = "fenced"


class TimedOut(OrchestratorError):
    """Something did not happen within the time that was given for it."""

    exit_code = 7
    code = "timed_out"


class StoreError(OrchestratorError):
    """The database is damaged, locked by another server, or of a newer version."""

    code = "store"


class DamagedRow(OrchestratorError, ValueError):
    """What the store has of one job, or of a run of it, cannot be read; the others are not touched."""

    code = "damaged_row"


class BackendError(OrchestratorError):
    """An engine did not do what was asked of it."""

    code = "backend"


class BackendUnavailable(BackendError):
    """The engine does not answer; what it runs is unknown, not failed.

    Args:
        message: what happened, and where.
        hint: what to do about it; shown on a line of its own.
        since: when it answered last, in seconds since the epoch; None: not known.
    """

    code = "backend_unavailable"

    def __init__(self, message: str, *, hint: str = "", since: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.since = since


class Busy(BackendUnavailable):
    """The engine is just being asked about this very allocation; nothing follows for others."""


class LaunchRefused(BackendError):
    """The engine refuses this launch for good."""

    code = "launch_refused"


class DataError(OrchestratorError):
    """A dataset is missing, damaged, or of another version."""

    code = "data"


class ShardCorrupt(DataError):
    """A shard is missing, truncated, or its checksum differs.

    Args:
        message: which shard, and which rows.
        hint: what to do about it.
        lasting: there is no other copy that another try could read.
    """

    code = "shard_corrupt"

    def __init__(self, message: str, *, hint: str = "", lasting: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.lasting = lasting


class RemoteUnavailable(DataError):
    """A remote dataset cannot be fetched now: the store does not answer or refuses, or the node's cache has no room."""

    code = "remote_unavailable"
