"""Teachings: what is learned, what measures, and what becomes of the process; the learning itself is a stand-in."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blemish.data.duplicates import file_hash
from blemish.errors import BlemishError, ConfigError
from blemish.inspection import Inspection
from blemish.serving.compare import Difference, Judged, counts
from blemish.serving.lesson import Exhibit, Lesson, plan, suggest
from blemish.serving.records import StoredTeaching
from blemish.serving.store import Store
from blemish.serving.teacher import Teacher

from .conftest import Add

_STANDS_IN = """
import json, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
task = json.loads((folder / "lesson.json").read_text())
assert (folder / "reviews" / "manifest.csv").exists()
{work}
"""
_DONE = """
(folder / "model").mkdir()
seen = [path.stem for path in (folder / "measure").iterdir()]
(folder / "outcome.json").write_text(json.dumps({"rows": [], "remarks": sorted(seen)}))
"""
_FAILS = '(folder / "outcome.json").write_text(json.dumps({"error": "No.", "remedy": "Try."}))'
_WAITS = """
report = {"stage": "training", "done": 1, "total": 9, "seconds_left": None}
(folder / "part").write_text(json.dumps(report))
(folder / "part").rename(folder / "progress.json")
sys.stdin.read()
"""


@pytest.fixture
def taught(store: Store, tmp_path: Path) -> Iterator[Callable[[str], Teacher]]:
    teachers: list[Teacher] = []

    def make(work: str) -> Teacher:
        script = tmp_path / "learn.py"
        script.write_text(_STANDS_IN.format(work=work))
        teachers.append(Teacher(store, tmp_path / "teachings", (sys.executable, str(script))))
        return teachers[-1]

    yield make
    for teacher in teachers:
        teacher.stop()  # whoever still keeps the end of a teaching gives the connection back before the store closes


def until(holds: Callable[[], Any]) -> None:
    for _ in range(300):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def named(store: Store, add: Add, *categories: str | None) -> list[str]:
    ids = []
    for category in categories:
        ids.append(add(p_value=0.001))
        decision = "rejected" if category is None else "confirmed"
        store.add_review(ids[-1], decision, category=category)
    return ids


def begun(store: Store, teacher: Teacher, ids: list[str]) -> StoredTeaching:
    model = store.versions.models()[0]
    return teacher.begin(model, plan(store, model.id, ids, "fast", {"steps": 3}, ()))


def test_what_is_not_learned_measures(store: Store, add: Add) -> None:
    ids = named(store, add, "dent", "dent", "scratch", None)
    waiting = add()
    model = store.versions.models()[0].id
    lesson = plan(store, model, ids[:1] + ids[2:3], "fast", {"steps": 3}, ())
    assert [(one.inspection, one.category) for one in lesson.learn] == [(ids[0], "dent"), (ids[2], "scratch")]
    assert [(one.inspection, one.decision) for one in lesson.measure] == [
        (ids[3], "rejected"),
        (ids[1], "confirmed"),
        (waiting, None),
    ]
    assert Lesson.from_dict(json.loads(json.dumps(lesson.to_dict()))) == lesson


@pytest.mark.parametrize("which", ["rejected", "not reviewed", "no name", "unknown product", "none", "no such"])
def test_what_cannot_be_learned(store: Store, add: Add, which: str) -> None:
    ids = {"rejected": named(store, add, None)[0], "not reviewed": add(p_value=0.001), "no such": "0" * 32}
    ids["no name"] = add(p_value=0.001)
    store.add_review(ids["no name"], "confirmed")
    ids["unknown product"] = add(product="unknown product", p_value=1.0)
    store.add_review(ids["unknown product"], "confirmed", category="dent")
    wanted = [] if which == "none" else [ids[which]]
    with pytest.raises(ConfigError):
        plan(store, store.versions.models()[0].id, wanted, "fast", {}, ())


def test_a_model_comes_out_of_it(store: Store, add: Add, taught: Callable[[str], Teacher], tmp_path: Path) -> None:
    teacher = taught(_DONE)
    ids = named(store, add, "dent", "dent", None)
    teaching = begun(store, teacher, ids[:1])
    assert teaching.state == "running"
    until(lambda: store.versions.teaching(teaching.id).state != "running")
    done = store.versions.teaching(teaching.id)
    assert done.state == "finished", done
    measured = sorted(store.inspection(id).image for id in ids[1:])
    assert done.outcome is not None
    assert done.outcome["remarks"] == measured
    first, second = store.versions.models()
    assert (second.id, second.parent, second.name) == (done.model, first.id, "line 2")
    assert second.folder.is_dir()
    # what it learned from neither teaches nor measures again
    suggestion = suggest(store, second.id, ())
    assert [one.inspection for one in suggestion.teachable] == [ids[1]]
    assert suggestion.learned == 1
    assert [one.inspection for one in suggest(store, first.id, ()).teachable] == ids[1::-1]
    teacher.discard(teaching.id)
    assert not second.folder.exists()
    assert len(store.versions.models()) == 1


@pytest.mark.parametrize(("work", "error"), [(_FAILS, "No."), ("sys.exit(3)", "ended with code 3")])
def test_a_teaching_that_fails(store: Store, add: Add, taught: Callable[[str], Teacher], work: str, error: str) -> None:
    teacher = taught(work)
    teaching = begun(store, teacher, named(store, add, "dent"))
    until(lambda: store.versions.teaching(teaching.id).state == "failed")
    outcome = store.versions.teaching(teaching.id).outcome
    assert outcome is not None
    assert error in outcome["error"]
    assert teacher.running is None
    assert len(store.versions.models()) == 1


def test_one_at_a_time_and_cancelled(store: Store, add: Add, taught: Callable[[str], Teacher], tmp_path: Path) -> None:
    teacher = taught(_WAITS)
    ids = named(store, add, "dent")
    teaching = begun(store, teacher, ids)
    with pytest.raises(ConfigError, match="runs already"):
        begun(store, teacher, ids)
    until(lambda: teacher.progress(teaching.id))
    assert teacher.progress(teaching.id) == {"stage": "training", "done": 1, "total": 9, "seconds_left": None}
    assert teacher.cancel(teaching.id).state == "cancelled"
    assert teacher.running is None
    assert not (tmp_path / "teachings" / teaching.id).exists()
    with pytest.raises(ConfigError, match="ended already"):
        teacher.cancel(teaching.id)


def test_what_a_model_has_seen_neither_teaches_nor_measures(store: Store, add: Add) -> None:
    ids = named(store, add, "dent", "dent", None)
    model = store.versions.models()[0].id
    seen = {file_hash(store.blobs.path(store.inspection(id).image)) for id in ids[1:]}
    assert [one.inspection for one in suggest(store, model, seen).teachable] == ids[:1]
    assert plan(store, model, ids[:1], "fast", {}, seen).measure == ()


def test_what_measured_goes_on_to_measure(store: Store, add: Add, taught: Callable[[str], Teacher]) -> None:
    teacher = taught(_DONE)
    named(store, add, "dent", "dent", "dent")
    model = store.versions.models()[0]
    before = suggest(store, model.id, ())
    assert len(before.held) == 1
    begun(store, teacher, [one.inspection for one in before.teachable if one.image not in before.held])
    until(lambda: len(store.versions.models()) == 2)
    after = suggest(store, store.versions.models()[1].id, ())
    assert [one.image for one in after.teachable] == list(before.held)
    assert after.held == before.held


@pytest.mark.parametrize("program", [("/no/such/program",), None])
def test_a_teaching_that_cannot_begin(
    store: Store, add: Add, tmp_path: Path, program: tuple[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = named(store, add, "dent")
    if program is None:
        teacher = Teacher(store, tmp_path / "teachings")

        def no_space(*_: object) -> None:
            raise OSError("no space left")

        monkeypatch.setattr(teacher, "_prepare", no_space)
        with pytest.raises(OSError, match="no space"):
            begun(store, teacher, ids)
        assert store.versions.teachings() == ()
    else:
        teaching = begun(store, Teacher(store, tmp_path / "teachings", program), ids)
        assert teaching.state == "failed"


def test_a_teaching_that_runs_nowhere_can_be_cancelled(store: Store, add: Add, tmp_path: Path) -> None:
    add()
    lost = store.versions.add_teaching(store.versions.models()[0].id, {"learn": []})
    teacher = Teacher(store, tmp_path / "teachings")
    assert teacher.cancel(lost.id).state == "cancelled"
    assert teacher.running is None


def test_a_teaching_goes_on_when_the_service_does(
    store: Store, add: Add, taught: Callable[[str], Teacher], tmp_path: Path
) -> None:
    teacher = taught(_WAITS)
    teaching = begun(store, teacher, named(store, add, "dent"))
    teacher.stop()
    assert store.versions.teaching(teaching.id).state == "running"
    again = taught(_DONE)
    again.go_on()
    until(lambda: store.versions.teaching(teaching.id).state == "finished")


def test_what_ended_unseen(store: Store, add: Add, taught: Callable[[str], Teacher], tmp_path: Path) -> None:
    teacher = taught(_WAITS)
    teaching = begun(store, teacher, named(store, add, "dent"))
    teacher.stop()
    folder = tmp_path / "teachings" / teaching.id
    (folder / "outcome.json").write_text(_json(rows=[], remarks=[]))  # just before the service ended
    (folder / "model").mkdir()
    half = store.versions.add_teaching(store.versions.models()[0].id, {"learn": []})  # its folder is gone
    (tmp_path / "teachings" / "no row").mkdir()  # the service ended while it was filled
    taught(_WAITS).go_on()
    assert store.versions.teaching(teaching.id).state == "finished"
    assert store.versions.teaching(half.id).state == "failed"
    assert not (tmp_path / "teachings" / "no row").exists()


def _json(**values: Any) -> str:
    return json.dumps(values)


def test_pictures_of_nothing_else(store: Store, add: Add, taught: Callable[[str], Teacher]) -> None:
    teacher = taught(_DONE)
    teaching = begun(store, teacher, named(store, add, "dent"))
    until(lambda: store.versions.teaching(teaching.id).state == "finished")
    for side in ("old", "../../x", ""):
        with pytest.raises(BlemishError):
            teacher.picture(teaching.id, 0, side)
    with pytest.raises(BlemishError):
        teacher.picture("../..", 0, "old")


def judged(verdict: str, category: str | None = None) -> Judged:
    return Judged(verdict, category, 1.0, 0.5)


def test_the_comparison_counts() -> None:
    def row(decision: Any, category: str | None, old: Judged, new: Judged) -> Difference:
        return Difference(Exhibit("i", "d", "nut", decision, category), old, new, False)

    normal, found = judged("normal"), judged("defective")
    rows = [
        row("confirmed", "dent", found, judged("defective", "dent")),
        row("confirmed", "dent", normal, judged("defective", "scratch")),
        row("confirmed", None, found, normal),
        row("rejected", None, found, normal),
        row(None, None, normal, judged("defective", "dent")),
        row(None, None, found, judged("defective", "unknown defect")),
    ]
    assert [(one.total, one.old, one.new, one.verdict) for one in counts(rows)] == [
        (3, 2, 2, None),
        (2, 0, 1, "unclear"),
        (2, 0, 1, "unclear"),
        (1, 1, 0, "unclear"),
        (2, 1, 2, None),
        (2, 0, 1, None),
    ]
    alarms = [row("rejected", None, found, normal)] * 5
    assert counts(alarms)[0].verdict == "better"
    assert counts(alarms[:4])[0].verdict == "unclear"
    assert counts([row("rejected", None, normal, found)] * 5)[0].verdict == "worse"
    assert counts([*alarms, row("rejected", None, normal, found)])[0].verdict == "unclear"
    assert [one.flipped for one in rows] == [True, True, True, True, True, True]
    assert Difference.from_dict(json.loads(json.dumps(rows[0].to_dict()))) == rows[0]
    assert counts([]) == []


def test_an_inspection_as_one_says_it() -> None:
    found = Inspection(1.0, 0.5, False, "nut", 0.9, np.zeros((2, 2), np.float32), np.zeros((2, 2), np.bool_), (2, 2))
    assert Judged.of(found) == Judged("normal", None, 1.0, 0.5)
