"""A day at the line in a real browser: from the first upload to named findings and back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("playwright")

from playwright.sync_api import Browser, Page, TimeoutError, expect, sync_playwright

from .line import inspect, nut, serving

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload

pytestmark = pytest.mark.slow
TOKEN = "a secret of this line"
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_SPOTS, _STRIPES, _GOOD = (300, 301, 302), (400, 401, 402), (500, 501)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = os.environ.get("BLEMISH_BROWSER") or next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium is installed; BLEMISH_BROWSER may name one")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A desktop; whatever a script of the page complains about fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    yield page
    context.close()
    assert [one for one in complaints if "401" not in one] == []


@contextmanager
def leaving(page: Page) -> Iterator[None]:
    """At the end nothing asks the service any more, which is about to end."""
    yield
    page.goto("about:blank")


def files(*contents: bytes) -> list[FilePayload]:
    return [{"name": f"{row}.png", "mimeType": "image/png", "buffer": one} for row, one in enumerate(contents)]


def upload(page: Page, *contents: bytes) -> None:
    leaves(page, lambda: page.set_input_files("#upload", files(*contents)))


def sign_in(page: Page, address: str) -> None:
    page.goto(address)
    expect(page).to_have_url(f"{address}/login")
    page.fill("#token", "something else")
    page.click("text=Sign in")
    expect(page.locator("#wrong")).to_be_visible()
    page.fill("#token", TOKEN)
    page.click("text=Sign in")
    expect(page).to_have_url(f"{address}/review")
    page.wait_for_load_state("load")


def here(page: Page) -> str:
    return page.locator(".review").get_attribute("data-id") or ""


def drawn(page: Page, canvas: str) -> int:
    """Pixels of a canvas that are not transparent."""
    script = """place => {
        const canvas = document.querySelector(place);
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let i = 3; i < data.length; i += 4) count += data[i] > 0;
        return count;
    }"""
    count: int = page.evaluate(script, canvas)
    return count


def leaves(page: Page, act: Callable[[], Any]) -> None:
    """Do something after which the page shows another inspection."""
    try:
        with page.expect_navigation():
            act()
    except TimeoutError:
        raise AssertionError(f"{page.url} stays, and says: {page.locator('#notice').text_content()}") from None
    page.wait_for_load_state("networkidle")


def test_from_upload_to_names_and_back(page: Page, line_model: Path, tmp_path: Path) -> None:
    with serving(line_model, tmp_path / "data", BLEMISH_TOKEN=TOKEN) as (_, client), leaving(page):
        address = str(client.base_url).rstrip("/")
        sign_in(page, address)
        expect(page.locator("h2")).to_have_text("Nothing waits for a review.")

        # upload
        truth = {nut(number, "spot"): "spot" for number in _SPOTS[:2]}
        truth |= {nut(number, "stripe"): "stripe" for number in _STRIPES[:2]}
        truth |= {nut(number): None for number in _GOOD}
        upload(page, *truth)
        expect(page.locator(".queue li")).to_have_count(6)
        images = {one["id"]: client.get(one["image"]).content for one in client.get("/v1/queue").json()["inspections"]}

        # look, go on, go back
        page.wait_for_load_state("networkidle")
        first = here(page)
        assert drawn(page, "#heat") > 0
        leaves(page, lambda: page.keyboard.press("j"))
        assert here(page) != first
        leaves(page, lambda: page.keyboard.press("k"))
        assert here(page) == first

        # name two categories by keyboard
        named: list[str] = []
        while page.locator(".review").count():
            known = truth[images[here(page)]]
            if known is None:
                leaves(page, lambda: page.keyboard.press("x"))
            elif known in named:
                key = page.locator(f'[data-category="{known}"] kbd').inner_text()
                leaves(page, lambda key=key: page.keyboard.press(key))
            else:
                page.keyboard.press("n")
                page.keyboard.type(known)
                leaves(page, lambda: page.keyboard.press("Enter"))
                named.append(known)
        expect(page.locator("h2")).to_have_text("Nothing waits for a review.")

        # take the last one back, and say it again
        leaves(page, lambda: page.keyboard.press("u"))
        known = truth[images[here(page)]]
        leaves(page, lambda: page.click(f'[data-category="{known}"]' if known else "#reject"))
        reviews = {one["id"]: one["review"]["category"] for one in client.get("/v1/inspections").json()["inspections"]}
        assert reviews == {id: truth[content] for id, content in images.items()}

        # teach
        page.click("nav >> text=Teach")
        expect(page.locator(".pick input:checked")).to_have_count(4)
        page.click("summary >> text=How")
        page.fill('[name="steps"]', "100")
        page.fill('[name="images"]', "12")
        page.click("#teach")
        expect(page.locator("#running")).to_be_visible()
        done = page.locator(".teaching").first
        expect(done.locator("h2")).to_contain_text("finished", timeout=180_000)
        expect(done.locator("tbody")).to_contain_text("false alarms")
        before = client.get("/v1/models").json()["current"]
        page.click("text=Promote")
        expect(page.locator(".model")).to_have_text("line.blemish 2")

        # a new finding carries its name
        page.goto(f"{address}/review")
        upload(page, nut(_STRIPES[2], "stripe"))
        expect(page.locator(".found .badge")).to_have_text("stripe")
        expect(page.locator(".names .suggested bdi")).to_have_text("stripe")
        expect(page.locator("#confirm bdi")).to_have_text("stripe")
        leaves(page, lambda: page.keyboard.press("c"))
        expect(page.locator("#notice")).to_have_text("Saved: stripe")
        newest = client.get("/v1/inspections?named=stripe&limit=1").json()["inspections"][0]
        assert newest["review"]["category"] == newest["category"] == "stripe"
        upload(page, nut(_SPOTS[2], "spot"))
        expect(page.locator(".found .badge")).to_have_text("spot")

        # the line knows
        page.click("nav >> text=Line")
        expect(page.locator(".tiles")).to_contain_text("8")
        expect(page.locator("tbody")).to_contain_text("stripe")
        page.click("nav >> text=History")
        expect(page.locator(".cards li")).to_have_count(8)

        # roll back
        page.click("nav >> text=Teach")
        page.click("text=Roll back")
        expect(page.locator(".model")).to_have_text("line.blemish")
        assert client.get("/v1/models").json()["current"] == before
        (found,) = inspect(client, nut(_STRIPES[2], "stripe"))
        assert (found["defective"], found["category"]) == (True, None)

        page.click("text=Sign out")
        expect(page).to_have_url(f"{address}/login")
        page.goto(f"{address}/teach")
        expect(page).to_have_url(f"{address}/login")


def test_regions_are_corrected(page: Page, line_model: Path, tmp_path: Path) -> None:
    with serving(line_model, tmp_path / "data") as (_, client), leaving(page):
        address = str(client.base_url).rstrip("/")
        one, two = inspect(client, nut(600, "spot"), nut(601, "spot"))

        def white(inspection: dict[str, Any]) -> int:
            from io import BytesIO

            from PIL import Image

            content = client.get(str(inspection["mask"])).content
            with Image.open(BytesIO(content)) as mask:
                return sum(value > 0 for value in mask.tobytes())

        # lower the threshold: the region grows
        found = white(one)
        page.goto(f"{address}/review/{one['id']}")
        page.wait_for_load_state("networkidle")
        expect(page.locator("#restore")).to_be_disabled()
        page.locator("#threshold").fill("40")
        expect(page.locator("#threshold-value")).not_to_have_text("as found")
        expect(page.locator("#restore")).to_be_enabled()
        leaves(page, lambda: page.keyboard.press("c"))
        assert white(one) > found

        # empty it and paint
        page.goto(f"{address}/review/{two['id']}")
        page.wait_for_load_state("networkidle")
        page.click("#clear")
        page.keyboard.press("b")
        expect(page.locator("#paint")).to_have_attribute("aria-pressed", "true")
        box = page.locator("#mask").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 100, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + 100, steps=5)
        page.mouse.up()
        strokes = page.evaluate("document.querySelector('#mask').toDataURL()")
        page.mouse.move(box["x"] + 300, box["y"] + 300)
        page.mouse.down()
        page.mouse.up()
        assert page.evaluate("document.querySelector('#mask').toDataURL()") != strokes
        page.keyboard.press("Control+z")
        assert page.evaluate("document.querySelector('#mask').toDataURL()") == strokes
        page.fill("#category", "stroke")
        leaves(page, lambda: page.click("text=Confirm"))
        corrected = client.get(f"/v1/inspections/{two['id']}").json()
        assert corrected["review"]["corrected"]
        assert corrected["review"]["category"] == "stroke"
        painted = white(two)
        assert 0 < painted < 0.1 * 96 * 96

        # calling it otherwise later keeps what was painted
        page.goto(f"{address}/review/{two['id']}")
        page.wait_for_load_state("networkidle")
        expect(page.locator("#restore")).to_be_enabled()
        leaves(page, lambda: page.click('[data-category="stroke"]'))
        assert white(two) == painted
        page.goto(f"{address}/review/{two['id']}")
        page.wait_for_load_state("networkidle")
        page.click("#restore")
        leaves(page, lambda: page.keyboard.press("c"))
        assert white(two) > painted


@pytest.mark.parametrize("place", ["review", "history", "line", "teach"])
def test_a_phone_is_wide_enough(browser: Browser, line_model: Path, tmp_path: Path, place: str) -> None:
    with serving(line_model, tmp_path / "data") as (_, client):
        for found in inspect(client, nut(600, "spot"), nut(601, "spot"), nut(602))[:1]:
            said = {"inspection": found["id"], "decision": "confirmed", "category": "a name " + "without end" * 6}
            client.post("/v1/reviews", json=said).raise_for_status()
        context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
        page = context.new_page()
        page.goto(f"{client.base_url}/{place}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        context.close()


def test_looking_closer(page: Page, line_model: Path, tmp_path: Path) -> None:
    with serving(line_model, tmp_path / "data") as (_, client), leaving(page):
        inspect(client, nut(600, "spot"))
        page.goto(f"{client.base_url}/review")
        page.wait_for_load_state("networkidle")
        stage = page.locator("#stage").bounding_box()
        assert stage is not None

        def width() -> float:
            box = page.locator("#photo").bounding_box()
            assert box is not None
            return box["width"] / stage["width"]

        assert width() == pytest.approx(1, abs=0.01)
        page.mouse.move(stage["x"] + 200, stage["y"] + 200)
        page.mouse.wheel(0, -100)
        assert width() == pytest.approx(1.25, abs=0.01)
        page.keyboard.press("z")
        assert width() == pytest.approx(1, abs=0.01)
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        page.keyboard.press("x")  # decides nothing behind the dialogue
        page.keyboard.press("Escape")
        expect(page.locator("#keys")).to_be_hidden()
        assert len(client.get("/v1/queue").json()["inspections"]) == 1


def test_what_cannot_be_read_is_said(page: Page, line_model: Path, tmp_path: Path) -> None:
    with serving(line_model, tmp_path / "data") as (_, client), leaving(page):
        page.goto(f"{client.base_url}/review")
        page.set_input_files("#upload", files(b"no image", nut(1)))
        expect(page.locator("#notice")).to_contain_text("1 of 2 images were not inspected")
        expect(page.locator("#notice")).to_contain_text("0.png")
        expect(page.locator(".queue li")).to_have_count(1)
