"""The program `blemish`: its verbs, and what becomes of errors."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from blemish import __version__
from blemish.cli.add_product import add_product
from blemish.cli.calibrate import calibrate
from blemish.cli.check import check
from blemish.cli.demo import demo
from blemish.cli.doctor import doctor
from blemish.cli.evaluate import evaluate
from blemish.cli.export import export
from blemish.cli.export_reviews import export_reviews
from blemish.cli.init_defects import init_defects
from blemish.cli.inspect import inspect
from blemish.cli.messages import INTERNAL_ERROR, Verbs, print_internal_error
from blemish.cli.serve import serve
from blemish.cli.synthesize import synthesize
from blemish.cli.teach import teach
from blemish.cli.train import train

_START, _WORK, _DEFECTS, _HELP = (
    "First steps",
    "From normal images to verdicts",
    "Defects with names",
    "When something is wrong",
)

app = typer.Typer(
    name="blemish",
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(rich_help_panel=_START)(demo)
app.command(rich_help_panel=_START)(check)
app.command(rich_help_panel=_WORK)(train)
app.command("add-product", rich_help_panel=_WORK)(add_product)
app.command("init-defects", rich_help_panel=_DEFECTS)(init_defects)
app.command(rich_help_panel=_DEFECTS)(synthesize)
app.command(rich_help_panel=_WORK)(teach)
app.command(rich_help_panel=_WORK)(evaluate)
app.command(rich_help_panel=_WORK)(inspect)
app.command(rich_help_panel=_WORK)(calibrate)
app.command(rich_help_panel=_WORK)(export)
app.command(rich_help_panel=_WORK)(serve)
app.command("export-reviews", rich_help_panel=_DEFECTS)(export_reviews)
app.command(rich_help_panel=_HELP)(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"blemish {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find, locate and name defects in product images: one model for every product, from normal images alone.

    blemish VERB MODEL INPUT; blemish VERB --help shows examples.

    Exit codes: 0 done, 1 defects found with --fail-on-defect, 2 nothing could be done, 3 done but some images were
    unreadable.
    """


def main() -> None:
    """Run the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may not know every letter of a file name
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="blemish")
    except Exception as error:
        print_internal_error(error)
        sys.exit(INTERNAL_ERROR)
