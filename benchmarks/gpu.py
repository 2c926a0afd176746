"""How fast OneNIP trains and inspects on a GPU: the paper's network on as many images as MVTec AD has.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --only training --steps 600

Random weights and random images, for speed does not depend on them: the preset `paper` (EfficientNet-B4, 4 + 4 layers,
batch 64) in bf16 on 3,629 images of 15 products at 224 px. Clean features are computed once; a pool of pseudo-anomalous
versions is renewed all through the schedule, at the rate of the whole of it. Appends one JSON line per measurement to
docs/results/speed.jsonl. Needs a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from blemish.backbones.backbone import build_backbone
from blemish.config import TrainConfig
from blemish.engines.torch_engine import TorchEngine
from blemish.models.prompted import PromptedNetwork
from blemish.models.transformer import use_kernels
from blemish.synthesis.pseudo import PseudoAnomalies
from blemish.training.anomalies import AnomalyMaker
from blemish.training.batches import BatchSource
from blemish.training.images import TrainingImage, TrainingSet
from blemish.training.loop import TrainProgress, optimise
from blemish.training.noise import NoiseTable
from blemish.training.runtime import launch
from blemish.training.step import TrainingStep
from blemish.training.store import Store

ROOT = Path(__file__).parents[1]
LINES = ROOT / "docs" / "results" / "speed.jsonl"
IMAGES, PRODUCTS, SIZE = 3629, 15, 224
EPOCHS = 1000
POOL, REFRESH = 4, 24  # 100 versions of each image, each seen ten times on average
WARM_UP = 150  # steps, the compilation among them
BATCHES = (1, 32, 256)


class Enough(Exception):
    """As many steps as shall be measured are done."""


def network_of(config: TrainConfig, device: torch.device) -> PromptedNetwork:
    torch.manual_seed(0)
    return PromptedNetwork(build_backbone(config.backbone, SIZE), config.model, PRODUCTS).to(device)


def training_set() -> TrainingSet:
    names = tuple(f"product {number:02}" for number in range(PRODUCTS))
    images = tuple(
        TrainingImage(Path(f"{number}.png"), names[number * PRODUCTS // IMAGES], str(number))
        for number in range(IMAGES)
    )
    return TrainingSet(names, images, images[:1])


def rate(device: torch.device, side: int = 8192, times: int = 20) -> float:
    """bf16 operations per second of a large matrix product: what this GPU gives at best."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, times)


def seconds(work: Callable[[], Any], times: int) -> float:
    """Median over `times` calls, three calls before."""
    taken = []
    for number in range(times + 3):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        if number >= 3:
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def training(steps: int, fused: bool) -> dict[str, Any]:
    """Trains for `steps` steps of the whole schedule."""
    config = TrainConfig.of("paper", pool=POOL * IMAGES, refresh=REFRESH, precision="bf16-mixed")
    fabric = launch(config.precision, "auto")
    device = fabric.device
    whole = EPOCHS * -(-IMAGES // config.batch)
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    network = network_of(config, device)
    synthesis = PseudoAnomalies(SIZE, 0)
    with Store(32_000, device) as store:
        started = time.perf_counter()
        maker = AnomalyMaker(pixels, synthesis, device, store)
        torch.cuda.synchronize()
        recolour = time.perf_counter() - started
        source = BatchSource(network, training_set(), pixels, maker, config, whole, store)
        torch.cuda.synchronize()
        clean = time.perf_counter() - started - recolour
        module = TrainingStep(network.model, config, NoiseTable(0, device))
        pool: dict[str, float] = {}
        prepare = source.prepare

        def filled(step: int) -> None:
            begun = time.perf_counter()
            prepare(step)
            torch.cuda.synchronize()
            filled_at = time.perf_counter()
            pool["seconds"] = filled_at - begun
            use_kernels(network.model, False)  # operations of our own kernels are not counted
            pool["floor"] = operations(TrainingStep(network.model, config, NoiseTable(0, device)), source)
            use_kernels(network.model, fused)
            torch.cuda.synchronize()
            pool["counting"] = time.perf_counter() - filled_at  # no part of a training

        source.prepare = filled  # type: ignore[method-assign]
        times: dict[int, float] = {}

        def report(progress: TrainProgress) -> None:
            times[progress.done] = time.perf_counter()
            if progress.done >= steps:
                raise Enough

        if fused:
            module.fuse()
        begun = time.perf_counter()
        with suppress(Enough):
            optimise(fabric, module, source, config, whole, None, report)
    first = min(done for done in times if done >= min(WARM_UP, steps // 2))
    step = (times[steps] - times[first]) / (steps - first)
    floor = pool["floor"] / rate(device)
    warm = times[first] - begun - pool["seconds"] - pool["counting"] - step * first
    total = recolour + clean + pool["seconds"] + warm + whole * step
    return {
        "what": "training" if fused else "training, not compiled",
        "milliseconds": 1000 * step,
        "images_per_second": config.batch / step,
        "operations": pool["floor"],
        "operations_per_second": pool["floor"] / floor,
        "share_of_floor": floor / step,
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30,
        "seconds_textures": recolour,
        "seconds_clean": clean,
        "seconds_pool": pool["seconds"],
        "seconds_compilation": warm,
        "projected_minutes": total / 60,
    }


def operations(module: TrainingStep, source: BatchSource) -> float:
    """Floating-point operations of a training step, forward and backward."""
    batch, rng = source.batch(0)
    with FlopCounterMode(display=False) as counter, torch.autocast("cuda", torch.bfloat16):
        module(batch, rng)["total"].backward()
    module.zero_grad()
    return float(counter.get_total_flops())


def inspection() -> list[dict[str, Any]]:
    """Images through the whole chain, from pixels in memory to maps in memory."""
    config = TrainConfig.of("paper")
    engine = TorchEngine(network_of(config, torch.device("cuda")))
    rows = []
    for batch in BATCHES:
        pixels = np.random.default_rng(0).integers(0, 256, (batch, SIZE, SIZE, 3), dtype=np.uint8)
        taken = seconds(lambda images=pixels: engine.run(images), 20)
        rows.append(
            {
                "what": f"inspection, batch {batch}",
                "milliseconds": 1000 * taken,
                "images_per_second": batch / taken,
                "memory_gib": torch.cuda.max_memory_allocated() / 2**30,
            }
        )
    return rows


def commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="steps to measure, the first 150 of them not")
    parser.add_argument("--only", nargs="+", choices=["training", "plain", "inspection"])
    parser.add_argument("--output", type=Path, default=LINES)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("There is no GPU that PyTorch can use; nothing was measured.")
    torch.backends.cuda.matmul.allow_tf32 = True
    work: dict[str, Callable[[], Any]] = {
        "inspection": inspection,
        "plain": lambda: [training(min(arguments.steps, 300), fused=False)],
        "training": lambda: [training(arguments.steps, fused=True)],
    }
    for name, measure in work.items():
        if arguments.only and name not in arguments.only:
            continue
        torch.cuda.reset_peak_memory_stats()
        for row in measure():
            row |= {
                "device": torch.cuda.get_device_name(),
                "cores": os.cpu_count(),
                "torch": torch.__version__,
                "python": platform.python_version(),
                "commit": commit(),
            }
            print(json.dumps(row), flush=True)
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            with open(arguments.output, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
