"""Pictures of the service's pages, for docs/service.md: a fortnight at a line of the demo's products.

    blemish demo --output demo
    python tools/screens.py demo/demo.blemish demo/images docs/service

Forgets the names that the model has learned, lets it inspect test images over fourteen days, says of most of them what
the file names say, teaches two categories by the page, and takes a picture of each page, on a desktop and on a phone.
Needs the extra `dev` and a Chromium (`BLEMISH_BROWSER` may name it).
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from blemish.data.dataset import Dataset
from blemish.data.sample import Sample
from blemish.inspection import Inspection
from blemish.inspector import Inspector
from blemish.serving.pictures import map_png, mask_png
from blemish.serving.records import Upload
from blemish.serving.store import Store
from blemish.training.teach import without_categories

DAYS, A_DAY, LATE = 14, 7, 16
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
TAUGHT = {"capsule": ("crack", "dent"), "plank": ("hole", "scratch")}
_DAY = 24 * 3600 * 1000


class Clock:
    """Shows the time that it is set to, a little later every time."""

    def __init__(self) -> None:
        self.now = time.time_ns() // 1_000_000 - (DAYS + 1) * _DAY  # no time before the first one is ever told

    def __call__(self) -> int:
        self.now += 7
        return self.now


def fill(store: Store, clock: Clock, inspector: Inspector, folder: Path, samples: list[Sample]) -> None:
    """A fortnight of inspections, most of them reviewed."""
    model = store.versions.add_model("line.blemish", folder)
    store.versions.promote(model.id)
    today = time.time_ns() // 1_000_000
    draw = random.Random(0)
    pictures = list(samples)
    for day in range(DAYS):
        clock.now = today - (DAYS - 1 - day) * _DAY - 3_600_000
        for _ in range(A_DAY + draw.randrange(6) if day < DAYS - 1 else LATE):
            if not pictures:
                return
            sample = pictures.pop()
            content = sample.path.read_bytes()
            found = inspector.inspect(content)
            id = keep(store, inspector, model.id, content, found)
            late = day == DAYS - 1
            if late or (not found.defective and draw.random() < 0.7):
                continue
            if not sample.defective:
                store.add_review(id, "rejected", reviewer="Ada")
            elif sample.defect in TAUGHT.get(sample.product, ()):
                store.add_review(id, "confirmed", category=sample.defect, reviewer="Ada")
            else:
                store.add_review(id, "confirmed", reviewer="Ada")


def keep(store: Store, inspector: Inspector, model: str, content: bytes, found: Inspection) -> str:
    with Image.open(BytesIO(content)) as image:
        upload = Upload(content, "image/png", image.size)
    pictures = map_png(found, inspector.calibration), mask_png(found)
    (kept,) = store.add_inspections(model, [(upload, found, *pictures)])
    return kept.id


@contextmanager
def serving(model: Path, data: Path) -> Iterator[str]:
    """A service that is ready, and its address."""
    command = [sys.executable, "-m", "blemish", "serve", str(model), "--data", str(data), "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "BLEMISH_TOKEN": "a token for pictures"}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert running.stdout is not None
        yield next(found[0] for line in running.stdout if (found := re.search(r"http://\S+:\d+", line)))
    finally:
        running.terminate()
        running.wait()


def shoot(pages: dict[str, Page], address: str, path: str, folder: Path, name: str, height: int | None = None) -> None:
    """One page on each device."""
    for device, page in pages.items():
        page.goto(address + path)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(400)
        shown = page.screenshot(full_page=height is not None)
        with Image.open(BytesIO(shown)) as image:
            cut = image if height is None else image.crop((0, 0, image.width, min(image.height, height)))
            cut.convert("RGB").save(folder / f"{name}-{device}.webp", quality=82, method=6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    program = os.environ.get("BLEMISH_BROWSER") or shutil.which("chromium")
    samples = list(Dataset.from_folder(arguments.images).test())
    random.Random(1).shuffle(samples)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        work = Path(temporary)
        model = work / "line.blemish"
        without_categories(Inspector.load(arguments.model)).save(model)
        clock = Clock()
        (work / "data").mkdir()
        store = Store(f"sqlite:///{work / 'data' / 'line.db'}", work / "data" / "files", clock)
        fill(store, clock, Inspector.load(model), model, samples)
        store.close()
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        pages: dict[str, Page] = {}
        for device, (width, height) in SIZES.items():
            phone = device == "phone"
            context = browser.new_context(
                viewport={"width": width, "height": height}, is_mobile=phone, has_touch=phone, locale="en-GB"
            )
            pages[device] = context.new_page()
        with serving(model, work / "data") as address:
            shoot(pages, address, "/login", arguments.output, "login")
            for page in pages.values():
                page.fill("#token", "a token for pictures")
                page.click("text=Sign in")
                page.wait_for_url("**/review")
            shoot(pages, address, "/review", arguments.output, "review")
            shoot(pages, address, "/line", arguments.output, "line")
            shoot(pages, address, "/history", arguments.output, "history")
            shoot(pages, address, "/teach", arguments.output, "teach")
            desktop = pages["desktop"]
            desktop.click("#teach")
            expect(desktop.locator("#stage-place")).to_contain_text("left", timeout=600_000)
            shoot(pages, address, "/teach", arguments.output, "learning")
            desktop.wait_for_selector(".teaching", timeout=0)
            shoot(pages, address, "/teach", arguments.output, "comparison", height=1500)
            desktop.click("text=Promote")
            expect(desktop.locator(".model")).to_have_text("line.blemish 2")
            sample = next(one for one in samples if (one.product, one.defect) == ("capsule", "crack"))
            desktop.goto(f"{address}/review")
            with desktop.expect_navigation():
                desktop.set_input_files("#upload", str(sample.path))
            newest = desktop.evaluate("fetch('/v1/inspections?defective=true&limit=1').then((answer) => answer.json())")
            shoot(pages, address, f"/review/{newest['inspections'][0]['id']}", arguments.output, "named")
        browser.close()


if __name__ == "__main__":
    main()
