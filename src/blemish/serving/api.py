"""The HTTP interface, version 1: JSON for machines. The pages are built on the same service."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.security import HTTPBearer
from prometheus_client import generate_latest
from starlette.exceptions import HTTPException

from blemish.serving.access import Access
from blemish.serving.answers import Problem
from blemish.serving.inspection_routes import inspection_routes
from blemish.serving.numbers import Numbers
from blemish.serving.pages import add_pages
from blemish.serving.refusals import refuse_politely
from blemish.serving.review_routes import review_routes
from blemish.serving.service import Service
from blemish.serving.uploads import Limits
from blemish.serving.version_routes import model_routes, teaching_routes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "No proper HTTP, form or JSON."},
    401: {"model": Problem, "description": "No token, or a wrong one."},
    403: {"model": Problem, "description": "Sent by another site, or without the CSRF token of its session."},
    422: {"model": Problem, "description": "The request makes no sense."},
}


def build_app(
    service: Service,
    folder: Path,
    *,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    limits: Limits | None = None,
) -> FastAPI:
    """The application: the interface and the pages.

    Args:
        service: not started yet, its model loaded or not.
        folder: of the model that it begins with, unless another one was promoted.
        token: that clients must show; None: anybody may.
        hosts: names by which it may be called; None: any.
        limits: of uploads.
    """

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        if not service.loaded:
            await asyncio.to_thread(service.load, folder)
        await service.start()
        yield
        await service.stop()

    limits = limits or Limits()
    limits = replace(limits, images=min(limits.images, service.most_waiting))
    app = FastAPI(
        title="Blemish",
        version="1",
        description="Inspects images, keeps what it found, and learns from what people say of it.",
        lifespan=living,
        docs_url=None,
        redoc_url=None,
    )
    numbers, access = Numbers(service), Access(token, hosts)
    app.include_router(_probes(service, numbers))
    # `access` looks at the header before this would; here the document learns of it
    documented = [Depends(HTTPBearer(auto_error=False))] if access.asks else []
    routers = inspection_routes(service, limits, numbers), review_routes(service)
    for router in (*routers, model_routes(service), teaching_routes(service)):
        app.include_router(router, prefix="/v1", dependencies=documented, responses=_REFUSED)
    refuse_politely(app, access, "/v1/", add_pages(app, service, access))
    return app


def _probes(service: Service, numbers: Numbers) -> APIRouter:
    router = APIRouter(tags=["service"])

    @router.get("/healthz")
    async def healthy() -> dict[str, str]:
        """Whether the process lives."""
        return {"status": "alive"}

    @router.get("/readyz", responses={503: {"model": Problem}})
    async def ready() -> dict[str, str]:
        """Whether it inspects."""
        if not service.ready:
            raise HTTPException(503, "The model is still being loaded.")
        return {"status": "ready"}

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(generate_latest(numbers.registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
