"""What is said to a client when something is wrong: never a traceback, never a place on the disk."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from blemish.errors import BlemishError, ConfigError, ImageError
from blemish.serving.answers import Problem
from blemish.serving.batcher import BusyError
from blemish.serving.records import StoredInspection
from blemish.serving.service import Service
from blemish.serving.uploads import UploadError

MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is none."}}
_log = logging.getLogger(__name__)
_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def refuse_politely(app: FastAPI) -> None:
    """Answer every error as JSON, and put the headers that browsers ask for on every answer."""
    app.middleware("http")(_hardened)
    app.add_exception_handler(BlemishError, _mended)
    app.add_exception_handler(BusyError, _busy)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _internal)


async def _hardened(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(_SECURITY)
    return response


def _problem(status: int, message: str, remedy: str = "", headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message, "remedy": remedy}, status, headers={**_SECURITY, **(headers or {})})


async def _mended(request: Request, error: Exception) -> Response:
    assert isinstance(error, BlemishError)
    status = (
        error.status if isinstance(error, UploadError) else 422 if isinstance(error, ConfigError | ImageError) else 500
    )
    return _problem(status, error.message, error.remedy)


async def _busy(_: Request, __: Exception) -> Response:
    return _problem(503, "Too many images wait.", "Try again.", {"Retry-After": "1"})


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return _problem(422, f"{place}: {first['msg']}." if place else f"{first['msg']}.", "See /openapi.json.")


async def _internal(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _problem(500, "The service failed.", "Its log says why.")


async def found_inspection(service: Service, id: str) -> StoredInspection:
    """An inspection. Raises HTTPException 404."""
    found: StoredInspection = await or_404(service.store.inspection, id)
    return found


async def or_404(look: Callable[[str], Any], id: str) -> Any:
    """What `look` finds, which raises a BlemishError when it finds nothing. Raises HTTPException 404."""
    try:
        return await run_in_threadpool(look, id)
    except BlemishError as error:
        raise HTTPException(404, error.message) from error


def file_answer(content: bytes, media_type: str = "image/png") -> Response:
    """A stored file, which never changes."""
    return Response(content, media_type=media_type, headers={"Cache-Control": "private, max-age=3600"})
