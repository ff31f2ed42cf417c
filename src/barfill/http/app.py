"""The application: guard, endpoints, errors."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from barfill.http import charts, coverage, jobs, metrics, probes, problems, standing, udf
from barfill.http.context import Context
from barfill.http.guard import Guard
from barfill.http.headers import SafeHeaders

BODY_BYTES_MAX = 1 << 20
GZIP_FROM_BYTES = 1_000
GZIP_LEVEL = 1
"""Bars shrink to a fifth at this level already, in a quarter of the time that the usual one takes."""
PREFIX = "/api/v1"
CORS_SECONDS = 600


def create_app(context: Context) -> FastAPI:
    """The application, to be served by any ASGI server; it opens and closes nothing itself."""
    app = FastAPI(
        title="barfill",
        summary="Your own complete history of market bars.",
        version=version("barfill"),
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        max_body_size=BODY_BYTES_MAX,
        redirect_slashes=False,
    )
    app.state.context = context
    app.include_router(probes.router)
    app.include_router(metrics.router)
    app.include_router(udf.router)
    app.include_router(charts.router, prefix=PREFIX)
    app.include_router(coverage.router, prefix=PREFIX)
    app.include_router(standing.router, prefix=PREFIX)
    app.include_router(jobs.router, prefix=PREFIX)
    problems.install(app)
    # The last one added is the first to see a request.
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_FROM_BYTES, compresslevel=GZIP_LEVEL)
    if context.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(context.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", "If-None-Match", "X-API-Key"],
            expose_headers=["ETag", "Retry-After"],
            max_age=CORS_SECONDS,
        )
    app.add_middleware(Guard, key=context.key, hosts=context.hosts)
    app.add_middleware(SafeHeaders)
    return app
