"""`blemish doctor`: what is installed, and what it can use."""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.resources import files
from typing import Any

import typer

from blemish.cli import options

_PACKAGES = (
    *("numpy", "pillow", "pydantic", "typer", "rich"),
    *("torch", "torchvision", "timm", "lightning-fabric", "lightning", "safetensors", "scipy", "onnxruntime"),
)
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[([\w,-]+)\])?.*extra\s*==\s*['\"]([\w-]+)['\"]")


def doctor(as_json: options.AsJson = False) -> None:
    """Print versions, devices, usable backbones and optional parts; touches no network.

    Examples:

        blemish doctor

        blemish doctor --json > doctor.json
    """
    found = examine()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _print(found)


def examine() -> dict[str, Any]:
    """All findings, JSON-ready. A part that is missing or broken is a finding, never an error."""
    from blemish import __version__

    return {
        "blemish": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "devices": _devices(),
        "backbones": _backbones(),
        "extras": _extras(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> dict[str, Any]:
    devices: dict[str, Any] = {"cpu_cores": os.cpu_count(), "cpu_threads": None, "cpu_bf16": _cpu_bf16(), "gpus": []}
    try:
        import torch
    except ImportError:
        return {**devices, "note": "PyTorch is not installed."}
    except Exception as error:  # a broken build fails in ways of its own
        return {**devices, "note": f"PyTorch does not load: {error}"}
    devices["cpu_threads"] = torch.get_num_threads()
    devices["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices["gpus"].append(
            {
                "name": properties.name,
                "memory_gib": round(properties.total_memory / 2**30, 1),
                "capability": f"{properties.major}.{properties.minor}",
                "bf16": properties.major >= 8,
            }
        )
    return devices


def _cpu_bf16() -> bool | None:
    """Whether the CPU computes in bfloat16; without, it works but is slower than float32. None: cannot be told."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as file:
            flags = {flag for line in file if line.startswith(("flags", "Features")) for flag in line.split()}
    except OSError:
        return None
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def _backbones() -> dict[str, dict[str, Any]]:
    weights = files("blemish").joinpath("backbones", "embedded.safetensors")
    embedded: dict[str, Any] = {"usable": weights.is_file() and _version("torch") is not None, "note": ""}
    if not weights.is_file():
        embedded["note"] = "Its weights are missing: reinstall blemish."
    elif not embedded["usable"]:
        embedded["note"] = "It needs PyTorch: pip install 'blemish[train]'"
    return {"embedded": embedded, "timm": _timm(), "transformers": _transformers()}


def _timm() -> dict[str, Any]:
    try:
        from blemish.backbones.timm_import import import_timm

        import_timm()
    except Exception as error:  # whatever keeps it from loading is the finding
        return {"usable": False, "note": " ".join(str(error).split())}
    return {"usable": True, "note": "Not tried whether the hub can be reached; train --backbone-weights does without."}


def _transformers() -> dict[str, Any]:
    try:
        from blemish.backbones.transformers_import import import_transformers

        importlib.import_module("torch")
        import_transformers()
    except Exception as error:  # whatever keeps it from loading is the finding
        return {"usable": False, "note": " ".join(str(error).split())}
    return {"usable": True, "note": "train --backbone transformers:FOLDER reads a folder that transformers saved."}


def _extras() -> dict[str, dict[str, Any]]:
    """Optional parts as the installed package declares them, and which of their packages are missing."""
    try:
        requirements = metadata.requires("blemish") or []
    except metadata.PackageNotFoundError:
        return {}
    needs: dict[str, list[tuple[str, str]]] = {}
    for requirement in requirements:
        if match := _REQUIREMENT.match(requirement):
            package, inner, extra = match.groups()
            needs.setdefault(extra, []).append((package, inner or ""))

    def missing(extra: str) -> list[str]:
        found: list[str] = []
        for package, inner in needs.get(extra, []):
            if package == "blemish":
                found += [name for one in inner.split(",") for name in missing(one)]
            elif _version(package) is None:
                found.append(package)
        return sorted(set(found))

    found = {extra: missing(extra) for extra in sorted(needs) if extra not in ("all", "dev")}
    return {
        extra: {"installed": not absent, "missing": absent, "install": f"pip install 'blemish[{extra}]'"}
        for extra, absent in found.items()
    }


def _print(found: dict[str, Any]) -> None:
    from blemish.cli.console import console, plain_table, say

    def table(heads: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
        console().print(plain_table(heads, rows, text_columns=range(len(heads))))
        say("")

    say(f"blemish {found['blemish']}, Python {found['python']}, {found['system']}", style="bold")
    say(found["executable"])
    say("")
    table(("package", "version"), [(name, version or "–") for name, version in found["packages"].items()])
    devices = found["devices"]
    rows: list[tuple[object, ...]] = []
    if "note" in devices:
        rows.append(("CPU", f"{devices['cpu_cores']} cores", devices["note"]))
    else:
        detail = f"{devices['cpu_threads']} threads, {devices['cpu_capability']}, bf16 {_yes(devices['cpu_bf16'])}"
        rows.append(("CPU", f"{devices['cpu_cores']} cores", detail))
        for number, gpu in enumerate(devices["gpus"]):
            detail = f"{gpu['memory_gib']} GiB, capability {gpu['capability']}, bf16 {_yes(gpu['bf16'])}"
            rows.append((f"cuda:{number}", gpu["name"], detail))
        if not devices["gpus"]:
            rows.append(("CUDA", "–", "no GPU that PyTorch can use"))
    table(("device", "", ""), rows)
    table(
        ("backbone", "usable", ""),
        [(name, _yes(one["usable"]), one["note"]) for name, one in found["backbones"].items()],
    )
    parts = [
        (name, "installed", "") if one["installed"] else (name, f"missing {', '.join(one['missing'])}", one["install"])
        for name, one in found["extras"].items()
    ]
    if parts:
        table(("optional part", "", ""), parts)


def _yes(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"
