"""Something a user should know about a data set or one of its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Severity = Literal["fatal", "warning", "info"]


@dataclass(frozen=True)
class Problem:
    """What was found, where, and what to do about it.

    Attributes:
        path: the file or folder it is about.
        severity: `fatal`: training on this data set cannot give what was asked for; `warning`: it can, but a part
            was left out or looks wrong; `info`: worth knowing.
        message: what was found; names the product or file where the path alone does not.
        remedy: what to do next, as an imperative sentence; may be empty.
    """

    path: Path
    severity: Severity
    message: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": self.path.as_posix(),
            "severity": self.severity,
            "message": self.message,
            "remedy": self.remedy,
        }
