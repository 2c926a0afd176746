"""Reviews over HTTP, and what they add up to."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool

from blemish.serving.answers import Review, ReviewRequest, TallyList, review_of
from blemish.serving.refusals import MISSING, found_inspection, or_404
from blemish.serving.service import Service


def review_routes(service: Service) -> APIRouter:
    router = APIRouter(tags=["reviews"])

    @router.post("/reviews", status_code=201, response_model=Review, responses=MISSING, max_body_size=4_000_000)
    async def review(said: ReviewRequest) -> Any:
        """Confirm or reject a finding, name its defect, correct its mask. The newest review counts.

        A category that differs from a known one by capital letters alone is taken for that one.
        """
        found = await found_inspection(service, said.inspection)
        category = said.category and await run_in_threadpool(service.spelling, found, said.category)
        mask = said.mask_png()
        stored = await run_in_threadpool(
            service.store.add_review,
            said.inspection,
            said.decision,
            category=category,
            mask=mask,
            reviewer=said.reviewer,
        )
        return review_of(stored)

    @router.delete("/reviews/{id}", status_code=204, responses=MISSING)
    async def undo(id: str) -> None:
        """Take a review back; the one before it counts again."""
        await or_404(service.store.undo, id)

    @router.get("/tallies", response_model=TallyList)
    async def tallies(
        since: Annotated[int, Query(ge=0, lt=2**53, description="Milliseconds since 1970, UTC.")] = 0,
    ) -> Any:
        """Counts per day, product and category."""
        found = await run_in_threadpool(service.store.tallies, since)
        return {"tallies": found}

    return router
