"""`python -m blemish`: the same as `blemish`."""

from __future__ import annotations

from blemish.cli.app import main

if __name__ == "__main__":
    main()
