"""One HTTP request to Ray's dashboard: an answer that is whole and came in time, or BackendUnavailable."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from orchestrator.base.errors import BackendUnavailable, UsageError
from orchestrator.base.text import one_line, without_credentials

LONGEST = 8 * 2**20
"""Bytes of an answer: more is not read."""
_CHUNK = 2**16
_DOWN = "its head is down or busy, or the address is wrong: ray.address of the profile, else $RAY_API_SERVER_ADDRESS"


class TooLong(BackendUnavailable):
    """An answer that is longer than is read."""


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """As text, whatever it is."""
        return self.body.decode(errors="replace")

    @property
    def last_line(self) -> str:
        """Its last line with something on it, which of a traceback tells most."""
        lines = [line for line in self.text.splitlines() if line.strip(" .")]
        return one_line(lines[-1], 300) if lines else "an empty answer"


class Http:
    """A connection for each request, so that threads may share it and none waits for another.

    Args:
        address: URL of the dashboard; without a scheme http is meant.
        timeout: seconds that a request may take in all.
        hint: what to do where nobody answers.

    Raises:
        UsageError: the address is none.
    """

    def __init__(self, address: str, *, timeout: float, hint: str = _DOWN) -> None:
        parts = _parts(address)
        self.url = without_credentials(parts.geturl()).rstrip("/")
        self._connection = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._netloc = parts.netloc.rpartition("@")[2]
        self._base = parts.path.rstrip("/")
        self._timeout, self._hint = timeout, hint

    def request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, longest: int = LONGEST
    ) -> Reply:
        """Send one request.

        Args:
            method: of HTTP.
            path: below the address.
            body: None: nothing.
            headers: to send.
            longest: bytes of an answer.

        Raises:
            TooLong: the answer is longer.
            BackendUnavailable: no connection, or it broke; too slow, or cut short.
        """
        what, deadline = f"{method} {path.partition('?')[0]}", time.monotonic() + self._timeout
        connection = self._connection(self._netloc, timeout=self._timeout)
        try:
            connection.request(method, self._base + path, body, dict(headers))
            response = connection.getresponse()
            return Reply(response.status, self._read(response, deadline, what, longest))
        except TimeoutError:
            raise self.failed(what, f"no whole answer within {self._timeout:g} s", self._hint) from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise self.failed(what, one_line(why), self._hint) from None
        finally:
            connection.close()

    def failed(self, what: str, why: str, hint: str) -> BackendUnavailable:
        """The error for a request that came to nothing."""
        return BackendUnavailable(f"{what} of Ray at {self.url} failed: {why}", hint=hint)

    def _read(self, response: http.client.HTTPResponse, deadline: float, what: str, longest: int) -> bytes:
        expected = response.length
        content = bytearray()
        while chunk := response.read1(_CHUNK):
            content += chunk
            if len(content) > longest:
                why = f"its answer is longer than {longest // 2**20} MiB"
                raise TooLong(f"{what} of Ray at {self.url} failed: {why}", hint="is that Ray's dashboard?")
            if time.monotonic() > deadline:
                raise TimeoutError
        if expected is not None and len(content) < expected:
            raise http.client.IncompleteRead(bytes(content), expected - len(content))
        return bytes(content)


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address if "//" in address else f"http://{address}")
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            f"{without_credentials(address)!r} is no address of Ray's dashboard",
            hint="ray.address of the profile, or $RAY_API_SERVER_ADDRESS, looks like http://127.0.0.1:8265",
        )
    return parts
