"""The HTTP interface, version 1: JSON for machines. The pages are built on the same service."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from blemish.errors import BlemishError
from blemish.inspection import Failure
from blemish.serving.access import Access
from blemish.serving.answers import (
    InspectionPage,
    Inspections,
    ModelList,
    Problem,
    Review,
    ReviewRequest,
    StoredAnswer,
    TallyList,
    answer_of,
    failure_of,
    model_of,
    review_of,
)
from blemish.serving.pictures import overlay_png
from blemish.serving.records import Filter, StoredInspection, Upload
from blemish.serving.refusals import refuse_politely
from blemish.serving.service import Service
from blemish.serving.uploads import Limits, UploadError, checked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_REFUSED: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No token, or a wrong one."},
    422: {"model": Problem, "description": "The request makes no sense."},
}
_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is none."}}
_UPLOAD: dict[int | str, dict[str, Any]] = {
    413: {"model": Problem, "description": "Too large, or too many."},
    415: {"model": Problem, "description": "No image."},
    503: {"model": Problem, "description": "Too many images wait; try again after the seconds of Retry-After."},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "product": {"type": "string"},
                    },
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def build_app(service: Service, folder: Path, *, token: str | None = None, limits: Limits | None = None) -> FastAPI:
    """The application.

    Args:
        service: not started yet.
        folder: of the model that it begins with, unless another one was promoted.
        token: that clients must show; None: anybody may.
        limits: of uploads.
    """

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        await service.start(folder)
        yield
        await service.stop()

    limits = limits or Limits()
    app = FastAPI(title="Blemish", version="1", lifespan=living, docs_url=None, redoc_url=None)
    numbers = Numbers(service)
    app.include_router(_probes(service, numbers))
    guarded = [Depends(Access(token))]
    app.include_router(_inspections(service, limits, numbers), prefix="/v1", dependencies=guarded, responses=_REFUSED)
    app.include_router(_reviews(service), prefix="/v1", dependencies=guarded, responses=_REFUSED)
    app.include_router(_models(service), prefix="/v1", dependencies=guarded, responses=_REFUSED)
    refuse_politely(app)
    return app


class Numbers:
    """What `/metrics` tells."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self.images = Counter(
            "blemish_images",
            "Images by verdict: normal, defective, unknown, refused.",
            ["verdict"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "blemish_request_seconds", "From the request to its answer, of inspections.", registry=self.registry
        )
        waiting = Gauge("blemish_images_waiting", "Images in the queue.", registry=self.registry)
        waiting.set_function(lambda: service.waiting)

    def count(self, results: list[StoredInspection | Failure]) -> None:
        """Take in what a request was answered."""
        for one in results:
            verdict = "refused" if isinstance(one, Failure) else one.result["verdict"].removesuffix(" product")
            self.images.labels(verdict).inc()


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


