"""Errors as sentences and exit codes instead of tracebacks."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from blemish.errors import BlemishError, MissingExtraError

DEFECTS_FOUND, NOTHING_DONE, SOME_UNREADABLE, INTERNAL_ERROR, INTERRUPTED = 1, 2, 3, 70, 130
# What a shell reports of a program whose reader went away.
_BROKEN_PIPE = 141
_EXTRA_OF = {
    **dict.fromkeys(("torch", "timm", "lightning", "lightning_fabric", "safetensors", "scipy"), "train"),
    **dict.fromkeys(("diffusers", "transformers"), "diffusion"),
    **dict.fromkeys(("onnx", "onnxscript"), "export"),
    **dict.fromkeys(("ray", "pyarrow"), "scale"),
    **dict.fromkeys(("fastapi", "uvicorn", "sqlalchemy", "alembic", "prometheus_client"), "serve"),
}


class Verbs(TyperGroup):
    """The group of all verbs. Errors that the user can mend end here."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BlemishError as error:
            print_error(error)
            raise typer.Exit(NOTHING_DONE) from error
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _EXTRA_OF:
                raise
            print_error(MissingExtraError(package, _EXTRA_OF[package], f"'blemish {ctx.invoked_subcommand}'"))
            raise typer.Exit(NOTHING_DONE) from error
        except KeyboardInterrupt as error:
            typer.secho("\nStopped.", err=True)
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            # Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(_BROKEN_PIPE) from error


def exit_with(inspected: int, defective: int, unreadable: int, *, fail_on_defect: bool) -> None:
    """Ends an inspection with the exit code that its numbers of images ask for, unless that is 0."""
    if not inspected:
        raise typer.Exit(NOTHING_DONE)
    if fail_on_defect and defective:
        raise typer.Exit(DEFECTS_FOUND)
    if unreadable:
        raise typer.Exit(SOME_UNREADABLE)


def print_error(error: BlemishError) -> None:
    """What was found and where, and below it what to do; with BLEMISH_DEBUG also the traceback."""
    if debugging():
        traceback.print_exception(error)
    typer.secho(f"Error: {printable(error.message)}", fg="red", err=True)
    if error.remedy:
        typer.echo(f"  → {printable(error.remedy)}", err=True)


def print_internal_error(error: Exception) -> None:
    """One line for an error that no user can mend; with BLEMISH_DEBUG the traceback."""
    if debugging():
        traceback.print_exception(error)
        return
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    typer.secho(
        f"Blemish failed: {printable(reason)}. Please report this with what BLEMISH_DEBUG=1 makes it print.",
        fg="red",
        err=True,
    )


def debugging() -> bool:
    """Whether BLEMISH_DEBUG is set to anything but 0."""
    return os.environ.get("BLEMISH_DEBUG", "0") not in ("", "0")


def printable(text: object) -> str:
    """Text in which bytes of a file name that are not UTF-8 are escaped."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def quoted(path: object) -> str:
    """A path as one types it into a shell."""
    text = printable(path)
    return f'"{text}"' if " " in text else text
