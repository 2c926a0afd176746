"""The pages of results are what their lines make them, and a stale one is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "benchmarks" / "results.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository's benchmarks and pages."""
    if not (ROOT / "benchmarks" / "results.py").exists():
        pytest.skip("the benchmarks are in the repository only")
    for name in ("benchmarks", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.webp"))
    return tmp_path


def test_what_is_here_is_fresh(copy: Path) -> None:
    done = check(copy, "--check")
    assert done.returncode == 0, done.stderr


def test_pages_that_somebody_edited(copy: Path) -> None:
    pages = ("performance.md", "results/README.md", "results/real.md", "results/start.md")
    for page in pages:
        file = copy / "docs" / page
        file.write_text(file.read_text(encoding="utf-8").replace("1", "2", 1), encoding="utf-8")
    done = check(copy, "--check")
    assert done.returncode == 1
    assert done.stderr == f"Stale: {', '.join(pages)}. Run: make results\n"
    assert check(copy).returncode == 0
    assert check(copy, "--check").returncode == 0


def test_a_new_line(copy: Path) -> None:
    lines = copy / "docs" / "results" / "service.jsonl"
    load = next(line for line in lines.read_text(encoding="utf-8").splitlines() if '"load"' in line)
    with open(lines, "a", encoding="utf-8") as file:
        file.write(load.replace('"ratio": 0.', '"ratio": 1.') + "\n")
    done = check(copy, "--check")
    assert "results/service.md" in done.stderr
    assert "results/README.md" in done.stderr
