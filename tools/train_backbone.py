"""Makes the embedded backbone, on procedurally generated scenes alone; no photograph is trained on.

    python tools/train_backbone.py --goal imitation --teacher resnet18.safetensors --minutes 75
    python tools/train_backbone.py --goal places --minutes 75 --output places.safetensors

`imitation` regresses an ImageNet ResNet-18's levels 1 to 3, standardised per channel, at every position; the teacher's
weights are read, never copied. `places` needs no teacher: a place of a picture must be told from all others, in
another view. `both` adds the losses. Work (scenes and checkpoint) is kept in --work; a stopped run goes on from its
last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from backbone_goals import Places, Teacher, explained, imitation, statistics
from backbone_scenes import CROPS, PAIRS, SCENE_SIZE, Batches, draw_scenes, normalised
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.data import DataLoader

from blemish.backbones.embedded import WEIGHTS, EmbeddedNetwork
from blemish.errors import BlemishError, DataError, ModelError
from blemish.files import replaced
from blemish.procedural.scenes import scene
from blemish.procedural.seeding import generator

HELD_OUT = 64
PEAK_RATE = 3e-3
WARM_UP = 0.02  # share of the run
WEIGHT_DECAY = 0.02
# From this share of the run on the batch norms use their running statistics, as the folded network will: scenes differ
# so much that a batch's own statistics hide errors which inference then shows.
FREEZE_NORMS = 0.5
PLACES_WEIGHT = 0.1  # of the cross-entropy beside the squared error


def with_batch_norms(network: EmbeddedNetwork) -> EmbeddedNetwork:
    """Put a batch norm behind every convolution of stem and stages."""
    for parent in [module for module in network.modules() if not isinstance(module, nn.BatchNorm2d)]:
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and parent is not network.heads:
                child.bias = None
                setattr(parent, name, nn.Sequential(child, nn.BatchNorm2d(child.out_channels)))
    return network


def folded(trained: EmbeddedNetwork) -> EmbeddedNetwork:
    """The same function without batch norms, in evaluation mode, on the CPU."""
    network = with_batch_norms(EmbeddedNetwork())
    network.load_state_dict(trained.state_dict())
    network.eval()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Sequential) and isinstance(child[-1], nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(cast("nn.Conv2d", child[0]), child[-1]))
    return network


@torch.no_grad()
def standardise(network: EmbeddedNetwork, groups: list[Tensor]) -> None:
    """Give every output channel mean 0 and variance 1 over images, for features that no teacher has scaled."""
    found = [network(images) for images in groups]
    for head, batches in zip(network.heads, zip(*found, strict=True), strict=True):
        mean, spread = statistics(torch.cat(batches))
        convolution = cast("nn.Conv2d", head)
        assert convolution.bias is not None
        convolution.weight /= spread.view(-1, 1, 1, 1)
        convolution.bias.copy_((convolution.bias - mean.flatten()) / spread.flatten())


class Run:
    """The state of one training: what a checkpoint holds."""

    def __init__(self, seed: int, places: bool = False, device: str = "cpu", half: bool = False) -> None:
        torch.manual_seed(seed)
        self.device, self.half, self.seed = torch.device(device), half, seed
        self.network = with_batch_norms(EmbeddedNetwork())
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.places = Places().to(self.device) if places else None
        self.modules = nn.ModuleDict({"network": self.network} | ({"places": self.places} if self.places else {}))
        self.optimiser = torch.optim.AdamW(self.modules.parameters(), weight_decay=WEIGHT_DECAY)
        self.step = 0
        self.elapsed = 0.0  # seconds of training
        self.losses = ""  # the latest reported, per level

    def save(self, path: Path, identity: str) -> None:
        tensors = {f"modules.{name}": tensor for name, tensor in self.modules.state_dict().items()}
        for index, slots in self.optimiser.state_dict()["state"].items():
            tensors.update({f"optimiser.{index}.{name}": tensor for name, tensor in slots.items()})
        header = {"identity": identity, "step": str(self.step), "elapsed": str(self.elapsed)}
        with replaced(path) as temporary:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, header)

    def resume(self, path: Path, identity: str) -> None:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            if header["identity"] != identity:
                raise ModelError(f"{path} is the checkpoint of another run.", "Name another --work, or remove it.")
        modules: dict[str, Tensor] = {}
        slots: dict[int, dict[str, Any]] = {}
        for key, tensor in load_file(path).items():
            kind, name = key.split(".", 1)
            if kind == "modules":
                modules[name] = tensor
            else:
                index, slot = name.split(".", 1)
                slots.setdefault(int(index), {})[slot] = tensor
        self.modules.load_state_dict(modules)
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": slots, "param_groups": groups})
        self.step, self.elapsed = int(header["step"]), float(header["elapsed"])

    def advance(
        self, images: Tensor, targets: list[Tensor] | None, progress: float, offsets: Tensor | None = None
    ) -> list[float]:
        """One step; returns the losses of imitation per level, of places per level, and the share of places found."""
        self.modules.train(progress < FREEZE_NORMS)
        rate = PEAK_RATE * min(1, progress / WARM_UP) * 0.5 * (1 + np.cos(np.pi * min(1.0, progress)))
        for group in self.optimiser.param_groups:
            group["lr"] = max(rate, 1e-6)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            levels = self.network(images)
        losses, shares = [], []
        total = torch.zeros((), device=self.device)
        if targets is not None:
            losses += imitation(levels, targets)
            total = total + torch.stack(losses).sum()
        if self.places is not None and offsets is not None:
            found, share = self.places(levels, offsets, generator(self.seed, "places", self.step))
            losses += found
            shares.append(share)
            total = total + PLACES_WEIGHT * torch.stack(found).sum()
        self.optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.modules.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        return [float(loss.detach()) for loss in losses] + shares


def train(
    run: Run, teacher: Teacher | None, scenes: NDArray[np.uint8], held_out: list[Tensor], options: argparse.Namespace
) -> None:
    """Train until `options.minutes` have passed; checkpoint and write the weights every `options.every` minutes."""
    budget = 60 * options.minutes
    identity = json.dumps([options.goal, options.seed, options.scenes, options.minutes])
    checkpoint = options.work / f"{options.goal}_{options.seed}.safetensors"
    if checkpoint.exists():
        run.resume(checkpoint, identity)
        print(f"resumed at step {run.step}, {run.elapsed / 60:.1f} min", flush=True)
    batches = DataLoader(
        Batches(scenes, options.seed, pairs=run.places is not None),
        batch_size=None,
        sampler=range(run.step, 10**9),
        num_workers=options.workers,
    )
    recent: list[list[float]] = []
    saved = run.elapsed
    start = time.monotonic()
    for images, offsets in batches:
        images = images.to(run.device, memory_format=torch.channels_last)
        recent.append(run.advance(images, teacher and teacher(images), run.elapsed / budget, offsets))
        run.elapsed += time.monotonic() - start
        if run.step % 100 == 0:
            run.losses = " ".join(f"{value:.3f}" for value in np.mean(recent, axis=0))
            left = (budget - run.elapsed) / 60
            print(f"step {run.step}  loss {run.losses}  {run.elapsed / 60:.1f} min, {left:.1f} left", flush=True)
            recent.clear()
        if run.elapsed - saved > 60 * options.every or run.elapsed >= budget:
            saved = run.elapsed
            run.save(checkpoint, identity)
            shares = write_weights(run, teacher, held_out, options)
            print("explained on held-out scenes", " ".join(f"{share:.3f}" for share in shares), flush=True)
        if run.elapsed >= budget:
            return
        start = time.monotonic()


def write_weights(
    run: Run, teacher: Teacher | None, held_out: list[Tensor], options: argparse.Namespace
) -> list[float]:
    """Fold, round to float16, measure what ships and write it with how it was made."""
    network = folded(run.network)
    if teacher is None:
        standardise(network, held_out)
    network.half()
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    header = {
        "made_by": "tools/train_backbone.py",
        "goal": options.goal,
        "trained_on": f"{options.scenes} procedural scenes of {SCENE_SIZE} px, crops {CROPS} or pairs {PAIRS}",
        "seed": str(options.seed),
        "minutes": f"{run.elapsed / 60:.1f} of {options.minutes:g}",
        "steps": str(run.step),
        "training_loss": run.losses,
        "input": "RGB, ImageNet mean/std",
        "licence": "Apache-2.0",
    }
    shares: list[float] = []
    if teacher is not None:
        shares = explained(network.float(), lambda images: [x.cpu() for x in teacher(images.to(run.device))], held_out)
        header["teacher"] = "ResNet-18 (ImageNet), levels 1-3, standardised per channel on scenes"
        header["variance_explained_on_held_out_scenes"] = json.dumps([round(share, 4) for share in shares])
    with replaced(options.output) as temporary:
        save_file(state, temporary, header)
        temporary.chmod(0o644)  # a package's file must be readable by all; safetensors makes it private
    return shares


def half_is_fast(device: str) -> bool:
    """Whether the processor multiplies matrices of bfloat16; without that it is slower than float32 by far."""
    return device != "cpu" or bool(torch.cpu._is_amx_tile_supported())  # type: ignore[no-untyped-call]


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = Path(__file__).resolve().parents[1] / "src" / "blemish" / "backbones"
    add = parser.add_argument
    add("--goal", choices=["imitation", "places", "both"], default="imitation", help="(default: %(default)s)")
    add("--teacher", type=Path, help="safetensors of ResNet-18, stem to layer3, timm's key names")
    add("--output", type=Path, default=source / WEIGHTS, help="where the weights go (default: into the package)")
    add("--work", type=Path, default=Path("build/backbone"), help="for scenes and checkpoint (default: %(default)s)")
    add("--scenes", type=int, default=16_000, help="number of training scenes (default: %(default)s)")
    add("--minutes", type=float, default=75, help="training time, scenes not counted (default: %(default)s)")
    add("--every", type=float, default=4, help="minutes between checkpoints (default: %(default)s)")
    add("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    add("--workers", type=int, default=0, help="processes that cut crops (default: %(default)s)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of scenes, crops and initial weights (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.goal != "places" and options.teacher is None:
        parser.error(f"--goal {options.goal} needs a --teacher")
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    half = half_is_fast(options.device)
    try:
        if options.scenes < 1:
            raise DataError("--scenes must be at least 1.")
        teacher = None
        if options.goal != "places":
            teacher = Teacher(options.teacher, torch.device(options.device), half)
        scenes = draw_scenes(options.work / f"scenes_{options.seed}_{options.scenes}.npy", options.scenes, options.seed)
        if teacher is not None:
            teacher.standardise(np.array(scenes[:200]))
        unseen = [scene(SCENE_SIZE, generator(options.seed, "held-out scene", index)) for index in range(HELD_OUT)]
        held_out = [normalised(np.stack(unseen[start : start + 8])) for start in range(0, HELD_OUT, 8)]
        run = Run(options.seed, options.goal != "imitation", options.device, half)
        train(run, teacher, scenes, held_out, options)
    except BlemishError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
