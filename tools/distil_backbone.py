"""Makes the embedded backbone: distils an ImageNet ResNet-18's levels on procedurally generated scenes alone.

The student regresses the teacher's features, standardised per channel, at every position of levels 1 to 3. The
teacher's weights are read, never copied; no photograph is trained on.

    python tools/distil_backbone.py --teacher resnet18.safetensors --minutes 25

Work (scenes and checkpoint) is kept in --work; a stopped run goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from blemish.backbones.embedded import WEIGHTS, EmbeddedNetwork
from blemish.backbones.timm_import import import_timm
from blemish.errors import BlemishError, DataError, ModelError
from blemish.files import replaced
from blemish.procedural.scenes import scene
from blemish.procedural.seeding import generator

SCENE_SIZE = 192
HELD_OUT = 64
# (crop side, crops per batch): nearly the same number of pixels per step. The large crops teach features far from a
# border, the small ones give a batch more scenes.
CROPS = ((128, 8), (192, 4))
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
PEAK_RATE = 3e-3
WARM_UP = 0.02  # share of the run
WEIGHT_DECAY = 0.02
# From this share of the run on the batch norms use their running statistics, as the folded network will: scenes differ
# so much that a batch's own statistics hide errors which inference then shows.
FREEZE_NORMS = 0.5

Network = Callable[[Tensor], list[Tensor]]


class Teacher:
    """The teacher's levels 1–3, each channel with zero mean and unit variance over scenes."""

    def __init__(self, weights: Path) -> None:
        self.network = import_timm().create_model("resnet18", features_only=True, out_indices=(1, 2, 3)).eval()
        try:
            state = load_file(weights)
            self.network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"{weights} holds no ResNet-18 up to layer3: {error}.", "Name another --teacher."
            ) from None
        self.network.to(memory_format=torch.channels_last)
        self.shift = [torch.zeros(1, channels, 1, 1) for channels in EmbeddedNetwork.channels]
        self.scale = [torch.ones(1, channels, 1, 1) for channels in EmbeddedNetwork.channels]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        levels = self.network(images)
        return [(level - a) * b for level, a, b in zip(levels, self.shift, self.scale, strict=True)]

    def standardise(self, scenes: NDArray[np.uint8]) -> None:
        """Measure every channel on N×H×W×3 scenes."""
        batches = [self(normalised(scenes[start : start + 8])) for start in range(0, len(scenes), 8)]
        for index, level in enumerate(zip(*batches, strict=True)):
            values = torch.cat(level)
            spread = values.std(dim=(0, 2, 3), keepdim=True)
            self.shift[index] = values.mean(dim=(0, 2, 3), keepdim=True)
            # A channel that hardly ever fires would otherwise become noise of unit variance.
            self.scale[index] = 1 / spread.clamp(min=0.1 * float(spread.median()))


