"""Models that learn from reviews, one at a time, each in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from blemish.errors import BlemishError, ConfigError
from blemish.files import write_json, writing
from blemish.serving.learn import LESSON, MEASURE, MODEL, OUTCOME, PICTURES, PROGRESS, REVIEWS
from blemish.serving.lesson import Lesson
from blemish.serving.records import StoredModel, StoredTeaching
from blemish.serving.reviewed import Reviewed, reviewed_images, write_dataset, write_image
from blemish.serving.store import Store

_LOG = "log.txt"
_PROGRAM = (sys.executable, "-m", "blemish.serving.learn")
_GRACE = 10  # seconds in which a process ends
_PAUSES = (1, 5, 30)  # seconds between attempts

_log = logging.getLogger(__name__)


class Teacher:
    """Starts, watches and ends teachings. What it knows is in the store and in a folder for each teaching.

    Args:
        store: with the reviews.
        folder: for the teachings; each model stays in its own.
        program: what learns, see `learn`; it is given the folder of the teaching.
        environment: variables that it finds beside those of this process.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        program: Sequence[str] = _PROGRAM,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._store, self._folder, self._program = store, folder, program
        self._environment = {**os.environ, **environment}
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._id: str | None = None

    @property
    def running(self) -> str | None:
        """Id of the teaching that runs."""
        return self._id

    def begin(self, model: StoredModel, lesson: Lesson) -> StoredTeaching:
        """Let a model learn.

        Raises:
            ConfigError: another teaching runs.
            BlemishError: an image was removed meanwhile, or the disk is full.
        """
        with self._lock:
            if self._id is not None:
                raise ConfigError("A teaching runs already.", "Wait for its end, or cancel it.")
            id = self._store.versions.new_id()
            try:
                self._prepare(id, model, lesson)
                teaching = self._store.versions.add_teaching(model.id, lesson.to_dict(), id)
            except BaseException:
                self._clear(id)
                raise
            self._start(id)
            return self._store.versions.teaching(teaching.id)

    def go_on(self) -> None:
        """Take up what was running when the service ended, and clear away what it left behind."""
        with self._lock:
            teachings = self._store.versions.teachings()
            kept = {one.id for one in teachings if one.state in ("running", "finished", "failed")}
            for folder in self._folder.glob("*"):
                if folder.name not in kept:
                    self._clear(folder.name)
            for teaching in teachings:
                if teaching.state != "running":
                    continue
                if not (self._folder / teaching.id / LESSON).exists():
                    self._fail(teaching.id, "Its folder is gone.", "Teach again.")
                elif (self._folder / teaching.id / OUTCOME).exists():
                    self._finish(teaching.id, 0)
                elif self._id is None:
                    self._start(teaching.id)

    def stop(self) -> None:
        """End the process; `go_on` takes it up again."""
        with self._lock:
            self._end_process()

    def cancel(self, id: str) -> StoredTeaching:
        """End a teaching for good. Raises ConfigError where it has ended already."""
        with self._lock:
            if self._id == id:
                self._end_process()
            cancelled = self._store.versions.end_teaching(id, "cancelled", {})
            self._clear(id)
            return cancelled

    def discard(self, id: str) -> StoredTeaching:
        """Delete the model that came out of a teaching. Raises ConfigError where it was promoted, or is none."""
        with self._lock:
            self._store.versions.discard_teaching(id)
            self._clear(id)
            return self._store.versions.teaching(id)

    def progress(self, id: str) -> dict[str, Any] | None:
        """`stage`, `done`, `total` and `seconds_left` of a teaching; None before the first report."""
        with suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads((self._folder / id / PROGRESS).read_text(encoding="utf-8"))
            return found
        return None

    def picture(self, id: str, row: int, side: str) -> bytes:
        """What the `old` or the `new` model found in an image that flipped. Raises BlemishError."""
        path = self._folder / self._store.versions.teaching(id).id / PICTURES / f"{side}-{row}.png"
        if side not in ("old", "new") or not path.is_file():
            raise BlemishError("There is no such picture.", "Images that did not flip have none.")
        return path.read_bytes()

    def _prepare(self, id: str, model: StoredModel, lesson: Lesson) -> None:
        """Fill the folder; `lesson.json` comes last and says that all is there."""
        folder = self._folder / id
        learn = {one.image for one in lesson.learn}
        images: list[Reviewed] = [one for one in reviewed_images(self._store) if one.image in learn]
        with writing(folder):
            for place in (folder, folder / REVIEWS, folder / MEASURE):
                place.mkdir(parents=True)
            write_dataset(self._store, images, (), folder / REVIEWS)
            for one in lesson.measure:
                with suppress(BlemishError):  # removed meanwhile: the comparison goes on without it
                    write_image(self._store, one.image, folder / MEASURE)
        write_json(folder / LESSON, {"model": str(model.folder), "lesson": lesson.to_dict()})

    def _start(self, id: str) -> None:
        folder = self._folder / id
        command = [*self._program, str(folder)]
        try:
            with open(folder / _LOG, "ab") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self._environment
                )
        except OSError as error:
            _log.exception("the teaching %s could not be started", id)
            self._fail(id, f"The process that learns could not be started: {error.strerror}.", "Teach again.")
            return
        self._id = id
        threading.Thread(target=self._wait, args=(id, self._process), name="teach", daemon=True).start()

    def _wait(self, id: str, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self._lock:
            if self._process is not process:  # it was ended on purpose
                return
            self._forget_process()
            for pause in _PAUSES:  # a database that is away for a while; the next start tries again as well
                try:
                    self._finish(id, code)
                    return
                except ConfigError:  # somebody cancelled it
                    return
                except Exception:
                    _log.exception("the end of the teaching %s could not be kept", id)
                    time.sleep(pause)

    def _finish(self, id: str, code: int) -> None:
        folder = self._folder / id
        try:
            outcome = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
        except FileNotFoundError:
            _log.error("teaching %s ended with code %s, see %s", id, code, folder / _LOG)
            self._fail(id, f"The process that learned ended with code {code}.", "The log of the teaching says why.")
            return
        if "error" in outcome:
            self._fail(id, outcome["error"], outcome["remedy"])
            return
        self._store.versions.end_teaching(id, "finished", outcome, name=self._name(id), folder=folder / MODEL)
        for name in (REVIEWS, MEASURE):
            shutil.rmtree(folder / name, ignore_errors=True)

    def _fail(self, id: str, error: str, remedy: str) -> None:
        self._store.versions.end_teaching(id, "failed", {"error": error, "remedy": remedy})
        for name in (REVIEWS, MEASURE, MODEL, MODEL + ".run"):
            shutil.rmtree(self._folder / id / name, ignore_errors=True)

    def _name(self, id: str) -> str:
        """Of the model that nothing was taught, and a number that goes on."""
        models = {one.id: one for one in self._store.versions.models()}
        first = models[self._store.versions.teaching(id).parent]
        while first.parent is not None:
            first = models[first.parent]
        learned = sum(one.state in ("finished", "discarded") for one in self._store.versions.teachings())
        return f"{first.name} {learned + 2}"

    def _end_process(self) -> None:
        process = self._process
        if process is not None:
            self._forget_process()
            process.kill()
            process.wait(_GRACE)

    def _forget_process(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = self._id = None

    def _clear(self, id: str) -> None:
        shutil.rmtree(self._folder / id, ignore_errors=True)
