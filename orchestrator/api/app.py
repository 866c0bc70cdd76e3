"""The FastAPI application: routers over the job service, behind the guard."""

from __future__ import annotations

from fastapi import FastAPI

from orchestrator import __version__
from orchestrator.api.context import ApiContext
from orchestrator.api.errors import install_handlers
from orchestrator.api.guard import Guard
from orchestrator.api.routes import jobs, logs, nodes, queue, server, stream

PREFIX = "/api/v1"


def create_app(context: ApiContext) -> FastAPI:
    """The application over one service; it holds no state but `context`."""
    app = FastAPI(title="orchestrator", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    for module in (jobs, stream, logs, queue, nodes, server):
        app.include_router(module.router, prefix=PREFIX)
    install_handlers(app)
    app.add_middleware(Guard, context=context, prefix=PREFIX)
    return app
