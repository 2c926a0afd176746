"""What is said to a client when something is wrong: never a traceback, never a place on the disk."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from blemish.errors import BlemishError, ConfigError, ImageError
from blemish.serving.access import Access
from blemish.serving.answers import Problem
from blemish.serving.batcher import BusyError
from blemish.serving.records import StoredInspection
from blemish.serving.service import Service
from blemish.serving.uploads import UploadError

MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is none."}}
_ID = re.compile("[0-9a-zA-Z]{1,32}")
_log = logging.getLogger(__name__)
_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def refuse_politely(app: FastAPI, access: Access, guarded: str) -> None:
    """Answer every error as JSON, and put the headers that browsers ask for on every answer.

    Args:
        app: the application.
        access: looks at requests before anything of their bodies is read.
        guarded: the beginning of the paths that it looks at.
    """

    async def hardened(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            if request.url.path.startswith(guarded):
                access.check(request)
        except HTTPException as error:
            return await _refused(request, error)
        response = await call_next(request)
        response.headers.update(_SECURITY)
        return response

    app.middleware("http")(hardened)
    app.add_exception_handler(BlemishError, _mended)
    app.add_exception_handler(BusyError, _busy)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _internal)


def _problem(status: int, message: str, remedy: str = "", headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message, "remedy": remedy}, status, headers={**_SECURITY, **(headers or {})})


async def _mended(request: Request, error: Exception) -> Response:
    """What the client can mend; other errors name places on the disk, which are nobody's business."""
    assert isinstance(error, BlemishError)
    if not isinstance(error, ConfigError | ImageError):
        return await _internal(request, error)
    return _problem(error.status if isinstance(error, UploadError) else 422, error.message, error.remedy)


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
        if not _ID.fullmatch(id):
            raise BlemishError("There is no such id.")
        return await run_in_threadpool(look, id)
    except BlemishError as error:
        raise HTTPException(404, error.message) from error


def file_answer(content: bytes, media_type: str = "image/png", *, changes: bool = False) -> Response:
    """A stored file; `changes`: another one may be found at the same place later."""
    keep = "no-cache" if changes else "private, max-age=3600"
    return Response(content, media_type=media_type, headers={"Cache-Control": keep})
