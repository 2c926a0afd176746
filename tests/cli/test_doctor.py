from __future__ import annotations

import json
import sys
from importlib import metadata
from typing import Any

import pytest

from blemish import __version__
from blemish.cli.doctor import examine

pytestmark = pytest.mark.core

REQUIREMENTS = [
    "numpy>=1.26",
    'torch>=2.4; extra == "train"',
    "blemish[train,export]; extra == 'all'",
    "blemish[train]; extra == 'bench'",
    "no-such-package>=1; extra == 'bench'",
    "pytest; extra == 'dev'",
]


def test_what_is_printed(run: Any) -> None:
    result = run("doctor")
    assert result.exit_code == 0
    for words in (f"blemish {__version__}", "Python 3.", "numpy", "onnxruntime", "CPU", "embedded", "timm"):
        assert words in result.output


def test_json(run: Any) -> None:
    found = json.loads(run("doctor", "--json").stdout)
    assert found["blemish"] == __version__
    assert found["packages"]["numpy"] == metadata.version("numpy")
    assert found["devices"]["cpu_cores"] >= 1
    assert set(found["backbones"]) == {"embedded", "timm", "transformers"}


def test_without_torch(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "torchvision", "timm"):
        monkeypatch.setitem(sys.modules, name, None)
    result = run("doctor")
    assert result.exit_code == 0
    assert "PyTorch is not installed" in result.output
    assert examine()["backbones"]["timm"]["usable"] is False
    assert examine()["backbones"]["transformers"]["usable"] is False


def test_a_broken_torch_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "torch":
                raise OSError("libc10.so: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert "cannot open shared object file" in examine()["devices"]["note"]


def test_optional_parts_come_from_the_package(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: REQUIREMENTS)
    extras = examine()["extras"]
    assert list(extras) == ["bench", "train"]
    assert extras["bench"]["installed"] is False
    assert "no-such-package" in extras["bench"]["missing"]
    assert extras["train"]["install"] == "pip install 'blemish[train]'"
    assert "pip install 'blemish[bench]'" in run("doctor").output


def test_a_checkout_that_is_not_installed(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", unknown)
    assert examine()["extras"] == {}
    assert run("doctor").exit_code == 0
