"""The pages without a browser: who gets in, what they show, and that nothing from outside becomes markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("jinja2")
pytest.importorskip("itsdangerous")
pytest.importorskip("httpx")

from fastapi.testclient import TestClient

from blemish.inspector import Inspector
from blemish.serving.access import COOKIE, CSRF_HEADER
from blemish.serving.api import build_app
from blemish.serving.line import line_view
from blemish.serving.records import Tally
from blemish.serving.service import Service
from blemish.serving.store import Store
from blemish.serving.teacher import Teacher

Draw = Callable[..., Path]
TOKEN = "the secret of this line"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PAGES = ("/review", "/history", "/line", "/teach")
STATIC = Path(__file__).parents[2] / "src/blemish/serving/static"
DAY = 24 * 3600 * 1000


def opened(inspector: Inspector, folder: Path, **options: Any) -> TestClient:
    store = Store(f"sqlite:///{folder / 'line.db'}", folder / "files")
    service = Service(store, lambda _: inspector, Teacher(store, folder / "teachings"))
    app = build_app(service, folder / "line.blemish", **options)
    return TestClient(app, raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture
def client(fake_inspector: Inspector, tmp_path: Path) -> Iterator[TestClient]:
    with opened(fake_inspector, tmp_path) as client:
        yield client


@pytest.fixture
def guarded(fake_inspector: Inspector, tmp_path: Path) -> Iterator[TestClient]:
    with opened(fake_inspector, tmp_path, token=TOKEN) as client:
        yield client


@pytest.fixture
def bad_nut(draw: Draw) -> bytes:
    return draw("bad.png", "nut", defect=True).read_bytes()


def kept(client: TestClient, content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = client.post("/v1/inspections", content=content).json()["inspections"][0]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_pages_of_an_empty_line(client: TestClient, page: str) -> None:
    answer = client.get(page)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "line.blemish" in answer.text
    assert client.get("/").headers["location"] == "/review"
    assert client.get("/login").headers["location"] == "/review"


@pytest.mark.parametrize("page", PAGES)
def test_pages_hold_nothing_that_the_policy_forbids(client: TestClient, bad_nut: bytes, page: str) -> None:
    kept(client, bad_nut)
    answer = client.get(page)
    policy = answer.headers["content-security-policy"]
    assert "script-src" not in policy  # so that default-src 'self' holds for scripts as well
    assert "unsafe" not in policy
    assert not re.search(r"<script(?! src=\"/static/)|\sstyle=|\son\w+=|https?://(?!testserver)", answer.text)
    for place in re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text):
        assert client.get(place).status_code == 200


def test_a_finding_says_whether_its_false_alarm_rate_is_promised(
    fake_inspector: Inspector, tmp_path: Path, bad_nut: bytes
) -> None:
    compared = fake_inspector.calibration["nut"].model_copy(update={"compared": True})
    unsure = fake_inspector.with_calibration(fake_inspector.calibration.with_product("nut", compared))
    for inspector, text in ((fake_inspector, "<dd>4.8 %</dd>"), (unsure, "<dd>4.8 %, none promised</dd>")):
        with opened(inspector, tmp_path) as client:
            assert text in client.get(f"/review/{kept(client, bad_nut)['id']}").text


def test_a_review_and_what_follows(client: TestClient, bad_nut: bytes, draw: Draw) -> None:
    first = kept(client, bad_nut)
    second = kept(client, draw("good.png", "bolt").read_bytes())
    page = client.get("/review").text
    assert f'data-id="{first["id"]}" data-next="{second["id"]}" data-previous=""' in page
    assert f'data-id="{second["id"]}"' in client.get("/review?product=bolt").text
    category = "<script>alert('ö')</script>"
    said = {"inspection": first["id"], "decision": "confirmed", "category": category, "reviewer": "<b>Ada"}
    assert client.post("/v1/reviews", json=said).status_code == 201
    again = kept(client, bad_nut)
    for page in (f"/review/{first['id']}", f"/review/{again['id']}", "/teach", "/history", "/line"):
        text = client.get(page).text
        assert "<script>alert" not in text
        assert "<b>Ada" not in text
    assert "&lt;script&gt;alert(&#39;ö&#39;)" in client.get(f"/review/{again['id']}").text
    assert f'value="{first["id"]}" checked' in client.get("/teach").text


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/review/none", 404, "There is nothing at this address"),
        ("/nowhere", 404, "There is nothing at this address"),
        ("/history?before=../x", 422, "before: "),
        ("/line?days=<b>", 422, "days: "),
    ],
)
def test_people_are_told_on_a_page_and_machines_in_json(
    client: TestClient, guarded: TestClient, address: str, status: int, words: str
) -> None:
    answer = client.get(address, headers=BROWSER)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert words in answer.text
    assert "<b>" not in answer.text
    assert 'href="/review"' in answer.text
    assert client.get(address).json().keys() == {"error", "remedy"}
    assert client.get("/v1/inspections/none", headers=BROWSER).json().keys() == {"error", "remedy"}
    sent = guarded.get(address, headers=BROWSER)
    assert (sent.status_code, sent.headers["location"]) == (303, "/login")
    assert "line.blemish" not in sent.text


def test_a_probe_answers_a_browser_as_a_program(fake_inspector: Inspector, tmp_path: Path) -> None:
    starting = opened(fake_inspector, tmp_path, token=TOKEN)
    answer = starting.get("/readyz", headers=BROWSER)
    assert answer.status_code == 503
    assert answer.json() == {"error": "The model is still being loaded.", "remedy": ""}


def test_history_is_paged_and_filtered(client: TestClient, bad_nut: bytes, draw: Draw) -> None:
    bad = kept(client, bad_nut)["id"]
    good = kept(client, draw("good.png", "bolt").read_bytes())["id"]
    client.post("/v1/reviews", json={"inspection": bad, "decision": "rejected"})
    for query, expected in (
        ("", [good, bad]),
        ("?product=bolt", [good]),
        ("?kind=defective", [bad]),
        ("?kind=reviewed", [bad]),
        ("?kind=false+alarms", [bad]),
        ("?kind=missed", []),
        ("?named=dent", []),
        ("?kind=waiting", [good]),
        ("?category=dent", []),
        (f"?before={good}", [bad]),
    ):
        assert re.findall(r'href="/review/(\w+)"', client.get(f"/history{query}").text) == expected


def test_a_session_begins_with_the_token(guarded: TestClient, bad_nut: bytes) -> None:
    for page in PAGES:
        answer = guarded.get(page)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    wrong = guarded.post("/login", data={"token": "x"})
    assert wrong.status_code == 401
    assert "This is not the token" in wrong.text
    assert COOKIE not in guarded.cookies
    right = guarded.post("/login", data={"token": TOKEN})
    assert (right.status_code, right.headers["location"]) == (303, "/review")
    cookie = right.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict"))
    assert TOKEN not in cookie
    page = guarded.get("/review")
    csrf = re.search(r'name="csrf" content="([^"]+)"', page.text)
    assert csrf is not None
    # the cookie alone reads, and changes nothing
    assert guarded.get("/v1/inspections").status_code == 200
    for shown in ({}, {CSRF_HEADER: "x"}, {CSRF_HEADER: "ß".encode()}):
        assert guarded.post("/v1/inspections", content=bad_nut, headers=shown).status_code == 403
    assert guarded.post("/v1/inspections", content=bad_nut, headers={CSRF_HEADER: csrf[1]}).status_code == 201
    assert guarded.post("/logout").headers["location"] == "/login"
    assert guarded.get("/review").status_code == 303


@pytest.mark.parametrize("change", [lambda cookie: cookie[:-2] + "xx", lambda cookie: "session", lambda cookie: ""])
def test_sessions_are_not_made_up(guarded: TestClient, change: Callable[[str], str]) -> None:
    guarded.post("/login", data={"token": TOKEN})
    guarded.cookies.set(COOKIE, change(guarded.cookies[COOKIE]), domain="testserver.local", path="/")
    assert guarded.get("/review").status_code == 303
    assert guarded.get("/v1/inspections").status_code == 401


def test_a_session_ends(guarded: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    import itsdangerous

    guarded.post("/login", data={"token": TOKEN})
    now = itsdangerous.TimestampSigner("x").get_timestamp()
    monkeypatch.setattr(itsdangerous.TimestampSigner, "get_timestamp", lambda _: now + 8 * 24 * 3600)
    assert guarded.get("/review").status_code == 303


def test_other_sites_change_nothing(client: TestClient, guarded: TestClient, bad_nut: bytes) -> None:
    for one in (client, guarded):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for origin, allowed in (
            ("http://testserver", True),
            ("https://evil.example", False),
            ("null", False),
            ("http://[", False),
        ):
            answer = one.post("/v1/inspections", content=bad_nut, headers={**headers, "Origin": origin})
            assert (answer.status_code == 201) == allowed
        assert one.post("/login", data={"token": TOKEN}, headers={"Origin": "https://evil.example"}).status_code == 403


def test_names_of_other_sites_do_not_lead_here(fake_inspector: Inspector, tmp_path: Path) -> None:
    with opened(fake_inspector, tmp_path, hosts=("127.0.0.1", "localhost", "::1")) as client:
        for host, status in (
            ("127.0.0.1:8080", 200),
            ("[::1]:8080", 200),
            ("evil.example", 403),
            ("", 403),
            ("[", 403),
        ):
            for page in ("/review", "/v1/inspections"):
                assert client.get(page, headers={"Host": host}).status_code == status


def test_the_line_adds_up() -> None:
    tallies = [
        Tally(10 * DAY, "nut", "dent", 10, 4, 2, 1, 1, 0),
        Tally(11 * DAY, "nut", "dent", 10, 2, 0, 2, 0, 1),
        Tally(11 * DAY, "bolt", None, 5, 0, 0, 0, 0, 0),
    ]
    view = line_view(tallies, 9 * DAY, 3)
    assert (view.total.inspected, view.total.reviewed, view.total.renamed, view.total.missed) == (25, 5, 1, 1)
    assert view.total.false_alarm_share == pytest.approx(3 / 5)
    assert view.total.false_alarm_rate == pytest.approx(3 / 25)
    assert [(row.product, row.inspected) for row in view.rows] == [("bolt", 5), ("nut", 20)]
    assert [bar.rate is None for bar in view.bars] == [True, False, False]
    heights = [bar.normal + bar.defective for bar in view.bars]
    assert heights[0] == 0
    assert heights[2] == pytest.approx(1.5 * heights[1], abs=0.2)
    assert line_view([], 0, 7).total.false_alarm_share is None


def luminance(colour: str) -> float:
    """Relative, of WCAG 2."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", [0, 1])
def test_text_is_legible(theme: int) -> None:
    """WCAG AA: 4.5 to 1."""
    block = re.findall(r":root \{([^}]+)\}", (STATIC / "page.css").read_text())[theme]
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", block))
    pairs = [
        (ink, paper)
        for paper in ("page", "surface")
        for ink in ("text", "soft", "accent", "normal", "defective", "good", "bad", "warn")
    ]
    for ink, paper in [*pairs, ("on-accent", "accent"), ("page", "bad"), ("page", "text")]:
        low, high = sorted(luminance(colours[name]) for name in (ink, paper))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper)