def normalised(pictures: NDArray[np.uint8] | NDArray[np.float32]) -> Tensor:
    """B×H×W×3 uint8, or float32 in [0, 255], to B×3×H×W with ImageNet's mean and standard deviation."""
    images = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    return ((images - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def draw_scenes(path: Path, count: int, seed: int) -> NDArray[np.uint8]:
    """`count` scenes from `path`, which is made if it does not exist."""
    if not path.exists():
        with replaced(path) as temporary:
            shape = (count, SCENE_SIZE, SCENE_SIZE, 3)
            out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            for index in range(count):
                out[index] = scene(SCENE_SIZE, generator(seed, "scene", index))
                if index % 500 == 0:
                    print(f"scene {index} of {count}", flush=True)
            out.flush()
            del out
    scenes: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return scenes


def batch(scenes: NDArray[np.uint8], seed: int, step: int) -> Tensor:
    """Random crops of random scenes, turned, flipped and recoloured."""
    rng = generator(seed, "batch", step)
    side, number = CROPS[int(rng.integers(len(CROPS)))]
    crops = []
    for index in rng.integers(len(scenes), size=number):
        top, left = rng.integers(SCENE_SIZE - side + 1, size=2)
        crop = np.rot90(scenes[index, top : top + side, left : left + side], int(rng.integers(4)))
        crops.append(recoloured(crop[:, ::-1] if rng.random() < 0.5 else crop, rng))
    return normalised(np.stack(crops))


def recoloured(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Change saturation (to grey in a quarter of the cases), hue, contrast and brightness."""
    colours = picture.astype(np.float32)
    grey = colours.mean(axis=2, keepdims=True)
    saturation = 0 if rng.random() < 0.25 else rng.uniform(0.4, 1.3)
    colours = (grey + (colours - grey) * saturation)[:, :, rng.permutation(3)]
    mean = colours.mean()
    colours = mean * rng.uniform(0.7, 1.3) + (colours - mean) * rng.uniform(0.5, 1.4)
    return np.asarray(np.clip(colours, 0, 255), dtype=np.float32)


def with_batch_norms(network: EmbeddedNetwork) -> EmbeddedNetwork:
    """Put a batch norm behind every convolution of stem and stages."""
    for parent in [module for module in network.modules() if not isinstance(module, nn.BatchNorm2d)]:
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and parent is not network.heads:
                child.bias = None
                setattr(parent, name, nn.Sequential(child, nn.BatchNorm2d(child.out_channels)))
    return network


def folded(trained: EmbeddedNetwork) -> EmbeddedNetwork:
    """The same function without batch norms, in evaluation mode."""
    network = with_batch_norms(EmbeddedNetwork())
    network.load_state_dict(trained.state_dict())
    network.eval()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Sequential) and isinstance(child[-1], nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(cast("nn.Conv2d", child[0]), child[-1]))
    return network


@torch.no_grad()
def explained(student: Network, teacher: Network, groups: list[Tensor]) -> list[float]:
    """Share of the teacher's variance that the student predicts, per level, over all images and channels."""
    error, total = np.zeros(3), np.zeros(3)
    wanted = [teacher(images) for images in groups]
    means = [
        torch.cat([level.mean(dim=(2, 3)) for level in levels]).mean(dim=0) for levels in zip(*wanted, strict=True)
    ]
    for images, targets in zip(groups, wanted, strict=True):
        for index, (found, target) in enumerate(zip(student(images), targets, strict=True)):
            error[index] += float((found - target).square().sum())
            total[index] += float((target - means[index].view(1, -1, 1, 1)).square().sum())
    return [float(value) for value in 1 - error / total]


class Run:
    """The state of one distillation: what a checkpoint holds."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = with_batch_norms(EmbeddedNetwork())
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(self.network.parameters(), weight_decay=WEIGHT_DECAY)
        self.step = 0
        self.elapsed = 0.0  # seconds of training
        self.losses = ""  # the latest reported, per level

    def save(self, path: Path, identity: str) -> None:
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
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
        network: dict[str, Tensor] = {}
        slots: dict[int, dict[str, Any]] = {}
        for key, tensor in load_file(path).items():
            kind, name = key.split(".", 1)
            if kind == "network":
                network[name] = tensor
            else:
                index, slot = name.split(".", 1)
                slots.setdefault(int(index), {})[slot] = tensor
        self.network.load_state_dict(network)
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": slots, "param_groups": groups})
        self.step, self.elapsed = int(header["step"]), float(header["elapsed"])

    def advance(self, images: Tensor, targets: list[Tensor], progress: float) -> list[float]:
        """One step; returns the mean squared error of each level."""
        self.network.train(progress < FREEZE_NORMS)
        rate = PEAK_RATE * min(1, progress / WARM_UP) * 0.5 * (1 + np.cos(np.pi * min(1.0, progress)))
        for group in self.optimiser.param_groups:
            group["lr"] = max(rate, 1e-6)
        losses = [
            nn.functional.mse_loss(level, target) for level, target in zip(self.network(images), targets, strict=True)
        ]
        self.optimiser.zero_grad()
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        return [float(loss.detach()) for loss in losses]


def train(
    run: Run, teacher: Teacher, scenes: NDArray[np.uint8], held_out: list[Tensor], options: argparse.Namespace
) -> None:
    """Train until `options.minutes` have passed; checkpoint and write the weights every `options.every` minutes."""
    budget = 60 * options.minutes
    identity = json.dumps([options.seed, options.scenes, options.minutes])
    checkpoint = options.work / "checkpoint.safetensors"
    if checkpoint.exists():
        run.resume(checkpoint, identity)
        print(f"resumed at step {run.step}, {run.elapsed / 60:.1f} min", flush=True)
    recent: list[list[float]] = []
    saved = run.elapsed
    while run.elapsed < budget:
        start = time.monotonic()
        images = batch(scenes, options.seed, run.step)
        recent.append(run.advance(images, teacher(images), run.elapsed / budget))
        run.elapsed += time.monotonic() - start
        if run.step % 50 == 0:
            losses = " ".join(f"{value:.3f}" for value in np.mean(recent, axis=0))
            left = (budget - run.elapsed) / 60
            print(f"step {run.step}  loss {losses}  {run.elapsed / 60:.1f} min, {left:.1f} left", flush=True)
            run.losses = losses
            recent.clear()
        if run.elapsed - saved > 60 * options.every or run.elapsed >= budget:
            saved = run.elapsed
            run.save(checkpoint, identity)
            shares = write_weights(run, teacher, held_out, options)
            print("explained on held-out scenes", " ".join(f"{share:.3f}" for share in shares), flush=True)


def write_weights(run: Run, teacher: Teacher, held_out: list[Tensor], options: argparse.Namespace) -> list[float]:
    """Fold, round to float16, measure what ships and write it with how it was made."""
    network = folded(run.network).half()
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    shares = explained(network.float(), teacher, held_out)
    header = {
        "made_by": "tools/distil_backbone.py",
        "teacher": "ResNet-18 (ImageNet), levels 1-3, standardised per channel on scenes",
        "trained_on": f"{options.scenes} procedural scenes of {SCENE_SIZE} px, crops {CROPS}",
        "seed": str(options.seed),
        "minutes": f"{run.elapsed / 60:.1f} of {options.minutes:g}",
        "steps": str(run.step),
        "training_loss": run.losses,
        "variance_explained_on_held_out_scenes": json.dumps([round(share, 4) for share in shares]),
        "input": "RGB, ImageNet mean/std",
        "licence": "Apache-2.0",
    }
    with replaced(options.output) as temporary:
        save_file(state, temporary, header)
        temporary.chmod(0o644)  # a package's file must be readable by all; safetensors makes it private
    return shares


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = Path(__file__).resolve().parents[1] / "src" / "blemish" / "backbones"
    add = parser.add_argument
    add("--teacher", type=Path, required=True, help="safetensors of ResNet-18, stem to layer3, timm's key names")
    add("--output", type=Path, default=source / WEIGHTS, help="where the weights go (default: into the package)")
    add(
        "--work",
        type=Path,
        default=Path("build/distil"),
        help="folder for scenes and checkpoint (default: %(default)s)",
    )
    add("--scenes", type=int, default=6000, help="number of training scenes (default: %(default)s)")
    add("--minutes", type=float, default=25, help="training time, scenes not counted (default: %(default)s)")
    add("--every", type=float, default=4, help="minutes between checkpoints (default: %(default)s)")
    add("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of scenes, crops and initial weights (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    try:
        if options.scenes < 1:
            raise DataError("--scenes must be at least 1.")
        teacher = Teacher(options.teacher)
        scenes = draw_scenes(options.work / f"scenes_{options.seed}_{options.scenes}.npy", options.scenes, options.seed)
        teacher.standardise(np.array(scenes[:200]))
        unseen = [scene(SCENE_SIZE, generator(options.seed, "held-out scene", index)) for index in range(HELD_OUT)]
        held_out = [normalised(np.stack(unseen[start : start + 8])) for start in range(0, HELD_OUT, 8)]
        train(Run(options.seed), teacher, scenes, held_out, options)
    except BlemishError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
