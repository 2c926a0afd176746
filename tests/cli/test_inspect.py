from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blemish.cli.outputs import OutputFolder
from blemish.inspection import Inspection
from blemish.inspector import Inspector

pytestmark = pytest.mark.core
Draw = Callable[..., Path]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "inspections.jsonl").read_text(encoding="utf-8").splitlines()]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_masks_of_a_data_set_are_no_images(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    draw("in/bolt/test/spot/1.png", "bolt", defect=True)
    draw("in/bolt/ground_truth/spot/1_mask.png", "bolt")
    result = run("inspect", model, tmp_path / "in", "--json")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    assert f"Left out of {tmp_path / 'in'}, as masks in folders ground_truth: 1." in result.stderr
    named = run("inspect", model, tmp_path / "in" / "bolt" / "ground_truth", "--json")
    assert named.stdout.count("\n") == 1
    assert "Left out" not in named.stderr


def test_a_folder_of_images(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    draw("in/a/ok.png", "nut")
    draw("in/a/spot.png", "bolt", defect=True)
    draw("in/b/gear.png", "stranger")
    out = tmp_path / "out"

    result = run("inspect", model, tmp_path / "in", "-o", out)

    assert result.exit_code == 0, result.output
    assert files(out) == [
        "inspections.jsonl",
        "maps/000001-a-ok.npy",
        "maps/000002-a-spot.npy",
        "maps/000003-b-gear.npy",
        "masks/000002-a-spot.png",
        "overlays/000001-a-ok.png",
        "overlays/000002-a-spot.png",
        "report.html",
    ]
    ok, spot, gear = lines(out)
    assert [line["verdict"] for line in (ok, spot, gear)] == ["normal", "defective", "unknown product"]
    assert [line["product"] for line in (ok, spot, gear)] == ["nut", "bolt", None]
    assert ok["source"] == str(tmp_path / "in" / "a" / "ok.png")
    assert (ok["mask"], gear["overlay"]) == (None, None)
    assert spot["regions"][0]["box"] == [20, 10, 44, 34]
    heat = np.load(out / spot["anomaly_map"], allow_pickle=False)
    assert (heat.dtype, heat.shape, heat.max()) == (np.float32, (64, 64), 1)
    with Image.open(out / spot["mask"]) as mask:
        assert np.asarray(mask).astype(bool).sum() == 24 * 24
    with Image.open(out / spot["overlay"]) as picture:
        assert (picture.size, picture.mode) == ((64, 64), "RGB")
    assert "3 images inspected" in result.output
    table = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if " 1 " in line}
    assert table["bolt"] == ["1", "1", "5", "%", "4.8", "%"]
    assert table["unknown"] == ["product", "1", "0", "–", "–"]
    rates = {"requested": 0.05, "effective": 1 / 21, "expected": 1 / 21, "promised": True}
    assert spot["false_alarm_rate"] == rates
    assert "1 defective, 1 of no known product" in result.output
    assert f"defective: {spot['source']}" in result.output
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<article") == 3


@pytest.mark.parametrize(
    ("kinds", "options", "code"),
    [
        (["ok"], [], 0),
        (["ok", "spot"], [], 0),
        (["ok", "spot"], ["--fail-on-defect"], 1),
        (["ok"], ["--fail-on-defect"], 0),
        (["gear"], ["--fail-on-defect"], 0),
        (["ok", "text"], [], 3),
        (["ok", "text"], ["--fail-on-defect"], 3),
        (["spot", "text"], ["--fail-on-defect"], 1),
        (["ok", "missing"], [], 3),
        (["text", "text"], [], 2),
        (["missing"], ["--fail-on-defect"], 2),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_exit_codes(
    run: Any, model: Path, draw: Draw, tmp_path: Path, kinds: list[str], options: list[str], code: int, as_json: bool
) -> None:
    paths = []
    for index, kind in enumerate(kinds):
        path = tmp_path / f"{index}.png"
        if kind == "text":
            path.write_text("hello")
        elif kind != "missing":
            draw(path.name, "stranger" if kind == "gear" else "nut", defect=kind == "spot")
        paths.append(path)
    where = ["--json"] if as_json else ["-o", tmp_path / "out"]

    result = run("inspect", model, *paths, *where, *options)

    assert result.exit_code == code, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()] if as_json else lines(tmp_path / "out")
    assert [line["source"] for line in found] == [str(path) for path in paths]
    for line, kind in zip(found, kinds, strict=True):
        assert ("error" in line) == (kind in ("text", "missing"))
    unreadable = sum(kind in ("text", "missing") for kind in kinds)
    assert ("unreadable" in result.output) == bool(unreadable)


@pytest.mark.usefixtures("with_names")
def test_names_of_defects(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    for index in range(2):
        draw(f"in/{index}.png", "nut", defect=True)
    draw("in/bolt.png", "bolt", defect=True)
    with Image.open(draw("in/small.png", "nut")) as image:
        pixels = np.asarray(image).copy()
    pixels[10:20, 20:30] = 255
    Image.fromarray(pixels).save(tmp_path / "in" / "small.png")
    out = tmp_path / "out"

    result = run("inspect", model, tmp_path / "in", "-o", out)

    assert result.exit_code == 0, result.output
    table = {line.split()[0]: line.split()[7:] for line in result.output.splitlines() if line[:4] in ("nut ", "bolt")}
    assert table == {"nut": ["2", "spot,", "1", "unknown", "defect"], "bolt": ["–"]}
    assert f"defective: {tmp_path / 'in' / '0.png'} (spot 90 %; p = 0.048; 20,10–44,34)" in result.output
    assert "small.png (unknown defect, most like dent 55 %; p = 0.048; 20,10–30,20)" in result.output
    assert "bolt.png (p = 0.048; 20,10–44,34)" in result.output
    region = lines(out)[0]["regions"][0]
    assert (region["category"], region["category_scores"]["spot"]) == ("spot", 0.9)
    blue, white = (90, 150, 255), (255, 255, 255)
    for number, name, colour in ((1, "0", blue), (4, "small", white)):
        with Image.open(out / "overlays" / f"{number:06d}-in-{name}.png") as picture:
            assert (np.asarray(picture) == colour).all(axis=2).any(), name
    assert "Categories found" in (out / "report.html").read_text(encoding="utf-8")


def test_without_categories_there_is_no_column(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    result = run("inspect", model, draw("a.png", "nut", defect=True), "-o", tmp_path / "out")
    assert "categories found" not in result.output


def test_json_alone_writes_no_folder(
    run: Any, model: Path, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw("a.png", defect=True)
    before = set(os.listdir(tmp_path))
    result = run("inspect", model, "a.png", "--json")
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["anomaly_map"] is None
    assert set(os.listdir(tmp_path)) == before
    run("inspect", model, "a.png")
    assert (tmp_path / "inspections" / "report.html").is_file()


def test_json_and_a_folder_at_once(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    result = run("inspect", model, draw("a.png"), "--json", "-o", tmp_path / "out")
    assert [json.loads(line) for line in result.stdout.splitlines()] == lines(tmp_path / "out")


def test_overlays_can_be_left_out(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    run("inspect", model, draw("a.png"), "-o", tmp_path / "out", "--no-overlays")
    assert not (tmp_path / "out" / "overlays").exists()
    assert lines(tmp_path / "out")[0]["overlay"] is None
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8").count("<article") == 1


NASTY = ["../../../etc/passwd.png", "/abs/x.png", "CON.png", "a:b*c?.png", "é" * 120 + ".png", ".png", "..", "x/y.png"]


def test_names_of_results_neither_clash_nor_escape(fake_inspector: Inspector, tmp_path: Path) -> None:
    heat = np.zeros((64, 64), np.float32)
    out = tmp_path / "out"
    with OutputFolder(out, fake_inspector.calibration, {}, overwrite=False, overlays=False) as folder:
        for source in [*NASTY, *NASTY, "x/Y.png", "x/y.jpg", "\udcff/\udcff.png", None]:
            inspection = Inspection(0.1, 1.0, False, "nut", 1.0, heat, heat > 0, (64, 64), source=source)
            folder.add(inspection)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not {path.parent for path in out.rglob("*.npy")} - {out / "maps"}
    written = lines(out)
    assert len({line["anomaly_map"].lower() for line in written}) == len(written) == 2 * len(NASTY) + 4
    assert written[-2]["source"] == "\udcff/\udcff.png"
    assert all(len(os.fsencode(Path(line["anomaly_map"]).name)) < 200 for line in written)


@pytest.mark.parametrize(
    ("prepare", "options", "message"),
    [
        (lambda out: (out / "holiday.jpg").write_text("dear"), ["--overwrite"], "holds no inspections.jsonl"),
        (lambda out: (out / "inspections.jsonl").write_text(""), [], "--overwrite"),
    ],
)
def test_a_folder_in_use_is_refused(
    run: Any, model: Path, draw: Draw, tmp_path: Path, prepare: Callable[[Path], Any], options: list[str], message: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    prepare(out)
    before = files(out)
    result = run("inspect", model, draw("a.png"), "-o", out, *options)
    assert result.exit_code == 2
    assert message in result.output
    assert files(out) == before


def test_overwriting_takes_earlier_results_away_and_nothing_else(
    run: Any, model: Path, draw: Draw, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run("inspect", model, draw("a.png", defect=True), draw("b.png"), "-o", out)
    (out / "notes.txt").write_text("mine")
    run("inspect", model, draw("c.png"), "-o", out, "--overwrite")
    (line,) = lines(out)
    assert line["source"].endswith("c.png")
    assert files(out) == sorted([line["anomaly_map"], line["overlay"], "inspections.jsonl", "notes.txt", "report.html"])


def test_pictures_of_earlier_results_are_no_products(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    draw("in/a.png", defect=True)
    draw("in/b/masks/c.png")
    for number in (1, 2):
        result = run("inspect", model, tmp_path / "in", "-o", tmp_path / "in" / f"day{number}")
        assert [Path(line["source"]).name for line in lines(tmp_path / "in" / f"day{number}")] == ["a.png", "c.png"]
    assert "as pictures of earlier results: 3" in " ".join(result.output.split())
    overlay = run("inspect", model, tmp_path / "in" / "day1" / "overlays", "--json")  # who names them wants them
    assert len(overlay.stdout.splitlines()) == 2


def test_inputs_of_every_kind(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    names = ["a/1.png", "a/deep/2.png", "b/3.png", "b/4.png", "5.png"]
    for name in names:
        draw(f"in/{name}")
    (tmp_path / "in/b/notes.txt").write_text("no image")
    root = tmp_path / "in"
    listed = f"{root / '5.png'}\n\n{root / 'a'}\r\n".encode()

    result = run("inspect", model, "-", root / "b" / "*", "--json", input=listed)

    sources = [Path(json.loads(line)["source"]).relative_to(root).as_posix() for line in result.stdout.splitlines()]
    assert sources == ["5.png", "a/1.png", "a/deep/2.png", "b/3.png", "b/4.png"]


@pytest.mark.parametrize("name", ["empty", "*.png"])
def test_no_images_at_all(run: Any, model: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run("inspect", model, tmp_path / name, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "There are no images in" in result.output
    assert not (tmp_path / "out").exists()


def test_results_are_written_as_they_come(
    run: Any, model: Path, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect_many = Inspector.inspect_many
    written: list[int] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        for result in inspect_many(*arguments, **options):
            written.append(len(lines(tmp_path / "out")))
            if len(written) == 3:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(Inspector, "inspect_many", watched)
    for index in range(4):
        draw(f"in/{index}.png")
    result = run("inspect", model, tmp_path / "in", "-o", tmp_path / "out")
    assert result.exit_code == 130
    assert "2 images inspected" in result.output
    assert written == [0, 1, 2]
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_product_and_its_region_of_interest_can_be_given(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    image = draw("a.png", "stranger", defect=True)
    mask = tmp_path / "roi.png"
    Image.fromarray(np.pad(np.full((8, 64), 255, np.uint8), ((0, 56), (0, 0)))).save(mask)

    def verdict(*options: Any) -> str:
        return str(json.loads(run("inspect", model, image, "--json", *options).stdout)["verdict"])

    draw("a.png", "nut", defect=True)
    assert verdict() == "defective"
    assert verdict("--roi", f"nut={mask}") == "normal"
    assert verdict("--roi", f"bolt={mask}") == "defective"
    assert verdict("--product", "nut", "--roi", mask) == "normal"
    result = run("inspect", model, image, "--json", "--roi", mask)
    assert result.exit_code == 2
    assert "does not say which product" in result.output
    result = run("inspect", model, image, "-o", tmp_path / "out", "--product", "gear")
    assert result.exit_code == 2
    assert "no product 'gear'" in result.output
    assert not (tmp_path / "out").exists()


def test_a_missing_model(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    result = run("inspect", tmp_path / "no.blemish", draw("a.png"), "--json")
    assert result.exit_code == 2
    assert "There is no model folder" in result.output
    assert "→" in result.output


def test_a_full_disk_is_a_sentence(
    run: Any, model: Path, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    result = run("inspect", model, draw("a.png"), "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "out cannot be written: No space left" in result.output


@pytest.mark.skipif(sys.platform == "win32", reason="names on Windows are Unicode")
def test_names_that_are_not_unicode(run: Any, model: Path, draw: Draw, tmp_path: Path) -> None:
    try:
        os.rename(draw("a.png"), os.fsencode(tmp_path) + b"/\xff.png")
    except OSError:
        pytest.skip("this file system allows Unicode names only")
    result = run("inspect", model, "-", "-o", tmp_path / "out", "--json", input=os.fsencode(tmp_path) + b"/\xff.png\n")
    assert result.exit_code == 0, result.output
    assert lines(tmp_path / "out")[0]["source"].endswith("\udcff.png")
