"""Errors on the wire: every failure leaves as an `ErrorView` with the HTTP status that fits."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from orchestrator.api.auth import TokenRefused
from orchestrator.base.errors import (
    BackendUnavailable,
    Conflict,
    NotAllowed,
    NotFound,
    OrchestratorError,
    StoreError,
    TimedOut,
    UsageError,
)
from orchestrator.spec.messages import ErrorView

_LOG = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[OrchestratorError], int], ...] = (
    (UsageError, 400),
    (TokenRefused, 401),
    (NotAllowed, 403),
    (NotFound, 404),
    (Conflict, 409),
    (BackendUnavailable, 503),
    (StoreError, 503),
    (TimedOut, 504),
)


def status_of(error: OrchestratorError) -> int:
    """The HTTP status of an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def install_handlers(app: FastAPI) -> None:
    """Turn every exception that leaves a handler into an `ErrorView`."""
    app.add_exception_handler(OrchestratorError, _known)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _answer(status: int, view: ErrorView) -> JSONResponse:
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(view.model_dump(), status, headers=headers)


def _known(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OrchestratorError)
    return answer_to(error)


def answer_to(error: OrchestratorError) -> JSONResponse:
    """What goes over the wire for an error of ours."""
    view = ErrorView(code=error.code, message=error.message, hint=error.hint, exit_code=error.exit_code)
    return _answer(status_of(error), view)


def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
    return _answer(400, ErrorView(code="usage", message="; ".join(found)[:2000], exit_code=2))


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    absent = error.status_code == 404
    view = ErrorView(
        code="not_found" if absent else "usage",
        message=f"{request.method} {request.url.path}: {error.detail}",
        exit_code=5 if absent else 2,
    )
    return _answer(error.status_code, view)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    view = ErrorView(
        code="internal",
        message=f"the server failed: {type(error).__name__}: {error}"[:2000],
        hint="its log has the details: server/server.log in the state directory",
    )
    return _answer(500, view)
