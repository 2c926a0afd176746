"""Trains OneNIP on products that never existed, so that it inspects products never seen from a few prompts.

    python tools/train_shipped.py --output src/blemish/shipped

Draws `--images` normal images of each random product, trains one model on all of them and their altered copies with the
embedded backbone, and keeps what is not about any product. Few images, so that the refiner learns from prompts such as
it will be shown. Drawn images stay in --work.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from PIL import Image
from random_products import random_product

from blemish.config import TrainConfig
from blemish.data.dataset import Dataset
from blemish.errors import BlemishError
from blemish.files import replaced_folder
from blemish.training.add_product import without_products
from blemish.training.train import TrainProgress, train

MARKER = "products.txt"
PROMPT_PATCHES = 20_000  # of each product that is shown to it
SHARE = 0.3  # of its refiner, which has not seen that product; docs/results/shipped.md


def draw_products(folder: Path, products: int, images: int, size: int, seed: int) -> None:
    """Write `folder`/<product>/<image>.png, unless it is there."""
    if folder.exists():
        return
    started = time.monotonic()
    with replaced_folder(folder, overwrite=False, marker=MARKER) as beside:
        (beside / MARKER).write_text(f"{products} products, {images} images of {size} px, seed {seed}\n")
        one = partial(_draw_product, beside, images, size, seed)
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            for number, _ in enumerate(pool.map(one, range(products)), start=1):
                if number % 20 == 0:
                    print(f"product {number} of {products}, {time.monotonic() - started:.0f} s", flush=True)


def _draw_product(folder: Path, images: int, size: int, seed: int, number: int) -> None:
    home = folder / f"product{number:04d}"
    home.mkdir()
    for index in range(images):
        Image.fromarray(random_product(number, index, size, seed)).save(home / f"{index}.png", compress_level=1)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", type=Path, default=Path("shipped.blemish"), help="model folder to write (default: %(default)s)")
    add("--work", type=Path, default=Path("build/shipped"), help="for the images (default: %(default)s)")
    add("--products", type=int, default=280, help="(default: %(default)s)")
    add("--images", type=int, default=3, help="per product, the fewer the more altered copies (default: %(default)s)")
    add("--patches", type=int, default=4000, help="of a product's prompt (default: %(default)s)")
    add("--steps", type=int, default=1500, help="(default: %(default)s)")
    add("--learning-rate", type=float, default=3e-3, help="(default: %(default)s)")
    add("--painted", type=float, default=0.35, help="share of painted pseudo-anomalies (default: %(default)s)")
    add("--error-alone", action="store_true", help="the refiner does not see the features themselves")
    add("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    add("--seed", type=int, default=0, help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        config = TrainConfig.of(
            "fast",
            backbone={"components": 0},  # its channels are few enough
            steps=options.steps,
            model={"prompt_patches": options.patches, "refiner_sees_features": not options.error_alone},
            pseudo_anomalies={"painted": options.painted},
            learning_rate=options.learning_rate,
            kept=0,
            refiner_share=SHARE,
            seed=options.seed,
        )
        folder = options.work / f"products_{options.seed}_{options.products}_{options.images}"
        draw_products(folder, options.products, options.images, config.model.size, options.seed)
        inspector = train(
            Dataset.from_folder(folder), config, output=options.output, resume=True, overwrite=True, progress=Printer()
        )
        without_products(inspector, PROMPT_PATCHES).save(options.output, overwrite=True)
    except BlemishError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


class Printer:
    """A line every ten seconds."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, progress: TrainProgress) -> None:
        if time.monotonic() - self._last > 10:
            self._last = time.monotonic()
            losses = " ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
            left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
            print(f"{progress.stage} {progress.done}/{progress.total}{left} {losses}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
