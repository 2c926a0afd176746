"""How much faster Blemish is than OneNIP as the paper draws it, on this machine: inspecting, training, metrics, start.

    python benchmarks/speed.py                          # everything
    python benchmarks/speed.py --rows inspect training
    python benchmarks/speed.py --rows names             # whether a narrow decoder names as well; hours without a GPU
    python benchmarks/speed.py --page                   # docs/performance.md from what was measured

Each row is a ratio: the plain version (`plain.py`) and ours take turns in one run, and the median of the ratios of
neighbouring turns counts. Weights and images are random, for speed does not depend on them; before anything is timed,
both are compared. Appends one JSON line per row to docs/results/speed.jsonl.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lessons import PAPER_DECODER, Lessons
from metrics import make_product, scikit_learn_metrics
from numpy.typing import NDArray
from PIL import Image
from plain import PlainOneNIP, PlainTraining
from speed_page import write_page
from torch.utils.flop_counter import FlopCounterMode

from blemish.backbones.backbone import build_backbone
from blemish.calibration import Calibration, ProductCalibration
from blemish.config import TeachConfig, TrainConfig
from blemish.engines.engine import Engine
from blemish.engines.load import load_exported
from blemish.engines.torch_engine import TorchEngine
from blemish.evaluation.evaluate import evaluate
from blemish.evaluation.metrics import pixel_metrics
from blemish.export.network import write_network
from blemish.inspection import Inspection
from blemish.inspector import Inspector
from blemish.model_folder import Exported, ExportFormat, ExportPrecision
from blemish.models.prompted import PromptedNetwork
from blemish.synthesis.pseudo import PseudoAnomalies
from blemish.training.anomalies import AnomalyMaker
from blemish.training.batches import BatchSource
from blemish.training.images import TrainingImage, TrainingSet
from blemish.training.noise import NoiseTable
from blemish.training.step import TrainingStep
from blemish.training.store import Store
from blemish.training.teach import teach
from blemish.training.train import TrainProgress, train

ROOT = Path(__file__).parents[1]
LINES = ROOT / "docs" / "results" / "speed.jsonl"
SIZE, PRODUCTS = 224, 3
BATCH = 16
TURNS = 7
FOLDER_IMAGES, FOLDER_TURNS = 1000, 5

Pixels = NDArray[np.uint8]


def random_images(count: int, seed: int = 0) -> Pixels:
    """Smooth and noisy at once."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 14, 14, 3), dtype=np.uint8)
    smooth = np.stack(
        [np.asarray(Image.fromarray(one).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for one in small]
    )
    return np.clip(smooth + rng.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)


def paper_network(prompts: Pixels) -> PromptedNetwork:
    """The paper's: EfficientNet-B4, 4 + 4 layers, one prompt image per product."""
    torch.manual_seed(0)
    config = TrainConfig.of("paper")
    network = PromptedNetwork(build_backbone(config.backbone, SIZE), config.model, PRODUCTS).eval()
    with torch.no_grad():
        network.set_prompts(network.tokens(torch.from_numpy(prompts)))
    return network


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def turns(plain: Callable[[], Any], ours: Callable[[], Any], count: int, warm: int = 2) -> dict[str, Any]:
    """Both in turn; milliseconds, and the median of the ratios with the smallest and the largest one."""
    for _ in range(warm):
        plain()
        ours()
    pairs = [(seconds(plain), seconds(ours)) for _ in range(count)]
    ratios = sorted(one / other for one, other in pairs)
    return {
        "plain_ms": 1000 * statistics.median(one for one, _ in pairs),
        "ours_ms": 1000 * statistics.median(other for _, other in pairs),
        "ratio": statistics.median(ratios),
        "from": ratios[0],
        "to": ratios[-1],
        "turns": count,
    }


def operations(work: Callable[[], Any]) -> float:
    """Floating-point operations of products and convolutions."""
    torch.backends.mha.set_fastpath_enabled(False)  # what it fuses is not counted
    with FlopCounterMode(display=False) as counter:
        work()
    torch.backends.mha.set_fastpath_enabled(True)
    return float(counter.get_total_flops())


def rate(dtype: torch.dtype, side: int = 2048, times: int = 12) -> float:
    """Operations per second of a matrix product on this machine: what it gives at best."""
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    a @ b
    return 2 * side**3 / min(seconds(lambda: a @ b) for _ in range(times))


ENGINES: dict[str, tuple[ExportFormat, ExportPrecision] | None] = {
    "PyTorch": None,
    "ONNX Runtime": ("onnx", "float32"),
    "OpenVINO": ("openvino", "float32"),
    "OpenVINO, bf16": ("openvino", "half"),
}


def engines(network: PromptedNetwork, folder: Path, names: Sequence[str]) -> Iterator[tuple[str, Engine]]:
    """Everything that can run the network, as far as it is asked for."""
    for name in names:
        kind = ENGINES[name]
        if kind is None:
            yield name, TorchEngine(network, "cpu")
            continue
        format, precision = kind
        target = folder / f"{format}-{precision}"
        target.mkdir()
        write_network(network, target, format, precision)
        yield name, load_exported(target, Exported(engine=format, precision=precision), format, "cpu")


def inspect_rows(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One image at a time, from pixels to maps."""
    prompts, images = random_images(PRODUCTS, 1), random_images(8)
    network = paper_network(prompts)
    plain = PlainOneNIP(network, prompts).eval()
    expected = [plain.inspect(images[row : row + 1], 1) for row in range(len(images))]
    ours = TorchEngine(network, "cpu")
    floors = {
        "operations": operations(lambda: ours.run(images[:1], 1)),
        "operations_plain": operations(lambda: plain.inspect(images[:1], 1)),
        "rate": rate(torch.float32),
        "rate_bf16": rate(torch.bfloat16),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, engine in engines(network, Path(folder), names):
            scale = max(float(one.max()) for one, _ in expected)
            difference = max(
                float(np.abs(engine.run(images[row : row + 1], 1).reconstruction - one.numpy()).max()) / scale
                for row, (one, _) in enumerate(expected)
            )
            times = turns(lambda: plain.inspect(images[:1], 1), lambda one=engine: one.run(images[:1], 1), TURNS)
            yield {"what": "inspect one image", "how": name, **times, "difference": difference, **floors}


def folder_rows(count: int, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A folder, decoding included, to verdicts."""
    prompts = random_images(PRODUCTS, 1)
    network = paper_network(prompts)
    plain = PlainOneNIP(network, prompts).eval()
    part = count // FOLDER_TURNS
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = []
        for number, pixels in enumerate(random_images(50)):
            paths.append(folder / f"{number}.png")
            Image.fromarray(pixels).resize((512, 512)).save(paths[-1])
        paths = [paths[number % len(paths)] for number in range(part)]

        def loop() -> None:
            for path in paths:
                with Image.open(path) as image:
                    pixels = np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR))
                maps = plain.inspect(pixels[None], 1)
                float(maps[0].max())

        for name, engine in engines(network, folder, names):
            inspector = _inspector(engine)

            def ours(one: Inspector = inspector) -> None:
                for result in one.inspect_many(paths, product="product 1"):
                    assert isinstance(result, Inspection)

            yield {
                "what": f"inspect a folder of {count:,} images",
                "how": name,
                "images_per_turn": part,
                **turns(loop, ours, FOLDER_TURNS, warm=0),
            }


