"""Inspections over HTTP: made, listed, and their pictures."""

from __future__ import annotations

from asyncio import Semaphore
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from blemish.inspection import Failure
from blemish.serving.answers import (
    Id,
    InspectionPage,
    Inspections,
    Name,
    Problem,
    StoredAnswer,
    answer_of,
    failure_of,
)
from blemish.serving.numbers import Numbers
from blemish.serving.pictures import overlay_png, scaled_jpeg
from blemish.serving.records import Decision, Filter, StoredInspection, Upload
from blemish.serving.refusals import MISSING, file_answer, found_inspection
from blemish.serving.service import Service
from blemish.serving.uploads import Limits, UploadError, checked, plain_name

_DRAWN = 2  # pictures at a time; the line goes first
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


def inspection_routes(service: Service, limits: Limits, numbers: Numbers) -> APIRouter:
    router = APIRouter(tags=["inspections"])
    drawing = Semaphore(_DRAWN)

    @router.post(
        "/inspections",
        status_code=201,
        response_model=Inspections,
        responses=_UPLOAD,
        openapi_extra=_BODY,
        max_body_size=2 * limits.request_bytes,  # the rest of what is longer is not even read
    )
    async def inspect(
        request: Request,
        product: Name = None,
        name: Annotated[Name, Query(description="What the image of the body is called; forms name each.")] = None,
    ) -> Any:
        """Inspect images: one as the body, or any number as the fields `images` of a form.

        An image that cannot be read is answered by an entry with its error; the others are inspected. When none can be
        read, the status is that of the first.
        """
        service.check_room()
        files, product = await _files(request, product, name, limits)
        uploads: list[Upload | UploadError] = []
        for content, called in files:
            try:
                uploads.append(checked(content, limits, called))
            except UploadError as error:
                uploads.append(error)
        with numbers.seconds.time():
            good = [one for one in uploads if isinstance(one, Upload)]
            found = iter(await service.inspect(good, product) if good else ())
        results: list[StoredInspection | Failure] = []
        for row, one in enumerate(uploads):
            result = next(found) if isinstance(one, Upload) else Failure("", one)
            source = plain_name(files[row][1]) or f"image {row}"
            results.append(Failure(source, result.error) if isinstance(result, Failure) else result)
        numbers.count(results)
        if all(isinstance(one, Failure) for one in results):
            raise next(one.error for one in results if isinstance(one, Failure))
        return {"inspections": [failure_of(one) if isinstance(one, Failure) else answer_of(one) for one in results]}

    @router.get("/inspections", response_model=InspectionPage)
    async def several(
        only: Annotated[Filter, Depends(_filter)],
        before: Annotated[Id, Query(description="`next` of the page before.")] = None,
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

    @router.get("/inspections/{id}", response_model=StoredAnswer, responses=MISSING)
    async def one(id: str) -> Any:
        """One inspection."""
        return answer_of(await found_inspection(service, id))

    @router.get("/inspections/{id}/image", response_class=Response, responses=MISSING)
    async def image(
        id: str, side: Annotated[int | None, Query(ge=16, le=4096, description="Longest side in pixels.")] = None
    ) -> Response:
        """The image as it came; with `side` as a JPEG that is no larger, upright."""
        found = await found_inspection(service, id)
        upload = await run_in_threadpool(service.store.upload, found.image)
        if side is None:
            return file_answer(upload.content, upload.media_type)
        values = service.intensity_range(found)
        async with drawing:
            return file_answer(await run_in_threadpool(scaled_jpeg, upload.content, side, values), "image/jpeg")

    @router.get("/inspections/{id}/anomaly_map", response_class=Response, responses=MISSING)
    async def anomaly_map(id: str) -> Response:
        """The anomaly map at model resolution, 8 bits: the threshold lies in the middle."""
        found = await found_inspection(service, id)
        return file_answer(await run_in_threadpool(service.store.blobs.read, found.anomaly_map))

    @router.get("/inspections/{id}/mask", response_class=Response, responses=MISSING)
    async def mask(
        id: str, found: Annotated[bool, Query(description="As the model found it, whatever people drew.")] = False
    ) -> Response:
        """Defective pixels white, at model resolution; as it was corrected, if it was."""
        one = await found_inspection(service, id)
        corrected = None if found or one.review is None else one.review.mask
        return file_answer(await run_in_threadpool(service.store.blobs.read, corrected or one.mask), changes=not found)

    @router.get("/inspections/{id}/overlay", response_class=Response, responses=MISSING)
    async def overlay(id: str) -> Response:
        """The image under its heat map, with the outlines of its regions."""
        found = await found_inspection(service, id)

        def drawn() -> bytes:
            content = service.store.upload(found.image).content
            names = service.inspector.categories.get(found.result["product"] or "", ())
            values = service.intensity_range(found)
            return overlay_png(content, service.store.blobs.read(found.anomaly_map), found.result, names, values)

        async with drawing:
            return file_answer(await run_in_threadpool(drawn))

    return router


async def _files(
    request: Request, product: str | None, name: str | None, limits: Limits
) -> tuple[list[tuple[bytes, str | None]], str | None]:
    """The image files of a request and what they are called; a form may also name the product."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > limits.request_bytes:
        raise HTTPException(413, f"The request has more than the {limits.request_bytes:,} bytes allowed.")
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return [(await _body(request, limits), name)], product
    async with request.form(max_files=limits.images, max_fields=1, max_part_size=1000) as form:
        files = [one for one in form.getlist("images") if isinstance(one, UploadFile)]
        if not files:
            raise HTTPException(422, "The form has no file in a field 'images'.")
        named = form.get("product", product)
        return [(await one.read(), one.filename) for one in files], named if isinstance(named, str) else product


async def _body(request: Request, limits: Limits) -> bytes:
    """A body of no more bytes than an image may have; the rest of a longer one is not read."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > limits.bytes:
            raise HTTPException(413, f"The image has more than the {limits.bytes:,} bytes allowed.")
    return bytes(content)


def _filter(
    product: Name = None,
    defective: bool | None = None,
    category: Name = None,
    reviewed: bool | None = None,
    model: Id = None,
    decision: Decision | None = None,
    named: Annotated[Name, Query(description="What the review calls the defect.")] = None,
) -> Filter:
    return Filter(product, defective, category, reviewed, model, decision, named)
