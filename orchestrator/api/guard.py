"""The outermost layer of the app: refuses foreign hosts, origins, strangers and oversized bodies unparsed."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.auth import TokenRefused
from orchestrator.api.context import ApiContext
from orchestrator.api.errors import answer_to
from orchestrator.spec.messages import ErrorView

BODY_LIMIT = 4 * 2**20
"""Bytes; a workload may have 2,000,000 characters."""
BULK_LIMIT = 64 * 2**20
"""Bytes of many workloads that are queued together."""
_BULK = "/jobs/bulk"

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Guard:
    """ASGI middleware that keeps out what a browser could be made to send, and strangers.

    DNS rebinding shows as a foreign `Host`, a cross-site request as a foreign `Origin`. A body is kept and parsed for
    those alone who carry a good token.

    Args:
        app: what lies behind it.
        context: knows the tokens.
        prefix: of the paths that need one.
    """

    def __init__(self, app: ASGIApp, context: ApiContext, prefix: str) -> None:
        self._app = app
        self._context = context
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] != "http":
            return
        headers, path = Headers(scope=scope), str(scope["path"])
        refusal = self._refusal(headers, path)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        stranger = self._stranger(headers)
        if stranger is None:
            with self._context.activity.request():
                await self._app(scope, receive, _hardened(send))
        elif path.startswith(self._prefix):
            await _pass_over(receive)
            await answer_to(stranger)(scope, receive, _hardened(send))
        else:
            await self._app(scope, receive, _hardened(send))

    def _stranger(self, headers: Headers) -> TokenRefused | None:
        """Why the caller is nobody, None: a token is good. A stranger's requests do not keep an idle server up."""
        try:
            self._context.tokens.principal(headers.get("authorization"))
        except TokenRefused as refused:
            return refused
        return None

    def _refusal(self, headers: Headers, path: str) -> JSONResponse | None:
        host = headers.get("host", "")
        if self._context.loopback_only and _name(host) not in _LOOPBACK:
            return _refuse(403, "not_allowed", f"the Host {host!r} is not a loopback name", exit_code=4)
        origin = headers.get("origin")
        if origin is not None and (not host or urlsplit(origin).netloc != host):
            return _refuse(403, "not_allowed", f"requests from the origin {origin!r} are refused", exit_code=4)
        if "transfer-encoding" in headers:
            return _refuse(411, "usage", "a request body needs a Content-Length", exit_code=2)
        length = headers.get("content-length", "0")
        limit = BULK_LIMIT if path.endswith(_BULK) else BODY_LIMIT
        if not length.isdigit() or int(length) > limit:
            return _refuse(413, "usage", f"the request body is larger than {limit} bytes", exit_code=2)
        return None


async def _pass_over(receive: Receive) -> None:
    """Read the body and keep nothing: who is still sending would not see the answer."""
    while (await receive()).get("more_body", False):
        pass


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _refuse(status: int, code: str, message: str, *, exit_code: int) -> JSONResponse:
    view = ErrorView(code=code, message=message, exit_code=exit_code)
    return JSONResponse(view.model_dump(), status, headers={"connection": "close"})


def _hardened(send: Send) -> Send:
    async def forward(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-content-type-options"] = "nosniff"
            headers["cache-control"] = "no-store"
        await send(message)

    return forward
