from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish.calibration import Calibration, ProductCalibration
from blemish.data.sample import Sample
from blemish.errors import BlemishError
from blemish.evaluation.record import ImageRecord
from blemish.evaluation.report import Case, ReportWriter
from blemish.evaluation.report.writer import MAX_UNREADABLE
from blemish.evaluation.scorecard import Scorecard
from blemish.evaluation.scorecard_builder import ScorecardBuilder
from blemish.inspection import UNKNOWN_PRODUCT, Inspection
from blemish.regions import find_regions

pytestmark = pytest.mark.core

VOID = {"meta", "br", "input", "link", "img"}
NASTY = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>"


class Page(HTMLParser):
    """A parsed report; parsing fails on elements that are not closed in order."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.content = content
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def attributes(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [a for t, a in self.elements if t == tag and wanted.items() <= a.items()]

    def cards(self) -> list[str]:
        return [a["data-outcome"] for a in self.attributes("article")]


CALIBRATION = Calibration(
    products={
        "nut": ProductCalibration(scores=[1.0] * 4, peaks=[1.0] * 4, similarities=[0.9] * 4),  # type: ignore[arg-type]
        "bolt": ProductCalibration(
            scores=[1.0] * 150,  # type: ignore[arg-type]
            peaks=[1.0] * 150,  # type: ignore[arg-type]
            similarities=[0.9] * 150,  # type: ignore[arg-type]
        ),
    }
)


def inspection(product: str, score: float, source: str) -> Inspection:
    known = product != UNKNOWN_PRODUCT
    anomaly_map = np.zeros((8, 8), np.float32)
    anomaly_map[2:5, 2:4] = score
    defective = known and CALIBRATION[product].defective(score)
    mask = (anomaly_map > 0) & defective
    return Inspection(
        score=score,
        p_value=CALIBRATION[product].p_value(score) if known else 1.0,
        defective=defective,
        product=product,
        similarity=0.9 if known else 0.2,
        anomaly_map=anomaly_map,
        mask=mask,
        size=(32, 32),
        regions=find_regions(anomaly_map, mask, (32, 32)),
        source=source,
    )


IMAGE = Image.new("RGB", (32, 32), "grey")
TRUTH = np.zeros((8, 8), dtype=bool)
TRUTH[2:5, 2:5] = True

SAMPLES: list[tuple[str, str, str | None, float]] = [
    ("nut", "normal", None, 0.5),
    ("nut", "normal", None, 1.5),
    ("nut", "defective", "scratch", 3.0),
    ("nut", "defective", "dent", 0.8),
    ("bolt", "normal", None, 0.7),
    ("bolt", "defective", NASTY, 2.0),
]


def evaluated(path: Path, samples: list[tuple[str, str, str | None, float]] = SAMPLES) -> tuple[Page, Scorecard]:
    pytest.importorskip("scipy")
    rates = {name: (c.false_alarm_rate, c.effective_rate) for name, c in CALIBRATION.products.items()}
    builder = ScorecardBuilder("honest", rates)
    writer = ReportWriter(path, "Evaluation", calibration=CALIBRATION, details={"command": "blemish evaluate"})
    for i, (product, label, defect, score) in enumerate(samples):
        sample = Sample(Path(f"{i}.png"), product, "test", label, defect)  # type: ignore[arg-type]
        found = inspection(product, score, f"data/{i}.png")
        truth = TRUTH if label == "defective" else None
        builder.add(ImageRecord.of(sample, found), found.anomaly_map, truth)
        writer.add(Case.of(sample, found, IMAGE, truth))
    card = builder.finish({"seed": 7})
    assert writer.finish(card) == path
    return Page(path.read_text(encoding="utf-8")), card


def inspected(path: Path, *found: Inspection, unreadable: int = 0, **options: Any) -> Page:
    writer = ReportWriter(path, "Inspection", calibration=CALIBRATION, **options)
    for one in found:
        writer.add(Case(one, IMAGE))
    for i in range(unreadable):
        writer.add_unreadable(f"{i}{NASTY}", "truncated")
    return Page(writer.finish().read_text(encoding="utf-8"))


def test_an_evaluation_shows_everything(tmp_path: Path) -> None:
    page, card = evaluated(tmp_path / "deep" / "report.html")
    assert sorted(page.cards()) == ["caught", "caught", "false alarm", "missed", "passed", "passed"]
    assert "Protocol honest" in page.text
    assert "requested 1 %, effective 20 %: 4 calibration images can promise no finer rate" in page.text
    assert "1 % → 20 %" in page.text
    assert f"{100 * (card.mean('i_auroc') or 0):.1f} %" in page.text
    assert "Defects missed1 of 3" in page.text
    assert "False alarms1 of 3" in page.text
    assert "seed7" in page.text
    assert "commandblemish evaluate" in page.text
    labels = [a.get("aria-label", "") for a in page.attributes("svg", **{"class": "chart"})]
    for chart in ("Histogram", "ROC", "Precision and recall"):
        assert sum(label.startswith(chart) for label in labels) == 2
    options = re.findall(r"<option>(.*?)</option>", page.content)
    assert {"nut", "bolt", "scratch", "dent", "missed"} <= set(options)
    for style in ("truth", "finding"):
        assert page.attributes("path", **{"class": style})


def test_an_inspection_shows_counts_unknown_products_and_unreadable_files(tmp_path: Path) -> None:
    found = [
        inspection("nut", 3.0, "a.png"),
        inspection("nut", 0.5, "b.png"),
        inspection(UNKNOWN_PRODUCT, 9.0, "c.png"),
    ]
    page = inspected(tmp_path / "r.html", *found, unreadable=2)
    assert "Images inspected3" in page.text
    assert "Defective133.3 % of the images" in page.text
    assert "Unknown product1" in page.text
    assert "2 unreadable files" in page.text
    assert "no verdict: unlike every product of the model" in page.text
    assert page.cards() == ["defective", "normal", "unknown product"]
    assert not page.attributes("path", **{"class": "truth"})
    assert not [a for a in page.attributes("input") if a.get("data-layer") == "truth"]


def test_an_empty_report_is_a_page(tmp_path: Path) -> None:
    assert "Images inspected0" in inspected(tmp_path / "r.html").text


def test_many_unreadable_files_are_counted(tmp_path: Path) -> None:
    page = inspected(tmp_path / "r.html", unreadable=MAX_UNREADABLE + 3)
    assert f"{MAX_UNREADABLE + 3} unreadable files" in page.text
    assert "and 3 others" in page.text


def test_names_cannot_inject_markup(tmp_path: Path) -> None:
    plain, _ = evaluated(tmp_path / "a.html", [(*sample[:2], sample[2] and "dent", sample[3]) for sample in SAMPLES])
    nasty, _ = evaluated(tmp_path / "b.html")
    for page in (
        plain,
        nasty,
        inspected(tmp_path / "c.html", inspection("nut", 3, NASTY + "\udcff\x00"), unreadable=1),
    ):
        assert len(page.attributes("script")) == 1
        assert not page.attributes("img")
        assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
    assert NASTY in nasty.text
    assert "\N{REPLACEMENT CHARACTER}" in page.text


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    page, _ = evaluated(tmp_path / "r.html")
    assert not page.attributes("link")
    for _, attributes in page.elements:
        assert "style" not in attributes, "the content security policy forbids style attributes"
        assert "src" not in attributes
        href = attributes.get("href", "#")
        assert href.startswith(("#", "data:image/")), href
        if href.startswith("data:"):
            Image.open(BytesIO(b64decode(href.split(",")[1]))).load()
    assert "url(" not in page.content.replace('fill="url(#scale)"', "")


def test_the_content_security_policy_lets_our_own_script_and_style_through(tmp_path: Path) -> None:
    page, _ = evaluated(tmp_path / "r.html")
    policy = next(a["content"] for a in page.attributes("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.content, re.DOTALL)
        assert f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'" in policy


def test_references_and_labels_for_everyone(tmp_path: Path) -> None:
    page, _ = evaluated(tmp_path / "r.html")
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    references = {a["href"][1:] for _, a in page.elements if a.get("href", "").startswith("#")}
    assert references <= set(ids)
    assert [a for a in page.attributes("html") if a.get("lang")]
    for attributes in page.attributes("svg", role="img"):
        assert attributes["aria-label"].strip()
    assert [t for t, _ in page.elements].count("h1") == 1


def test_a_saved_scorecard_can_be_shown_without_images(tmp_path: Path) -> None:
    _, card = evaluated(tmp_path / "a.html")
    page = Page(ReportWriter(tmp_path / "b.html", "Again").finish(card).read_text(encoding="utf-8"))
    assert page.cards() == []
    assert len(page.attributes("svg", **{"class": "chart"})) == 6


def test_no_half_written_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.html"
    path.write_text("old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(BlemishError, match="disk full"):
        ReportWriter(path, "New").finish()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.parametrize("options", [{"examples": 0}, {"picture_size": 0}])
def test_senseless_options(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ReportWriter(tmp_path / "r.html", "x", **options)  # type: ignore[arg-type]


def palettes() -> list[dict[str, str]]:
    """The light and the dark palette of the style sheet."""
    css = files("blemish.evaluation.report").joinpath("report.css").read_text(encoding="utf-8")
    return [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)]


def luminance(colour: str) -> float:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
@pytest.mark.parametrize("name", ["text", "soft", "accent", "normal", "defective", "good", "bad", "warn"])
@pytest.mark.parametrize("background", ["page", "surface"])
def test_contrast_of_texts(palette: dict[str, str], name: str, background: str) -> None:
    light, dark = sorted((luminance(palette[name]), luminance(palette[background])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5, "WCAG 2.2, level AA"


def test_works_without_torch_and_scipy(tmp_path: Path) -> None:
    code = """
import sys
sys.modules.update(dict.fromkeys(["torch", "scipy", "timm"]))
import numpy as np
from PIL import Image
from blemish.evaluation.report import Case, ReportWriter, overlay
from blemish.inspection import Inspection
found = Inspection(1.0, 0.5, False, "nut", 0.9, np.ones((4, 4), np.float32), np.zeros((4, 4), bool), (8, 8))
writer = ReportWriter(sys.argv[1], "x")
writer.add(Case(found, Image.new("L", (8, 8))))
writer.finish()
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "r.html")], check=True)
    assert (tmp_path / "r.html").stat().st_size > 10_000
