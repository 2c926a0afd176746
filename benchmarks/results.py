"""All pages of results from the JSON lines of the benchmarks.

python benchmarks/results.py            # write them: `make results`
python benchmarks/results.py --check    # say which are stale, and exit with 1 if any is
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import load_page
import naming_page
import overview_page
import real_page
import shipped_page
import speed_page
import start_page

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (
    "performance.md",
    "results/README.md",
    "results/detection.svg",
    "results/naming.md",
    "results/real.md",
    "results/service.md",
    "results/shipped.md",
    "results/start.md",
    "results/start.svg",
)


def write(docs: Path) -> None:
    """Write all pages below a folder `docs` from the lines in its folder `results`."""
    results = docs / "results"
    real_page.write_page(results / "real.jsonl")
    naming_page.write_page(results / "naming.jsonl")
    speed_page.write_page(results / "speed.jsonl", docs / "performance.md")
    shipped_page.write_page(results / "shipped.jsonl", results / "shipped.md")
    start_page.write_page(results / "start.jsonl", results / "start.md", results / "start.svg")
    load_page.write_page(results / "service.jsonl", results / "service.md")
    overview_page.write_page(results)


def stale(docs: Path) -> list[str]:
    """Pages that are not what their lines make them."""
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary)
        (fresh / "results").mkdir()
        for lines in (docs / "results").glob("*.jsonl"):
            shutil.copy(lines, fresh / "results")
        write(fresh)
        return [page for page in PAGES if _content(docs / page) != _content(fresh / page)]


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        write(DOCS)
    elif pages := stale(DOCS):
        sys.exit(f"Stale: {', '.join(pages)}. Run: make results")


if __name__ == "__main__":
    main()
