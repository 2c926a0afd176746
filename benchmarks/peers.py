"""anomalib's PatchCore and PaDiM on the same images and weights as `real.py`.

    pip install 'blemish[bench]'
    python benchmarks/peers.py --models patchcore padim --seeds 0

anomalib has no multi-product mode: `one class` merges the normal images of all products, as a user with one model for
the line would, and `per product` fits one model to each and is told which image shows what. Every run is a process of
its own, whose peak of memory is noted. Lines go to docs/results/real.jsonl.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from real import FOLDERS, LINES, ROOT, SIZE, Scoring, append, commit, finished, unjudged
from safetensors.torch import load_file

from blemish.backbones.description import IMAGENET_MEAN, IMAGENET_STD
from blemish.backbones.torchvision_import import import_torchvision
from blemish.data.dataset import Dataset
from blemish.data.decode import load_square
from blemish.data.sample import Sample

# Of the patches, by the farthest-first search that anomalib calls coreset. Its default of a tenth would go
# 146,000 times through the 1.46 million patches of all products.
CORESET = 0.001
BATCH = 16


def images(samples: Sequence[Sample]) -> torch.Tensor:
    """Squashed and normalised: B×3×S×S."""
    pixels = torch.from_numpy(np.stack([load_square(sample.path, SIZE) for sample in samples]))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels.permute(0, 3, 1, 2) / 255 - mean) / std


def fitted(name: str, weights: Path, normals: Sequence[Sample], coreset: float, seed: int) -> Any:
    """A model of anomalib, fitted to normal images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it deprecates parts of itself on import
        import_torchvision()
        from anomalib.models.image.padim.torch_model import PadimModel
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    torch.manual_seed(seed)
    if name == "padim":
        model: Any = PadimModel("resnet18", ["layer1", "layer2", "layer3"], pre_trained=False)
    else:
        model = PatchcoreModel(["layer2", "layer3"], "resnet18", pre_trained=False)
    network = model.feature_extractor.feature_extractor
    state = {key: tensor.float() for key, tensor in load_file(weights).items()}
    network.load_state_dict({key: state[key] for key in network.state_dict() if key in state}, strict=False)
    missing = [key for key in network.state_dict() if key not in state and not key.endswith("num_batches_tracked")]
    assert not missing, missing
    model.train()
    model.feature_extractor.eval()
    for start in range(0, len(normals), BATCH):
        model(images(normals[start : start + BATCH]))
    if name == "padim":
        model.fit()
    else:
        model.subsample_embedding(coreset)
    return model.eval()


@torch.inference_mode()
def inspected(model: Any, samples: Sequence[Sample], scoring: Scoring) -> None:
    """Score test images as anomalib does."""
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        found = model(images(batch))
        for sample, score, anomaly_map in zip(batch, found.pred_score.flatten(), found.anomaly_map, strict=True):
            scoring.add(sample, unjudged(sample, float(score)), anomaly_map.squeeze().float().numpy())


def run(name: str, merged: bool, seed: int, options: argparse.Namespace) -> None:
    """Fit, inspect and append the lines of one variant."""
    torch.set_num_threads(options.threads)
    dataset = Dataset.from_folder(*(options.shared / "data" / folder for folder in FOLDERS))
    weights = options.shared / "weights" / "resnet18_imagenet_to_layer3_fp16.safetensors"
    scoring, trained, started = Scoring(SIZE), 0.0, time.monotonic()
    groups = [list(dataset.products)] if merged else [[product] for product in dataset.products]
    for products in groups:
        beginning = time.monotonic()
        normals = [sample for product in products for sample in dataset.train_normals(product)]
        model = fitted(name, weights, normals, options.coreset, seed)
        trained += time.monotonic() - beginning
        print(f"  {', '.join(products)}: fitted in {time.monotonic() - beginning:.0f} s", flush=True)
        for product in products:
            inspected(model, dataset.test(product), scoring)
    label = variant(name, merged)
    append(options.lines, label, seed, options.commit, scoring.finish(), {}, trained, time.monotonic() - started)


def variant(name: str, merged: bool) -> str:
    title = {"patchcore": "PatchCore", "padim": "PaDiM"}[name]
    return f"anomalib {title}, {'one class' if merged else 'per product'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data/ and weights/")
    add("--models", nargs="+", choices=["patchcore", "padim"], default=["padim", "patchcore"])
    add("--modes", nargs="+", choices=["merged", "single"], default=["merged", "single"], help="one model or many")
    add("--seeds", nargs="+", type=int, default=[0])
    add("--coreset", type=float, default=CORESET, help="share of patches that PatchCore keeps (default: %(default)s)")
    add("--threads", type=int, default=2)
    add("--lines", type=Path, default=LINES, help="where results go (default: %(default)s)")
    add("--commit", help=argparse.SUPPRESS)
    add("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.commit = options.commit or commit()
    for seed in options.seeds:
        for name in options.models:
            for mode in options.modes:
                if (variant(name, mode == "merged"), seed) in finished(options.lines):
                    continue
                print(f"{variant(name, mode == 'merged')}, seed {seed}", flush=True)
                if options.here:
                    run(name, mode == "merged", seed, options)
                    continue
                own = ["--here", "--models", name, "--modes", mode, "--seeds", str(seed), "--commit", options.commit]
                subprocess.run([sys.executable, *sys.argv, *own], check=True)


if __name__ == "__main__":
    main()
