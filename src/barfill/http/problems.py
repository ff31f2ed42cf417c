"""
Errors as problem documents (RFC 9457): what happened, with which input, and what to do next.

`type` names the kind and never changes for it; `detail` is the sentence that the command line would print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from barfill.errors import (
    BarfillError,
    DailyBudgetSpent,
    InvalidInput,
    NotFound,
    ProviderError,
    StoreError,
    StoreFull,
)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:barfill:problem:"
INPUT_SHOWN_MAX = 80
WRONG_INPUTS_MAX = 20
RETRY_AFTER_S = 5


class WrongInput(BaseModel):
    """One value that cannot be."""

    where: str = Field(description="The parameter or the place in the body.", examples=["query.timeframe"])
    what: str = Field(description="What is wrong with it.", examples=["'2h' is no timeframe."])


class Problem(BaseModel):
    """A problem document of RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:barfill:problem:symbol-not-found",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "Symbol 'ZZZZ' is not on record. See: barfill symbols list",
                    "instance": "/api/v1/chart",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[WrongInput] | None = None


PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": HTTPStatus(code).phrase}
    for code in (404, 421, 422, 503)
}
"""What each endpoint may answer besides its own."""
WRITE_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": HTTPStatus(code).phrase}
    for code in (401, 403, 413, 415, 429)
}
"""And each that writes."""
CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": HTTPStatus.CONFLICT.phrase}
}
"""Where what is asked for cannot be in the state that things are in."""


def problem(
    status: int,
    kind: str,
    detail: str,
    instance: str,
    *,
    errors: Sequence[WrongInput] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The document as an answer."""
    body = Problem(
        type=TYPE_PREFIX + kind,
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=instance,
        errors=list(errors) or None,
    )
    content = body.model_dump(exclude_none=True)
    return JSONResponse(content, status, dict(headers or {}), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Makes every error that leaves an endpoint of *app* a problem document."""
    app.add_exception_handler(BarfillError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_the_framework)
    app.add_exception_handler(Exception, _of_a_defect)


async def _of_ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BarfillError)
    status = _status_of(error)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return problem(status, _kind_of(error), str(error), request.url.path, headers=headers)


def _status_of(error: BarfillError) -> int:
    if isinstance(error, NotFound):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, InvalidInput):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    if isinstance(error, StoreFull):
        return HTTPStatus.INSUFFICIENT_STORAGE
    if isinstance(error, StoreError | ProviderError | DailyBudgetSpent):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _kind_of(error: Exception) -> str:
    """The name of its class, in words: `SymbolNotFound` is `symbol-not-found`."""
    return "".join(f"-{one.lower()}" if one.isupper() else one for one in type(error).__name__).lstrip("-")


async def _of_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()[:WRONG_INPUTS_MAX]
    wrong = [WrongInput(where=".".join(str(part) for part in one["loc"]), what=_what(one)) for one in found]
    detail = "; ".join(f"{one.where}: {one.what}" for one in wrong[:3])
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input", detail, request.url.path, errors=wrong)


def _what(one: Mapping[str, Any]) -> str:
    text = str(one["msg"]).removeprefix("Value error, ")
    given = one.get("input")
    shown = repr(given)
    is_short = isinstance(given, str | int | float) and len(shown) <= INPUT_SHOWN_MAX
    return f"{text}, got {shown}" if is_short and shown not in text else text


async def _of_the_framework(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {request.url.path}. See what there is: /api/v1/openapi.json"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not possible at {request.url.path}. See what is: /api/v1/openapi.json"
    return problem(error.status_code, kind, detail, request.url.path, headers=error.headers)


async def _of_a_defect(request: Request, _error: Exception) -> JSONResponse:
    detail = "This is a defect of barfill. The log of the server says more; please report it."
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "defect", detail, request.url.path)