def _inspector(engine: Engine) -> Inspector:
    one = ProductCalibration(
        scores=np.linspace(1e6, 2e6, 20), peaks=np.linspace(1e6, 2e6, 20), similarities=np.linspace(0.5, 1, 20)
    )
    names = tuple(f"product {number}" for number in range(PRODUCTS))
    return Inspector(engine, names, TrainConfig.of("paper"), Calibration(products=dict.fromkeys(names, one)))


class OurTraining:
    """Steps of the paper's network as `blemish train` makes them, features and pool computed beforehand."""

    def __init__(self, network: PromptedNetwork, pixels: Pixels, config: TrainConfig, store: Store) -> None:
        names = tuple(f"product {number}" for number in range(PRODUCTS))
        images = tuple(TrainingImage(Path(f"{row}.png"), names[row % PRODUCTS], str(row)) for row in range(len(pixels)))
        cpu = torch.device("cpu")
        maker = AnomalyMaker(pixels, PseudoAnomalies(SIZE, 0), cpu, store)
        self._source = BatchSource(network, TrainingSet(names, images, images[:1]), pixels, maker, config, 1000, store)
        self._source.prepare(0)
        self._module = TrainingStep(network.model.train(), config, NoiseTable(0, cpu))
        self._optimizer = torch.optim.AdamW(self._module.parameters(), lr=1e-4, weight_decay=1e-4)
        self._config, self._number = config, 0

    def step(self) -> float:
        """One step; the loss."""
        batch, rng = self._source.batch(self._number)
        self._number += 1
        with torch.autocast("cpu", torch.bfloat16, enabled=self._config.precision != "32-true"):
            losses = self._module(batch, rng)
        losses["total"].backward()
        torch.nn.utils.clip_grad_norm_(self._module.parameters(), self._config.clip)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return float(losses["total"].detach())


