from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from blemish.cli.check import check
from blemish.errors import DataError

pytestmark = pytest.mark.core

GOOD = ("p/train/good/0.png", "p/train/good/1.png", "p/test/good/0.png", "p/test/cut/0.png")

app = typer.Typer()
app.command()(check)


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "100"})


def test_table(tree: Any) -> None:
    result = run(tree(*GOOD) / "p")

    assert result.exit_code == 0
    assert "MVTec AD, 1 product" in result.output
    assert "p: defective: cut 1" in result.output
    assert "16×12" in result.output
    assert "No problems found." in result.output


def test_problems_are_printed_with_their_remedy_and_fatal_ones_exit_with_2(tree: Any) -> None:
    root = tree(*GOOD)
    for index in range(2):
        (root / f"p/train/good/{index}.png").write_text("hello")

    result = run(root / "p")

    assert result.exit_code == 2
    assert "Fatal (1)" in result.output
    assert "Warnings (2)" in result.output
    assert result.output.count("→ Replace or remove the file.") == 1


def test_many_problems_are_counted(tree: Any) -> None:
    root = tree(*GOOD, *(f"p/test/good/{index}.png" for index in range(1, 24)))
    for index in range(24):
        (root / f"p/test/good/{index}.png").write_text("hello")

    result = run(root / "p")

    assert result.exit_code == 0
    assert "… and 4 more: --json shows all of them." in result.output


def test_json_alone(tree: Any) -> None:
    result = run(tree(*GOOD) / "p", "--json")

    assert result.exit_code == 0
    assert [product["product"] for product in json.loads(result.stdout)["products"]] == ["p"]


def test_json_of_fatal_problems(tree: Any) -> None:
    root = tree(*GOOD, "q/0.png")
    (root / "q/0.png").write_text("hello")

    result = run(root / "p", root / "q", "--json")

    assert result.exit_code == 2
    assert json.loads(result.stdout)["fatal"] is True


def test_split_is_passed_on(tree: Any) -> None:
    root = tree(*(f"p/good/{index}.png" for index in range(10)), "p/bad/0.png") / "p"
    (root / "groups.csv").write_text("path,group\n" + "".join(f"good/{index}.png,a\n" for index in range(10)))

    counts = {
        rule: json.loads(run(root, "--json", "--split", rule).stdout)["products"][0]["train_normal"]
        for rule in ("group", "image")
    }

    assert counts == {"group": 10, "image": 8}


@pytest.mark.parametrize("mode", [(), ("--json",)])
def test_names_that_are_not_unicode(tree: Any, mode: tuple[str, ...]) -> None:
    root = tree(*GOOD) / "p"
    try:
        (root / "test/good/\udcff.png").write_text("hello")
    except (OSError, UnicodeError):
        pytest.skip("this file system allows Unicode names only")

    result = run(root, *mode)

    assert result.exit_code == 0
    assert "udcff" in result.output


def test_an_unknown_folder_is_left_to_the_caller_to_print(tmp_path: Path) -> None:
    result = run(tmp_path)

    assert isinstance(result.exception, DataError)


def test_help_has_examples() -> None:
    result = run("--help")

    assert "blemish check images/ --json > report.json" in result.output
