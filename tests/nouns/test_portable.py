"""Nothing needs an operating system of the POSIX kind; Windows has none of these."""

from __future__ import annotations

import ast
from pathlib import Path

import blemish

_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"}
_OF_OS = {"chown", "fork", "getuid", "killpg", "link", "mkfifo", "setsid", "symlink", "uname"}


def test_no_module_needs_posix() -> None:
    files = sorted(Path(blemish.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found = {alias.name.partition(".")[0] for alias in node.names} & _MODULES
            elif isinstance(node, ast.ImportFrom):
                found = {(node.module or "").partition(".")[0]} & _MODULES
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                found = {node.attr} & _OF_OS
            else:
                continue
            assert not found, f"{file}:{node.lineno} needs {', '.join(found)}"
