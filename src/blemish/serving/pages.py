"""The pages for people: review, history, line and teaching."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from blemish.evaluation.report.markup import number, percent
from blemish.inspection import UNKNOWN_DEFECT
from blemish.serving.access import COOKIE, Access
from blemish.serving.answers import Id, Name
from blemish.serving.compare import Difference, counts
from blemish.serving.lesson import Lesson, suggest
from blemish.serving.line import BASE, HEIGHT, WIDTH, line_view
from blemish.serving.records import EVERYTHING, Filter, StoredInspection
from blemish.serving.refusals import Refusal, found_inspection
from blemish.serving.service import Service

_QUEUE = 100  # inspections that the queue shows
_HISTORY = 60
_DAY = 24 * 3600 * 1000
_PERIODS = (1, 7, 30, 90)
_MOST_TEACHINGS = 20
_HERE = Path(__file__).parent


def add_pages(app: FastAPI, service: Service, access: Access) -> Callable[[Request, Refusal], Awaitable[Response]]:
    """Add the pages to the application; what they do they ask of its interface.

    Returns:
        Makes a page of what is refused.
    """
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    pages = _Pages(service, access)
    app.include_router(_sessions(pages, access), include_in_schema=False)
    app.include_router(_routes(pages, service), include_in_schema=False, dependencies=[Depends(pages.check)])
    return pages.refuse


class _Pages:
    """Renders templates with what all of them show."""

    def __init__(self, service: Service, access: Access) -> None:
        self._service, self._access = service, access
        self._templates = Environment(
            loader=PackageLoader("blemish.serving"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(number=number, percent=_percent, duration=_duration)
        self._templates.globals.update(unknown_defect=UNKNOWN_DEFECT, chart=(WIDTH, HEIGHT, BASE))

    def check(self, request: Request) -> None:
        """Sends who has no session to where one begins."""
        self._access.check_site(request)
        if self._access.asks and self._access.session(request) is None:
            raise HTTPException(303, "Sign in.", {"Location": "/login"})

    async def refuse(self, request: Request, refusal: Refusal) -> Response:
        """A page that says what is wrong, for those who may see pages."""
        self.check(request)
        return await self.show("refusal", request, status=refusal.status, refusal=refusal)

    async def show(self, name: str, request: Request, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page."""

        def render() -> str:
            common = {
                "csrf": self._access.csrf(request),
                "asks": self._access.asks,
                "here": name,
                "address": str(request.base_url).rstrip("/"),
                "model": self._service.model,
                "teaching": self._service.teacher.running,
            }
            return self._templates.get_template(f"{name}.html").render(**common, **values)

        return HTMLResponse(await run_in_threadpool(render), status, headers={"Cache-Control": "no-store"})


def _sessions(pages: _Pages, access: Access) -> APIRouter:
    router = APIRouter()

    @router.get("/login")
    async def ask(request: Request) -> Response:
        if not access.asks:
            return RedirectResponse("/review", 303)
        return await pages.show("login", request, wrong=False)

    @router.post("/login", max_body_size=10_000)
    async def begin(request: Request) -> Response:
        access.check_site(request)
        async with request.form(max_files=0, max_fields=2, max_part_size=4000) as form:
            shown = form.get("token", "")
        response = RedirectResponse("/review", 303)
        if isinstance(shown, str) and access.begin(shown, request, response):
            return response
        return await pages.show("login", request, status=401, wrong=True)

    @router.post("/logout")
    async def end(request: Request) -> Response:
        access.check_site(request)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE)
        return response

    return router