def training_rows() -> Iterator[dict[str, Any]]:
    """One step of the paper's network, batch 16."""
    pixels = random_images(64)
    network = paper_network(pixels[:PRODUCTS])
    plain = PlainTraining(PlainOneNIP(network, pixels[:PRODUCTS]), pixels, BATCH)
    for how, precision in (("float32", "32-true"), ("bf16", "bf16-mixed")):
        with Store(4000) as store:
            config = TrainConfig.of("paper", batch=BATCH, pool=2 * len(pixels), precision=precision)
            ours = OurTraining(network, pixels, config, store)
            floors = {
                "operations": operations(ours.step),
                "operations_plain": operations(plain.step),
                "rate": rate(torch.float32),
                "rate_bf16": rate(torch.bfloat16),
            }
            times = turns(plain.step, ours.step, TURNS)
        yield {"what": f"one training step, batch {BATCH}", "how": how, **times, **floors}


def metrics_rows(images: int, count: int) -> Iterator[dict[str, Any]]:
    """All pixel metrics of one product."""
    maps, masks = make_product(images, SIZE, 0.03, 0)

    def plain() -> tuple[float, ...]:
        return (*scikit_learn_metrics(maps, masks), plain_aupro(maps, masks))

    def ours() -> Any:
        return pixel_metrics(maps, masks)

    found, expected = ours(), plain()
    for name, value, tolerance in zip(
        ("p_auroc", "p_ap", "p_f1max", "aupro_30"), expected, (1e-6, 1e-6, 1e-6, 0.02), strict=True
    ):
        assert abs(getattr(found, name) - value) < tolerance, name
    yield {"what": f"metrics of {images:,} maps", "how": "exact", **turns(plain, ours, count, warm=0)}


def plain_aupro(maps: NDArray[np.float32], masks: NDArray[np.bool_], thresholds: int = 200) -> float:
    """AUPRO up to 0.3 from 200 thresholds, as evaluation scripts usually compute it."""
    from scipy.ndimage import label

    regions = [
        maps[row][labels == number]
        for row in range(len(maps))
        if masks[row].any()
        for labels, count in [label(masks[row], np.ones((3, 3)))]
        for number in range(1, count + 1)
    ]
    negatives = maps[~masks]
    points = []
    for threshold in np.linspace(maps.max(), maps.min(), thresholds):
        alarms = float((negatives > threshold).mean())
        overlap = float(np.mean([(region > threshold).mean() for region in regions]))
        points.append((alarms, overlap))
        if alarms > 0.3:
            break
    x, y = (np.array(axis) for axis in zip(*points, strict=True))
    last = float(np.interp(0.3, x, y))
    inside = x <= 0.3
    return float(np.trapezoid(np.append(y[inside], last), np.append(x[inside], 0.3)) / 0.3)


def teaching_rows() -> Iterator[dict[str, Any]]:
    """Learning the names of five categories, as `fast` does and with the paper's decoder of width 1024.

    The images that both learn from are the same, so what comes before the steps is measured once; of the paper's
    decoder a few steps are measured.
    """
    with tempfile.TemporaryDirectory() as temporary:
        lessons = Lessons.drawn(Path(temporary) / "demo")
        model = train(lessons.normal, TrainConfig.of("fast", steps=5))

        def taught(changes: dict[str, Any]) -> tuple[float, float]:
            """Seconds before the first step and of one step."""
            times: dict[tuple[str, int], float] = {}
            started = time.perf_counter()

            def report(progress: TrainProgress) -> None:
                times[progress.stage, progress.done] = time.perf_counter()

            teach(model, lessons.examples, TeachConfig.of("fast", **changes), progress=report)
            before = max(at for (stage, _), at in times.items() if stage == "features")
            done, last = max((done, at) for (stage, done), at in times.items() if stage == "training")
            return before - started, (last - before) / done

        pairs = []
        for _ in range(3):
            plain_before, plain_step = taught({**PAPER_DECODER, "steps": 3})
            before, step = taught({})
            steps = TeachConfig.of("fast").steps_for(lessons.categories)
            pairs.append((plain_before + steps * plain_step, before + steps * step, plain_step / step))
        ratios = sorted(one / other for one, other, _ in pairs)
        yield {
            "what": f"UniADC, learning {lessons.categories} categories",
            "how": f"fast; a step alone {statistics.median(one for *_, one in pairs):.0f} ×",
            "plain_ms": 1000 * statistics.median(one for one, *_ in pairs),
            "ours_ms": 1000 * statistics.median(other for _, other, _ in pairs),
            "ratio": statistics.median(ratios),
            "from": ratios[0],
            "to": ratios[-1],
            "turns": len(pairs),
        }


