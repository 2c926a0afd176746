"""Models and teachings over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from blemish.errors import BlemishError, ConfigError
from blemish.serving.answers import (
    ModelList,
    Problem,
    Teaching,
    TeachingList,
    TeachingRequest,
    model_of,
    teaching_of,
)
from blemish.serving.lesson import plan
from blemish.serving.records import StoredTeaching
from blemish.serving.refusals import MISSING, file_answer, or_404
from blemish.serving.service import Service

_RUNS: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "Another teaching runs."}}


def model_routes(service: Service) -> APIRouter:
    """`/models`."""
    router = APIRouter(tags=["models"])

    @router.get("/models", response_model=ModelList)
    async def models() -> Any:
        """All models, and the one that inspects."""
        found = await run_in_threadpool(service.store.versions.models)
        return {"models": [model_of(one) for one in found], "current": service.model.id}

    @router.post("/models/{id}/promote", response_model=ModelList, responses=MISSING)
    async def promote(id: str) -> Any:
        """Let a model inspect from now on; an earlier one as well, which is a roll-back."""
        await or_404(service.store.versions.model, id)
        await service.promote(id)
        return await models()

    return router


def teaching_routes(service: Service) -> APIRouter:
    """`/teachings`."""
    router = APIRouter(tags=["teachings"])
    teacher, versions = service.teacher, service.store.versions

    def answer(one: StoredTeaching) -> dict[str, Any]:
        return teaching_of(one, teacher.progress(one.id) if one.state == "running" else None)

    @router.post("/teachings", status_code=201, response_model=Teaching, responses=_RUNS, max_body_size=1_000_000)
    async def teach(wanted: TeachingRequest) -> Any:
        """Let the model that inspects learn from reviewed images, in the background.

        A new model comes out of it, compared with the old one on the reviewed images that were not named. It inspects
        once it is promoted.
        """
        if teacher.running is not None:
            raise HTTPException(409, "A teaching runs already.")
        if service.inspector.exported is not None:
            raise ConfigError("An exported model cannot learn.", "Serve the model that it comes from.")

        def begin() -> StoredTeaching:
            model = service.model
            seen = service.inspector.seen
            lesson = plan(service.store, model.id, wanted.inspections, wanted.preset, wanted.changes(), seen)
            return teacher.begin(model, lesson)

        return answer(await run_in_threadpool(begin))

    @router.get("/teachings", response_model=TeachingList)
    async def teachings() -> Any:
        """All teachings, the newest first."""
        return {"teachings": [answer(one) for one in await run_in_threadpool(versions.teachings)]}

    @router.get("/teachings/{id}", response_model=Teaching, responses=MISSING)
    async def one(id: str) -> Any:
        """One teaching: where it is, or what came out of it."""
        return answer(await or_404(versions.teaching, id))

    @router.post("/teachings/{id}/cancel", response_model=Teaching, responses=MISSING)
    async def cancel(id: str) -> Any:
        """End a teaching that runs."""
        await or_404(versions.teaching, id)
        return answer(await run_in_threadpool(teacher.cancel, id))

    @router.post("/teachings/{id}/discard", response_model=Teaching, responses=MISSING)
    async def discard(id: str) -> Any:
        """Delete the model that came out of a teaching, unless it was promoted."""
        await or_404(versions.teaching, id)
        return answer(await run_in_threadpool(teacher.discard, id))

    @router.get("/teachings/{id}/rows/{row}/{side}", response_class=Response, responses=MISSING)
    async def picture(id: str, row: Annotated[int, Path(ge=0, lt=2**31)], side: Literal["old", "new"]) -> Response:
        """What the old or the new model found in an image on which they differ."""
        try:
            return file_answer(await run_in_threadpool(teacher.picture, id, row, side))
        except BlemishError as error:
            raise HTTPException(404, error.message) from error

    return router
