"""What is said to a client when something is wrong: never a traceback, never a place on the disk."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
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
_FAILED = 500
_SHOWN = (404, 405, 422)  # on a page
_ID = re.compile("[0-9a-zA-Z]{1,32}")
_log = logging.getLogger(__name__)
_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Refusal:
    """What is wrong, and what mends it.

    Attributes:
        status: of HTTP.
        message, remedy: for people.
        headers: of the answer.
    """

    status: int
    message: str
    remedy: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> JSONResponse:
        said = {"error": self.message, "remedy": self.remedy}
        return JSONResponse(said, self.status, headers={**_SECURITY, **self.headers})


def refuse_politely(
    app: FastAPI, access: Access, guarded: str, page: Callable[[Request, Refusal], Awaitable[Response]]
) -> None:
    """Answer every error as JSON, but a bad address on a page where a browser asks; put headers on every answer.

    Args:
        app: the application.
        access: looks at requests before anything of their bodies is read.
        guarded: the beginning of the paths that it looks at, which are for machines.
        page: says it to people; raises HTTPException for those who may not see pages.
    """

    async def hardened(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            if request.url.path.startswith(guarded):
                access.check(request)
        except HTTPException as error:
            return _refused(error).as_json()
        response = await call_next(request)
        response.headers.update(_SECURITY)
        return response

    def handler(refusal: Callable[[Any], Refusal]) -> Callable[[Request, Exception], Awaitable[Response]]:
        async def answer(request: Request, error: Exception) -> Response:
            said = refusal(error)
            if said.status == _FAILED:
                _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
            elif said.status in _SHOWN and _for_people(request, guarded):
                try:
                    return await page(request, said)
                except HTTPException as refused:
                    said = _refused(refused)
            return said.as_json()

        return answer

    app.middleware("http")(hardened)
    app.add_exception_handler(BlemishError, handler(_mended))
    app.add_exception_handler(BusyError, handler(_busy))
    app.add_exception_handler(HTTPException, handler(_refused))
    app.add_exception_handler(RequestValidationError, handler(_invalid))
    app.add_exception_handler(Exception, handler(_internal))


def _for_people(request: Request, guarded: str) -> bool:
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(guarded)


def _mended(error: BlemishError) -> Refusal:
    """What the client can mend; other errors name places on the disk, which are nobody's business."""
    if not isinstance(error, ConfigError | ImageError):
        return _internal(error)
    return Refusal(error.status if isinstance(error, UploadError) else 422, error.message, error.remedy)


def _busy(_: BusyError) -> Refusal:
    return Refusal(503, "Too many images wait.", "Try again.", {"Retry-After": "1"})


def _refused(error: HTTPException) -> Refusal:
    return Refusal(error.status_code, str(error.detail), headers=error.headers or {})


def _invalid(error: RequestValidationError) -> Refusal:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return Refusal(422, f"{place}: {first['msg']}." if place else f"{first['msg']}.", "See /openapi.json.")


def _internal(_: Exception) -> Refusal:
    return Refusal(_FAILED, "The service failed.", "Its log says why.")


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
