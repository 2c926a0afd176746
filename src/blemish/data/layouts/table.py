"""Tables on disk: CSV with a header line, or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blemish.errors import DataError

JSON_SUFFIXES = frozenset({".jsonl", ".json"})
TABLE_SUFFIXES = JSON_SUFFIXES | {".csv"}


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        file: the table.
        line: its line number, from 1.
        values: column in lower case → text without surrounding blanks; null is empty text.
        base: the folder to which paths in the table are relative.
    """

    file: Path
    line: int
    values: dict[str, str]
    base: Path

    def resolve(self, path: str) -> Path:
        """The absolute form of a path in the table; backslashes separate folders unless a file is named so."""
        literal = os.path.abspath(self.base / path)
        if "\\" in path and not os.path.exists(literal):
            return Path(os.path.abspath(self.base / path.replace("\\", "/")))
        return Path(literal)

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


def read_rows(file: Path, base: Path | None = None) -> Iterator[Row]:
    """The rows of a `.csv` file (comma, semicolon or tab, as its header shows) or `.jsonl`/`.json` file (one object a
    line), UTF-8 with or without a byte order mark. Empty lines are skipped.

    Raises:
        DataError: the file cannot be read or a line cannot be understood; names file and line.
    """
    base = file.parent if base is None else base
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.", "Check the path.") from error
    read = _json_lines if file.suffix.lower() in JSON_SUFFIXES else _csv_lines
    for line, values in read(file, text):
        yield Row(file, line, values, base)


def _csv_lines(file: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if columns is None:
                columns = [cell.lower() for cell in cells]
                continue
            if len(cells) > len(columns):
                raise DataError(
                    f"{file}, line {reader.line_num} has {len(cells)} columns, its header {len(columns)}.",
                    "Quote values that contain the separator.",
                )
            yield reader.line_num, dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=True))
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num} is not CSV: {error}.", "Correct the line.") from error


def _json_lines(file: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            message = f"{file}, line {number} is not a JSON object: {error}."
            raise DataError(message, "Write one JSON object per line.") from error
        if not isinstance(values, dict):
            raise DataError(f"{file}, line {number} is not a JSON object.", "Write one JSON object per line.")
        yield number, {str(key).lower(): "" if value is None else str(value).strip() for key, value in values.items()}