def names_rows(size: int, seeds: int) -> Iterator[dict[str, Any]]:
    """Names given rightly after learning with `fast` and with the paper's decoder, from the same drawn images."""
    kinds: dict[str, dict[str, Any]] = {"fast": {}, "the paper's, width 1024": PAPER_DECODER}
    jobs = [(kind, seed) for seed in range(seeds) for kind in kinds]
    changes = [(seed, size, kinds[kind]) for kind, seed in jobs]
    if torch.cuda.is_available():
        with ProcessPoolExecutor(len(jobs), multiprocessing.get_context("spawn")) as pool:
            found = dict(zip(jobs, pool.map(_named, changes), strict=True))
    else:
        found = dict(zip(jobs, map(_named, changes), strict=True))
    for kind in kinds:
        yield {
            "what": f"{kind}, {size} px",
            "accuracy": [found[kind, seed][0] for seed in range(seeds)],
            "seconds_taught": statistics.median(found[kind, seed][1] for seed in range(seeds)),
        }


def _named(job: tuple[int, int, dict[str, Any]]) -> tuple[float, float]:
    """Share of the test images that are named rightly, and how long learning took."""
    seed, size, changes = job
    precision = "32-true" if torch.cuda.is_available() else "bf16-mixed"
    with tempfile.TemporaryDirectory() as temporary:
        lessons = Lessons.drawn(Path(temporary) / "demo", seed, test=12)
        config = TrainConfig.of("fast", seed=seed, steps=200, hold_out=0.4, false_alarm_rate=0.1, model={"size": size})
        model = train(lessons.normal, config)
        started = time.perf_counter()
        taught, _ = teach(model, lessons.examples, TeachConfig.of("fast", seed=seed, precision=precision, **changes))
        taken = time.perf_counter() - started
        accuracy = evaluate(taught, lessons.test).mean("accuracy")
    assert accuracy is not None
    print(f"  seed {seed}, {changes}: {accuracy:.3f} after {taken:.0f} s", file=sys.stderr, flush=True)
    return accuracy, taken


def start_rows(model: Path) -> Iterator[dict[str, Any]]:
    """One image from the shell: a trained model and what it was exported to, in a new process each."""
    from blemish.export import export

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        Image.fromarray(random_images(1)[0]).save(folder / "one.png")
        trained = Inspector.load(model)
        export(trained, folder / "onnx.blemish")
        program = [sys.executable, "-m", "blemish", "inspect"]

        def run(name: Path) -> Callable[[], None]:
            command = [*program, str(name), str(folder / "one.png"), "--json", "--product", trained.products[0]]
            return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        times = turns(run(model), run(folder / "onnx.blemish"), TURNS)
        yield {"what": "start: inspect one image from the shell", "how": "ONNX Runtime beside PyTorch", **times}


def about() -> dict[str, Any]:
    """Where and with what it was measured."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    processor = f"{platform.machine()}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else processor,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": found.stdout.strip() or "unknown",
        "command": shlex.join(["python", *sys.argv]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("inspect", "folder", "training", "teaching", "metrics", "start", "names")
    parser.add_argument("--rows", nargs="+", choices=names, default=names[:-1])
    parser.add_argument("--by", nargs="+", choices=list(ENGINES), default=list(ENGINES), help="what inspects")
    parser.add_argument("--images", type=int, default=FOLDER_IMAGES, help="of the folder")
    parser.add_argument("--maps", type=int, default=1725, help="of the metrics")
    parser.add_argument("--turns", type=int, default=5, help="of the metrics")
    parser.add_argument("--size", type=int, default=SIZE, help="of the images whose defects are named")
    parser.add_argument("--seeds", type=int, default=3, help="of the names")
    parser.add_argument("--model", type=Path, help="a trained model, for the start; without one the row is left out")
    parser.add_argument("--page", action="store_true", help="write docs/performance.md and do nothing else")
    arguments = parser.parse_args()
    if arguments.page:
        write_page(LINES, ROOT / "docs" / "performance.md")
        return
    rows: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "inspect": lambda: inspect_rows(arguments.by),
        "folder": lambda: folder_rows(arguments.images, arguments.by),
        "training": training_rows,
        "teaching": teaching_rows,
        "metrics": lambda: metrics_rows(arguments.maps, arguments.turns),
        "names": lambda: names_rows(arguments.size, arguments.seeds),
        "start": lambda: start_rows(arguments.model) if arguments.model else iter(()),
    }
    for name in arguments.rows:
        for row in rows[name]():
            line = json.dumps({**row, **about()})
            print(line, flush=True)
            with open(LINES, "a", encoding="utf-8") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
