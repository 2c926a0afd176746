"""Every error that Blemish raises on purpose.

A message says what was found, where, and what to do next. The command line prints it without a traceback
and exits with code 2.
"""

from __future__ import annotations


class BlemishError(Exception):
    """Base of all errors with a cause that the user can mend.

    Args:
        message: what was found and where (name the file).
        remedy: what to do next, as an imperative sentence.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.message = message
        self.remedy = remedy


class DataError(BlemishError):
    """A data set cannot be used: unknown layout, empty product, contradicting manifest."""


class ImageError(DataError):
    """One file is not a usable image. Callers that handle many images record it and go on."""


class ConfigError(BlemishError):
    """A configuration value is out of range or contradicts another."""


class ModelError(BlemishError):
    """A model folder or weight file is missing, incomplete or of another kind."""


class TrainingError(BlemishError):
    """Training cannot go on: loss not finite, disk full, checkpoint of another run."""


class SynthesisError(BlemishError):
    """A synthetic defect cannot be made: a shape that does not fit, no normal image to start from."""


class MissingExtraError(BlemishError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed.", f"Run: pip install 'blemish[{extra}]'"
        )
