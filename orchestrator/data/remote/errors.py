"""What a failed request to a remote store means: try again, nothing is there, or it is refused for good."""

from __future__ import annotations

import errno
import os
from enum import Enum

from orchestrator.base.errors import DataError
from orchestrator.base.text import one_line, without_credentials

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_DRIVERS = ("botocore", "aiobotocore", "aiohttp", "urllib3", "requests", "httpx", "fsspec", "google", "azure", "gcsfs")
_FOR_GOOD = ("NoCredentials", "PartialCredentials", "ProfileNotFound", "ParamValidation", "TokenRetrieval", "SSOToken")
_BUSY = {408, 425, 429}
_LOCAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class ObjectMissing(DataError):
    """The store answers that there is no such object."""

    code = "object_missing"


class ObjectChanged(DataError):
    """The object is another one than when its download began."""

    code = "object_changed"


class ShortBody(OSError):
    """A body ended before all of it had come."""


class Meaning(Enum):
    """What an exception of a driver stands for."""

    AGAIN = "again"  # 5xx, 429, resets, time-outs, short bodies
    MISSING = "missing"  # 404
    CHANGED = "changed"  # 412, 416
    REFUSED = "refused"  # 401, 403, 400, no credentials
    FOREIGN = "foreign"  # not from the store: a full disk here, a mistake in code


def meaning(error: BaseException) -> Meaning:
    """What a driver's exception stands for, whatever driver it is."""
    status = _status(error)
    if status is not None:
        return _of_status(status)
    if isinstance(error, FileNotFoundError):
        return Meaning.MISSING
    name = type(error).__name__
    if isinstance(error, PermissionError) or name.startswith(_FOR_GOOD):
        return Meaning.REFUSED
    if isinstance(error, OSError) and error.errno in _LOCAL:
        return Meaning.FOREIGN
    from_driver = type(error).__module__.partition(".")[0] in _DRIVERS
    return Meaning.AGAIN if from_driver or isinstance(error, OSError | EOFError) else Meaning.FOREIGN


def wording(error: BaseException) -> str:
    """An exception in one line, without credentials."""
    status = _status(error)
    text = str(error) or type(error).__name__
    for variable in _SECRETS:
        if secret := os.environ.get(variable):
            text = text.replace(secret, "…")
    said = f"{type(error).__name__}: {text}" if text != type(error).__name__ else text
    return one_line(without_credentials(f"HTTP {status}, {said}" if status is not None else said), 240)


def no_bucket(error: BaseException | None) -> bool:
    """Whether the store has said, here or in a cause, that the bucket itself is not there."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict) and response.get("Error", {}).get("Code") == "NoSuchBucket":
            return True
        error = error.__cause__
    return False


def has_no_way(error: BaseException) -> bool:
    """Whether the store or its driver does not know the request."""
    return isinstance(error, NotImplementedError | TypeError) or _status(error) == 501


def _of_status(status: int) -> Meaning:
    if status >= 500 or status in _BUSY:
        return Meaning.AGAIN
    if status in {404, 410}:
        return Meaning.MISSING
    return Meaning.CHANGED if status in {412, 416} else Meaning.REFUSED


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an exception: of botocore's response, or a driver's own attribute."""
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            status = getattr(one, "status", getattr(response, "status_code", None))
        if isinstance(status, int) and status >= 400:
            return status
    return None
