"""What the verbs print: texts, tables and progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from blemish.cli.messages import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from blemish.training.train import TrainProgress

# A log file needs no fixed width; tables that are cut off help nobody.
_FILE_WIDTH = 120
_LOG_SECONDS = 30
_STAGES = {
    "features": "Preparing images",
    "prompts": "Composing prompts",
    "pseudo-anomalies": "Making pseudo-anomalies",
    "training": "Training",
    "calibration": "Calibrating",
}


def console(*, stderr: bool = False) -> Console:
    """A console on standard output, or on standard error."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=max(made.width, _FILE_WIDTH))


def say(text: object, *, style: str = "", stderr: bool = False) -> None:
    """Print text as it is: brackets are no markup, long lines are not broken."""
    from rich.text import Text

    console(stderr=stderr).print(Text(printable(text), style=style), soft_wrap=True)


def plain_table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, text_columns: Sequence[int] = (0,)) -> Table:
    """A table without frame; columns not in `text_columns` are numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, head in enumerate(heads):
        words = index in text_columns
        table.add_column(head, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def duration(seconds: float) -> str:
    """Such as "4 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def counting(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error that goes away when it is done; yields what sets the number done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def training_progress(*, quiet: bool = False) -> Iterator[Callable[[TrainProgress], None]]:
    """Shows the stages of a training on standard error: bars on a terminal, now and then a line in a log."""
    output = console(stderr=True)
    if quiet:
        yield lambda _: None
    elif not output.is_terminal:
        yield _logger()
    else:
        from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

        note = TextColumn("{task.fields[note]}")
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), note)
        tasks: dict[str, TaskID] = {}
        with Progress(*columns, console=output) as bar:

            def show(now: TrainProgress) -> None:
                if now.stage not in tasks:
                    tasks[now.stage] = bar.add_task(_STAGES.get(now.stage, now.stage), total=now.total, note="")
                bar.update(tasks[now.stage], completed=now.done, total=now.total, note=_note(now))

            yield show


def _logger() -> Callable[[TrainProgress], None]:
    stage, last = "", 0.0

    def show(now: TrainProgress) -> None:
        nonlocal stage, last
        if now.stage == stage and now.done < now.total and time.monotonic() - last < _LOG_SECONDS:
            return
        stage, last = now.stage, time.monotonic()
        note = _note(now)
        say(f"{_STAGES.get(stage, stage)}: {now.done}/{now.total}{f', {note}' if note else ''}", stderr=True)

    return show


def _note(now: TrainProgress) -> str:
    parts = [f"{name} {value:.3g}" for name, value in now.losses.items()]
    if now.seconds_left is not None and now.done < now.total:
        parts.append(f"{duration(now.seconds_left)} left")
    return ", ".join(parts)