def _routes(pages: _Pages, service: Service) -> APIRouter:
    router = APIRouter()
    store = service.store

    @router.get("/")
    async def start() -> Response:
        return RedirectResponse("/review", 303)

    @router.get("/review")
    async def queue(request: Request, product: Name = "") -> Response:
        """The first of the queue."""
        only = Filter(product=product or None)
        first = await run_in_threadpool(store.queue, only, limit=1)
        return await _review(request, only, first[0] if first else None)

    @router.get("/review/{id}")
    async def review(request: Request, id: str, product: Name = "") -> Response:
        return await _review(request, Filter(product=product or None), await found_inspection(service, id))

    async def _review(request: Request, only: Filter, one: StoredInspection | None) -> Response:
        def gather() -> dict[str, Any]:
            queue = list(store.queue(only, limit=_QUEUE))
            ids = [entry.id for entry in queue]
            product = None if one is None else one.result["product"]
            learned = service.inspector.categories.get(product or "", ())
            waiting = store.waiting(only)
            place = ids.index(one.id) if one is not None and one.id in ids else None
            following = ids[0 if place is None else place + 1 :]
            return {
                "one": one,
                "queue": queue,
                "waiting": waiting,
                "elsewhere": 0 if waiting or only == EVERYTHING else store.waiting(),
                "products": store.products(),
                "only": only,
                "names": service.names(product) if product else (),
                "learned": set(learned),
                "next": following[0] if following else None,
                "previous": ids[place - 1] if place else None,
            }

        return await pages.show("review", request, **await run_in_threadpool(gather))

    @router.get("/history")
    async def history(
        request: Request,
        product: Name = "",
        category: Name = "",
        named: Name = "",
        kind: Annotated[str, Query(max_length=20)] = "",
        before: Id = None,
    ) -> Response:
        """What was inspected, the newest first."""
        only = Filter(product=product or None, category=category or None, named=named or None)
        kinds = {
            "defective": replace(only, defective=True),
            "normal": replace(only, defective=False),
            "reviewed": replace(only, reviewed=True),
            "waiting": replace(only, reviewed=False),
            "confirmed": replace(only, defective=True, decision="confirmed"),
            "false alarms": replace(only, defective=True, decision="rejected"),
            "missed": replace(only, defective=False, decision="confirmed"),
        }

        def gather() -> dict[str, Any]:
            found = store.inspections(kinds.get(kind, only), before=before, limit=_HISTORY)
            return {
                "found": found,
                "following": found[-1].id if len(found) == _HISTORY else None,
                "first": before is None,
                "products": store.products(),
                "categories": sorted({name for names in service.inspector.categories.values() for name in names}),
                "names": store.names(),
                "named": named,
                "kinds": list(kinds),
                "product": product,
                "category": category,
                "kind": kind,
            }

        return await pages.show("history", request, **await run_in_threadpool(gather))

    @router.get("/line")
    async def line(request: Request, days: int = _PERIODS[1], product: Name = "") -> Response:
        """Counts and false alarms over time."""
        days = days if days in _PERIODS else _PERIODS[1]

        def gather() -> dict[str, Any]:
            today = time.time_ns() // 1_000_000 // _DAY * _DAY
            since = today - (days - 1) * _DAY
            tallies = [one for one in store.tallies(since) if not product or one.product == product]
            view = line_view(tallies, since, days)
            return {
                "view": view,
                "days": days,
                "periods": _PERIODS,
                "product": product,
                "products": store.products(),
                "waiting": store.waiting(Filter(product=product or None)),
            }

        return await pages.show("line", request, **await run_in_threadpool(gather))

    @router.get("/teach")
    async def teach(request: Request) -> Response:
        """What can be learned, what is being learned, what was learned."""

        def gather() -> dict[str, Any]:
            versions = store.versions
            models = {one.id: one for one in versions.models()}
            promoted = [id for id, _ in versions.promotions()]
            teachings = [
                {
                    "row": one,
                    "lesson": Lesson.from_dict(one.lesson),
                    "open": one.state == "finished" and one.model not in promoted,
                    **_outcome(one.outcome),
                }
                for one in versions.teachings()[:_MOST_TEACHINGS]
            ]
            suggestion = suggest(store, service.model.id, service.inspector.seen)
            groups: dict[tuple[str, str], list[Any]] = {}
            for one in suggestion.teachable:
                groups.setdefault((str(one.product), str(one.category)), []).append(one)
            return {
                "models": list(models.values())[::-1],
                "names": {id: one.name for id, one in models.items()},
                "promoted": set(promoted),
                "teachings": teachings,
                "groups": sorted(groups.items()),
                "held": suggestion.held,
                "learned": suggestion.learned,
                "exported": service.inspector.exported is not None,
                "nameless": suggestion.nameless,
                "order": list(models),
            }

        return await pages.show("teach", request, **await run_in_threadpool(gather))

    return router


def _outcome(outcome: dict[str, Any] | None) -> dict[str, Any]:
    outcome = outcome or {}
    rows = [Difference.from_dict(row) for row in outcome.get("rows", ())]
    return {
        "counts": counts(rows),
        "flips": [(place, row) for place, row in enumerate(rows) if row.flipped],
        "compared": len(rows),
        "measured": any(row.exhibit.decision is not None for row in rows),
        "remarks": outcome.get("remarks", []),
        "seconds": outcome.get("seconds"),
        "error": outcome.get("error"),
        "remedy": outcome.get("remedy"),
    }


def _percent(share: float | None) -> str:
    return percent(share) if share is None else f"{percent(share)} %"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