def _inspections(service: Service, limits: Limits, numbers: Numbers) -> APIRouter:
    router = APIRouter(tags=["inspections"])

    @router.post(
        "/inspections",
        status_code=201,
        response_model=Inspections,
        responses=_UPLOAD,
        openapi_extra=_BODY,
        max_body_size=2 * limits.request_bytes,  # the rest of what is longer is not even read
    )
    async def inspect(request: Request, product: Annotated[str | None, Query(max_length=200)] = None) -> Any:
        """Inspect images: one as the body, or any number as the fields `images` of a form.

        An image that cannot be read is answered by an entry with its error; the others are inspected. When none can be
        read, the status is that of the first.
        """
        contents, product = await _contents(request, product, limits)
        uploads: list[Upload | UploadError] = []
        for content in contents:
            try:
                uploads.append(checked(content, limits))
            except UploadError as error:
                uploads.append(error)
        with numbers.seconds.time():
            good = [one for one in uploads if isinstance(one, Upload)]
            found = iter(await service.inspect(good, product) if good else ())
        results = [
            next(found) if isinstance(one, Upload) else Failure(f"image {row}", one) for row, one in enumerate(uploads)
        ]
        numbers.count(results)
        if all(isinstance(one, Failure) for one in results):
            raise next(one.error for one in results if isinstance(one, Failure))
        return {"inspections": [failure_of(one) if isinstance(one, Failure) else answer_of(one) for one in results]}

    @router.get("/inspections", response_model=InspectionPage)
    async def several(
        only: Annotated[Filter, Depends(_filter)],
        before: Annotated[str | None, Query(max_length=32, description="`next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> Any:
        """Inspections, the newest first."""
        found = await run_in_threadpool(service.store.inspections, only, before=before, limit=limit)
        following = found[-1].id if len(found) == limit else None
        return {"inspections": [answer_of(one) for one in found], "next": following}

    @router.get("/queue", response_model=InspectionPage)
    async def queue(only: Annotated[Filter, Depends(_filter)], limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Any:
        """Inspections that nobody has reviewed, what teaches most first."""
        found = await run_in_threadpool(service.store.queue, only, limit=limit)
        return {"inspections": [answer_of(one) for one in found], "next": None}

    @router.get("/inspections/{id}", response_model=StoredAnswer, responses=_MISSING)
    async def one(id: str) -> Any:
        """One inspection."""
        return answer_of(await _found(service, id))

    @router.get("/inspections/{id}/image", response_class=Response, responses=_MISSING)
    async def image(id: str) -> Response:
        """The image as it came."""
        found = await _found(service, id)
        upload = await run_in_threadpool(service.store.upload, found.image)
        return _file(upload.content, upload.media_type)

    @router.get("/inspections/{id}/anomaly_map", response_class=Response, responses=_MISSING)
    async def anomaly_map(id: str) -> Response:
        """The anomaly map at model resolution, 8 bits: the threshold lies in the middle."""
        found = await _found(service, id)
        return _file(await run_in_threadpool(service.store.blobs.read, found.anomaly_map))

    @router.get("/inspections/{id}/mask", response_class=Response, responses=_MISSING)
    async def mask(id: str) -> Response:
        """Defective pixels white, at model resolution; as it was corrected, if it was."""
        found = await _found(service, id)
        corrected = None if found.review is None else found.review.mask
        return _file(await run_in_threadpool(service.store.blobs.read, corrected or found.mask))

    @router.get("/inspections/{id}/overlay", response_class=Response, responses=_MISSING)
    async def overlay(id: str) -> Response:
        """The image under its heat map, with the outlines of its regions."""
        found = await _found(service, id)

        def drawn() -> bytes:
            content = service.store.upload(found.image).content
            names = service.inspector.categories.get(found.result["product"] or "", ())
            return overlay_png(content, service.store.blobs.read(found.anomaly_map), found.result, names)

        return _file(await run_in_threadpool(drawn))

    return router


def _reviews(service: Service) -> APIRouter:
    router = APIRouter(tags=["reviews"])

    @router.post("/reviews", status_code=201, response_model=Review, responses=_MISSING, max_body_size=4_000_000)
    async def review(said: ReviewRequest) -> Any:
        """Confirm or reject a finding, name its defect, correct its mask. The newest review counts."""
        await _found(service, said.inspection)
        mask = said.mask_png()
        stored = await run_in_threadpool(
            service.store.add_review,
            said.inspection,
            said.decision,
            category=said.category,
            mask=mask,
            reviewer=said.reviewer,
        )
        return review_of(stored)

    @router.delete("/reviews/{id}", status_code=204, responses=_MISSING)
    async def undo(id: str) -> None:
        """Take a review back; the one before it counts again."""
        await _or_404(service.store.undo, id)

    @router.get("/tallies", response_model=TallyList)
    async def tallies(
        since: Annotated[int, Query(ge=0, lt=2**53, description="Milliseconds since 1970, UTC.")] = 0,
    ) -> Any:
        """Counts per day, product and category."""
        found = await run_in_threadpool(service.store.tallies, since)
        return {"tallies": found}

    return router


def _models(service: Service) -> APIRouter:
    router = APIRouter(tags=["models"])

    @router.get("/models", response_model=ModelList)
    async def models() -> Any:
        """All models, and the one that inspects."""
        found = await run_in_threadpool(service.store.versions.models)
        return {"models": [model_of(one) for one in found], "current": service.model.id}

    @router.post("/models/{id}/promote", response_model=ModelList, responses=_MISSING)
    async def promote(id: str) -> Any:
        """Let a model inspect from now on; an earlier one as well, which is a roll-back."""
        await _or_404(service.store.versions.model, id)
        await service.promote(id)
        return await models()

    return router


async def _contents(request: Request, product: str | None, limits: Limits) -> tuple[list[bytes], str | None]:
    """The image files of a request; a form may also name the product."""
    if int(request.headers.get("content-length", 0)) > limits.request_bytes:
        raise HTTPException(413, f"The request has more than the {limits.request_bytes:,} bytes allowed.")
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return [await _body(request, limits)], product
    async with request.form(max_files=limits.images, max_fields=1, max_part_size=1000) as form:
        files = [one for one in form.getlist("images") if isinstance(one, UploadFile)]
        if not files:
            raise HTTPException(422, "The form has no file in a field 'images'.")
        named = form.get("product", product)
        if any((one.size or 0) > limits.bytes for one in files):
            raise HTTPException(413, f"An image has more than the {limits.bytes:,} bytes allowed.")
        return [await one.read() for one in files], named if isinstance(named, str) else product


async def _body(request: Request, limits: Limits) -> bytes:
    """A body of no more bytes than an image may have; the rest of a longer one is not read."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > limits.bytes:
            raise HTTPException(413, f"The image has more than the {limits.bytes:,} bytes allowed.")
    return bytes(content)


def _filter(
    product: Annotated[str | None, Query(max_length=200)] = None,
    defective: bool | None = None,
    category: Annotated[str | None, Query(max_length=200)] = None,
    reviewed: bool | None = None,
    model: Annotated[str | None, Query(max_length=32)] = None,
) -> Filter:
    return Filter(product, defective, category, reviewed, model)


async def _found(service: Service, id: str) -> StoredInspection:
    found: StoredInspection = await _or_404(service.store.inspection, id)
    return found


async def _or_404(look: Callable[[str], Any], id: str) -> Any:
    try:
        return await run_in_threadpool(look, id)
    except BlemishError as error:
        raise HTTPException(404, error.message) from error


def _file(content: bytes, media_type: str = "image/png") -> Response:
    return Response(content, media_type=media_type, headers={"Cache-Control": "private, max-age=3600"})
