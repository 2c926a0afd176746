"""Tables for the terminal, as scorecards and spreads show them."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def percent(value: float | None) -> str:
    """A share in percent without its sign, one decimal; a dash when there is none."""
    return "–" if value is None else f"{100 * value:.1f}"


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> Table:
    """A table whose first `text_columns` columns are words, which may be folded, and the others numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=Text(title), title_justify="left", box=box.SIMPLE, collapse_padding=True)
    made.caption_justify = "left"
    for index, column in enumerate(zip(heads, *rows, strict=True)):
        # A name may be "[red]"; only a Text keeps rich from reading that as markup.
        head = Text(column[0])
        if index < text_columns:
            made.add_column(head, overflow="fold")
        else:
            made.add_column(head, justify="right", min_width=max(map(len, " ".join(column).split()), default=1))
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def plain_text(tables: Sequence[Table], width: int) -> str:
    """The tables as plain text, at most `width` characters wide."""
    from rich.console import Console

    buffer = StringIO()
    Console(file=buffer, width=width, color_system=None, legacy_windows=False).print(*tables)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
