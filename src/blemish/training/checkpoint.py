"""Checkpoints of a run in safetensors, and its loss curve as JSON lines."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from blemish.engines.tensors import save_tensors
from blemish.errors import TrainingError
from blemish.files import replaced, write_json, writing

CHECKPOINT, CURVE, RUN = "checkpoint.safetensors", "curve.jsonl", "run.json"


class RunFolder:
    """Where an unfinished training lives.

    Args:
        path: the folder.
        fingerprint: of configuration and images; a checkpoint with another one is never continued.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self._fingerprint = fingerprint

    @classmethod
    def beside(cls, model: Path, fingerprint: str) -> RunFolder:
        """The run that becomes the folder `model`."""
        model = Path(os.path.realpath(model))
        return cls(model.with_name(f"{model.name}.run"), fingerprint)

    def check_same(self) -> None:
        """Raises TrainingError where the run is of another configuration or other images, or its note is damaged."""
        path = self.path / RUN
        try:
            found = json.loads(path.read_text(encoding="utf-8"))["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{path} is damaged.", "Start anew: --restart.") from error
        if found != self._fingerprint:
            raise TrainingError(f"{self.path} is of another configuration or other images.", "Start anew: --restart.")

    def begin(self) -> None:
        """Note the fingerprint and start an empty curve. Raises BlemishError when the place cannot be written."""
        write_json(self.path / RUN, {"fingerprint": self._fingerprint})
        with writing(self.path / CURVE):
            (self.path / CURVE).write_text("", encoding="utf-8")

    def save(self, step: int, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write a checkpoint atomically; the previous one stays until then.

        Raises:
            BlemishError: the disk is full.
        """
        tensors = {f"model.{name}": value for name, value in module.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        with replaced(self.path / CHECKPOINT) as temporary:
            save_tensors(tensors, temporary, {"step": str(step), "fingerprint": self._fingerprint})

    def restore(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Load the checkpoint, if there is one, and return its step (0 without one).

        Raises:
            TrainingError: the checkpoint is damaged or of another configuration or other images.
        """
        path = self.path / CHECKPOINT
        if not path.is_file():
            self._cut_curve(0)
            return 0
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise TrainingError(f"{path} is damaged: {error}.", "Start anew: --restart.") from error
        if metadata["fingerprint"] != self._fingerprint:
            raise TrainingError(
                f"{path} is of another configuration or other images.",
                "Start anew: --restart.",
            )
        module.load_state_dict({name.removeprefix("model."): t for name, t in tensors.items() if name[0] == "m"})
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        step = int(metadata["step"])
        self._cut_curve(step)
        return step

    def log(self, step: int, losses: dict[str, float]) -> None:
        """Append one line to the curve. Raises BlemishError when the disk is full."""
        with writing(self.path / CURVE), open(self.path / CURVE, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **losses}) + "\n")

    def curve(self) -> str:
        """All lines logged so far."""
        return (self.path / CURVE).read_text(encoding="utf-8")

    def _cut_curve(self, step: int) -> None:
        """Forget what was logged after the checkpoint: it will be logged again."""
        path = self.path / CURVE
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        with replaced(path) as temporary:
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
            temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def fingerprint(config: dict[str, Any], files: Iterable[tuple[Path, str]]) -> str:
    """Of a configuration and of the names, sizes and products of its images."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for path, product in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\0{product}\0".encode())
    return digest.hexdigest()


def check_run(run: RunFolder, *, resume: bool, restart: bool) -> None:
    """Refuse what is in the way of a run; nothing is changed yet."""
    if not run.path.exists() or not any(run.path.iterdir()):
        return
    if not (run.path / RUN).is_file():
        raise TrainingError(f"{run.path} exists and is no run of Blemish.", "Move it away, or train elsewhere.")
    if not resume and not restart:
        raise TrainingError(
            f"{run.path} holds an unfinished run.", "Continue it with --resume, or discard it with --restart."
        )
    if not restart:
        run.check_same()


def begin_run(run: RunFolder, restart: bool) -> None:
    """Make the folder of a new run, now that all that it needs has been read."""
    if restart and run.path.exists():
        shutil.rmtree(run.path)
    if not (run.path / RUN).is_file():
        run.begin()
