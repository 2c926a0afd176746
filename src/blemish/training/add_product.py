"""The verb `add-product`: further products for a trained model, which is not trained again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from blemish.calibration import Calibration
from blemish.data.dataset import Dataset
from blemish.data.decode import load_square
from blemish.data.duplicates import file_hashes
from blemish.data.sample import Sample
from blemish.engines.torch_engine import TorchEngine
from blemish.errors import ConfigError, DataError
from blemish.inspection import Failure
from blemish.inspector import Inspector
from blemish.models.categories import CategoryHead
from blemish.models.prompted import PromptedNetwork
from blemish.training.features import clean_features, load_pixels, standardised
from blemish.training.fit import blank_calibration, fit_products
from blemish.training.images import TrainingSet, choose_prompts, without_unreadable
from blemish.training.kept import keep_images
from blemish.training.loop import TrainProgress
from blemish.training.neighbours import fill_bank
from blemish.training.runtime import counter, silent
from blemish.training.store import Store, free_megabytes
from blemish.training.train import intensity_ranges

_AT_ONCE = 64


@dataclass(frozen=True)
class Confused:
    """Normal images of a product that the model knew, and how many of them it now takes for another one."""

    product: str
    images: int
    before: int
    after: int


def add_products(
    inspector: Inspector,
    dataset: Dataset,
    *,
    rois: dict[str, NDArray[np.bool_]] | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
) -> tuple[Inspector, tuple[Confused, ...], tuple[Failure, ...]]:
    """Let a model inspect further products, from normal images of each.

    The network stays as it is: only prompts, thresholds and kept images are added. What it says of an image whose
    product is named does not change; which product an image is taken for may, since there are more to choose from.

    Args:
        inspector: a trained model.
        dataset: normal training images of the new products.
        rois: per new product a bool H×W mask, true where defects count.
        progress: called often.

    Returns:
        The model; how often it takes images of the products that it knew for others, before and after; and images that
        could not be read.

    Raises:
        ConfigError: a product is known already, or the model was exported.
        DataError: there are no normal images, or none of a product can be read.
    """
    engine = inspector.engine
    if not isinstance(engine, TorchEngine):
        raise ConfigError(
            "An exported model cannot learn a product.", "Add it to the model that it comes from, and export that."
        )
    config, tiling, report = inspector.config, inspector.tiling, progress or silent
    dataset, unreadable = without_unreadable(dataset)
    training = TrainingSet.of(dataset, config.hold_out, config.seed, composed=config.model.prompt_patches > 0)
    if known := sorted(set(training.products) & set(inspector.products)):
        raise ConfigError(f"The model knows the product '{known[0]}' already.", "Rename the folder of the new one.")
    ranges = intensity_ranges(training)
    with Store(free_megabytes() / 2, engine.device) as store:
        pixels, images, failures = load_pixels(training.train, tiling, ranges, config.seed, store)
        training = TrainingSet(training.products, images, training.held)
        for name in training.products:
            if not len(training.indices(name)):
                raise DataError(f"No image of '{name}' can be read.", "blemish check DATA names what is wrong.")
        network = _grown(engine.network, inspector, len(training.products))
        _prompt(network, training, pixels, inspector, store, report)
        blank, count = inspector.calibration, len(inspector.products) + len(training.products)
        for name in training.products:
            blank = blank.with_product(name, blank_calibration(config, ranges[name], count))
        grown = replace(
            inspector,
            engine=TorchEngine(network, str(engine.device)),
            products=(*inspector.products, *training.products),
            calibration=blank,
            seen=inspector.seen | file_hashes(image.path for image in images[:: tiling.tiles]),
        )
        for name, mask in (rois or {}).items():
            grown = grown.with_roi(name, mask)
        grown, training = fit_products(grown, training, report, learned=False, left_out=failures.append)
        kept = keep_images(training, pixels, tiling, ranges, config.kept, config.seed)
    former = {name: inspector.kept[name] for name in inspector.products if name in inspector.kept}
    grown = replace(grown, kept={**former, **kept})
    return grown, _confused(inspector, grown), (*unreadable, *failures)


def prompted(inspector: Inspector, images: Sequence[Path], product: str) -> Inspector:
    """The model with one more product, which it knows from a few normal images: OneNIP's prompt taken at its word.

    Args:
        inspector: a trained model.
        images: files that show normal parts; one is enough.
        product: its name.

    Raises:
        ImageError: one of the images cannot be read.
        ConfigError: the product is known already, or the model was exported.
    """
    if product in inspector.products:
        raise ConfigError(
            f"The model knows the product '{product}', so it needs no prompt.", "Name another one: --product."
        )
    for path in images:
        load_square(path, inspector.size)  # of several images none may be left out
    samples = tuple(Sample(path, product, "train", "normal") for path in images)
    return add_products(inspector, Dataset(samples))[0]


def without_products(inspector: Inspector, prompt_patches: int) -> Inspector:
    """What a model has learned that is about no product: one to add products to.

    Args:
        inspector: a trained model.
        prompt_patches: of each product that will be added.

    Raises:
        ConfigError: the model was exported, has categories, or prompts with one image.
    """
    engine = inspector.engine
    if not isinstance(engine, TorchEngine) or inspector.categories or engine.network.bank is None:
        raise ConfigError("Only a trained model with composed prompts and without categories can forget its products.")
    model = inspector.config.model.model_copy(update={"prompt_patches": prompt_patches})
    network = PromptedNetwork(engine.network.backbone, model, 0).to(engine.device)
    _copy_rows(engine.network, network)
    return Inspector(
        TorchEngine(network, str(engine.device)),
        (),
        inspector.config.model_copy(update={"model": model}),
        Calibration(),
        curve=inspector.curve,
    )


def _grown(network: PromptedNetwork, inspector: Inspector, more: int) -> PromptedNetwork:
    """The same network with room for more products behind those that it has."""
    count = len(inspector.products) + more
    grown = PromptedNetwork(network.backbone, inspector.config.model, count).to(network.device)
    _copy_rows(network, grown)
    if network.categories is not None:
        assert inspector.teaching is not None
        embeddings = network.categories.get_buffer("embeddings")
        head = CategoryHead(network.layout, inspector.teaching, embeddings, count).to(network.device)
        _copy_rows(network.categories, head)
        grown.categories = head.eval()
    return grown.eval()


@torch.no_grad()
def _copy_rows(old: nn.Module, new: nn.Module) -> None:
    """Copy weights; of what there is for each product, the rows of those that are known."""
    state = new.state_dict()
    for name, value in old.state_dict().items():
        if name in state:
            target = state[name]
            if not value.ndim:
                target.copy_(value)
            elif rows := min(len(value), len(target)):
                target[:rows].copy_(value[:rows])


@torch.no_grad()
def _prompt(
    network: PromptedNetwork,
    training: TrainingSet,
    pixels: NDArray[np.uint8],
    inspector: Inspector,
    store: Store,
    report: Callable[[TrainProgress], None],
) -> None:
    """Set the prompts of the new products, and their parts of the bank."""
    clean = clean_features(network, pixels, store, counter(len(pixels), report, "features"))
    parts = [clean[start : start + _AT_ONCE] for start in range(0, len(clean), _AT_ONCE)]
    means = np.concatenate([standardised(network, part).mean(dim=(2, 3)).cpu().numpy() for part in parts])
    rows = choose_prompts(training, means)
    first = len(inspector.products)
    network.get_buffer("prompts")[first:] = standardised(network, clean[torch.from_numpy(rows)])
    if network.bank is not None:
        advance = counter(len(pixels), report, "prompts")
        for number, name in enumerate(training.products):
            rows = training.indices(name)
            fill_bank(network, first + number, clean, rows, inspector.config.seed, name, advance)


def _confused(old: Inspector, new: Inspector) -> tuple[Confused, ...]:
    """How often either takes kept normal images for another product than their own."""
    found = []
    for name in old.products:
        images = list(old.kept[name].held) if name in old.kept else []
        before, after = (_others(model, images, name) for model in (old, new))
        found.append(Confused(name, len(images), before, after))
    return tuple(found)


def _others(inspector: Inspector, images: list[NDArray[np.uint8]], product: str) -> int:
    raw = inspector.raw_maps(images)
    return sum(not isinstance(one, Failure) and one.product != product for one in raw)
