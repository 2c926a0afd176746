"""The process in which a model learns: `python -m blemish.serving.learn FOLDER`.

It is apart from the service, so that neither waits for the other and either may end without harm. In the folder it
finds `lesson.json`, the reviews as a data set, and the images to compare on; it writes `progress.json` while it works,
the model, and at the end `outcome.json`. A lesson that was interrupted goes on from its last checkpoint. The process
ends when its standard input does, that is with the service that started it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blemish.errors import BlemishError
from blemish.files import write_json

if TYPE_CHECKING:
    from blemish.training.loop import TrainProgress

LESSON, PROGRESS, OUTCOME = "lesson.json", "progress.json", "outcome.json"
REVIEWS, MEASURE, PICTURES, MODEL = "reviews", "measure", "pictures", "model"
_PAUSE = 0.5  # seconds between two reports
_GENTLE = 10  # added to the niceness: the line goes first

_log = logging.getLogger(__name__)


def main(folder: Path) -> None:
    """Learn, compare, and leave an outcome."""
    _end_with(sys.stdin.buffer)
    if hasattr(os, "nice"):
        os.nice(_GENTLE)
    try:
        outcome = _learn(folder)
    except BlemishError as error:
        _log.exception("the lesson in %s failed", folder)
        outcome = {"error": _without(folder, error.message), "remedy": _without(folder, error.remedy)}
    except Exception:
        _log.exception("the lesson in %s failed", folder)
        outcome = {"error": "The teaching failed.", "remedy": "Its log says why."}
    write_json(folder / OUTCOME, outcome)


def _learn(folder: Path) -> dict[str, Any]:
    from blemish.config import TeachConfig
    from blemish.data.defects.read import read_defects
    from blemish.inspector import Inspector
    from blemish.serving.compare import compare
    from blemish.serving.lesson import Lesson
    from blemish.training.teach import teach

    started = time.monotonic()
    task = json.loads((folder / LESSON).read_text(encoding="utf-8"))
    lesson = Lesson.from_dict(task["lesson"])
    report = _Reporter(folder / PROGRESS)
    old = Inspector.load(task["model"], offline=True)
    if not (folder / MODEL).exists():
        defects = read_defects(folder / REVIEWS)
        config = TeachConfig.of(lesson.preset, **{"seed": old.config.seed, **lesson.changes})
        _, problems = teach(old, defects.examples, config, output=folder / MODEL, resume=True, progress=report)
        remarks = [_without(folder, problem.message) for problem in (*defects.problems, *problems)]
    else:
        remarks = []
    files = {path.stem: path for path in (folder / MEASURE).iterdir()}
    measure = [one for one in lesson.measure if one.image in files]
    report.write("comparison", 0, len(measure), None)
    old, new = Inspector.load(task["model"], offline=True), Inspector.load(folder / MODEL, offline=True)
    (folder / PICTURES).mkdir(exist_ok=True)
    rows = compare(old, new, measure, files, folder / PICTURES)
    seconds = time.monotonic() - started
    return {
        "rows": [row.to_dict() for row in rows],
        "remarks": remarks,
        "seconds": round(seconds, 1),
    }


def _without(folder: Path, text: str) -> str:
    """A message without the place on the disk, which is nobody's business."""
    return text.replace(f"{folder}{os.sep}", "").replace(str(folder), "the lesson")


class _Reporter:
    """Writes where the training is, now and then."""

    def __init__(self, file: Path) -> None:
        self._file, self._last = file, 0.0

    def __call__(self, where: TrainProgress) -> None:
        if time.monotonic() - self._last > _PAUSE:
            self.write(where.stage, where.done, where.total, where.seconds_left)

    def write(self, stage: str, done: int, total: int, left: float | None) -> None:
        self._last = time.monotonic()
        write_json(self._file, {"stage": stage, "done": done, "total": total, "seconds_left": left})


def _end_with(stream: Any) -> None:
    """End this process when a stream ends, whatever it is doing then."""

    def wait() -> None:
        while stream.read(1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    main(Path(sys.argv[1]))
