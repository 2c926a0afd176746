from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from blemish import __version__
from blemish.cli import app as program
from blemish.cli.messages import quoted
from blemish.errors import BlemishError, DataError

pytestmark = pytest.mark.core
VERBS = (
    *("demo", "check", "train", "teach", "init-defects", "synthesize"),
    *("evaluate", "inspect", "calibrate", "export", "serve", "doctor"),
)


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(program.__file__).parents[2]), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, encoding="utf-8", env=environment, check=False, **options
    )


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_examples(run: Any, verb: str) -> None:
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert result.output.count(f"blemish {verb}") >= 2
    assert "Examples" in result.output


def test_help_lists_all_verbs_and_exit_codes(run: Any) -> None:
    output = run("--help").output
    for word in (*VERBS, "Exit codes", "--version"):
        assert word in output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--version"], 0, f"blemish {__version__}"),
        (["frobnicate"], 2, "frobnicate"),
        (["train", "images/"], 2, "--output"),
        (["train", "images/", "-o", "m", "--preset", "slow"], 2, "accurate"),
        (["inspect", "m"], 2, "INPUT"),
    ],
)
def test_usage(run: Any, arguments: list[str], code: int, words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert words in result.output


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `blemish doctor` fail."""

    def fail() -> None:
        raise error

    monkeypatch.delenv("BLEMISH_DEBUG", raising=False)
    monkeypatch.setattr("blemish.cli.doctor.examine", fail)


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (
            DataError("bottles/3.png is empty.", "Replace or remove the file."),
            2,
            ["Error: bottles/3.png is empty.", "  → Replace or remove the file."],
        ),
        (BlemishError("\udcff.png is empty."), 2, ["Error: \\udcff.png is empty."]),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            2,
            [
                "Error: 'blemish doctor' needs the package 'torch', which is not installed.",
                "  → Run: pip install 'blemish[train]'",
            ],
        ),
        (
            ModuleNotFoundError("No module named 'lightning'", name="lightning.fabric"),
            2,
            [
                "Error: 'blemish doctor' needs the package 'lightning', which is not installed.",
                "  → Run: pip install 'blemish[train]'",
            ],
        ),
        (
            ModuleNotFoundError("No module named 'diffusers'", name="diffusers.models"),
            2,
            [
                "Error: 'blemish doctor' needs the package 'diffusers', which is not installed.",
                "  → Run: pip install 'blemish[diffusion]'",
            ],
        ),
        (KeyboardInterrupt(), 130, ["", "Stopped."]),
    ],
)
def test_errors_are_sentences(
    run: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, lines: list[str]
) -> None:
    failing(monkeypatch, error)
    result = run("doctor")
    assert result.exit_code == code
    assert result.output.splitlines() == lines
    assert result.stdout == ""


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["blemish", *arguments])
    with pytest.raises(SystemExit) as caught:
        program.main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize(("debug", "lines"), [("", 1), ("0", 1), ("1", 5)])
def test_an_error_of_our_own_is_one_line_unless_debugging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], debug: str, lines: int
) -> None:
    failing(monkeypatch, RuntimeError("odd\nthing"))
    monkeypatch.setenv("BLEMISH_DEBUG", debug)
    assert main(monkeypatch, "doctor") == 70
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) >= lines
    assert ("Traceback" in printed) == (debug == "1")
    if lines == 1:
        assert printed.count("\n") == 1
        assert "RuntimeError: odd thing. Please report" in printed


def test_debugging_shows_the_traceback_of_any_error(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, DataError("x is empty.", "Fill it."))
    monkeypatch.setenv("BLEMISH_DEBUG", "1")
    result = run("doctor")
    assert result.exit_code == 2
    assert "Traceback" in result.output
    assert "→ Fill it." in result.output


def test_a_missing_module_of_our_own_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ModuleNotFoundError("No module named 'blemish.x'", name="blemish.x"))
    assert main(monkeypatch, "doctor") == 70


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = (
        "import os, sys\n"
        "from blemish.cli import app, doctor\n"
        "doctor.examine = lambda: {'x': 'y' * 100000}\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
        "sys.argv = ['blemish', 'doctor', '--json']\n"
        "app.main()"
    )
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("code", ["import blemish", "from blemish.cli.app import app", "import runpy"])
def test_starting_imports_nothing_heavy(code: str) -> None:
    heavy = ("torch", "numpy", "PIL", "pydantic", "scipy", "timm")
    arguments = "import sys; sys.argv = ['blemish', '--help']\n"
    if code == "import runpy":
        code = "import runpy\ntry: runpy.run_module('blemish', run_name='__main__')\nexcept SystemExit: pass"
    done = python("-c", f"{arguments}{code}\nprint('heavy:', [name for name in {heavy} if name in sys.modules])")
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stderr


def test_the_module_is_the_program() -> None:
    done = python("-m", "blemish", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"blemish {__version__}")


def test_paths_are_quoted_for_the_shell() -> None:
    assert (quoted(Path("a/b.png")), quoted("my images")) == (quoted("a/b.png"), '"my images"')
