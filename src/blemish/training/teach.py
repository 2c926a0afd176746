"""The verb `teach`: categories for a trained model, from a few labelled examples or from descriptions."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from blemish.backbones.embeddings import apart, category_embeddings
from blemish.config import TeachConfig
from blemish.data.defects import DefectExample
from blemish.data.duplicates import file_hashes
from blemish.data.priors import CategoryPrior, Priors
from blemish.data.problem import Problem
from blemish.engines.torch_engine import TorchEngine
from blemish.errors import ConfigError, DataError
from blemish.files import check_target
from blemish.inspector import Inspector
from blemish.kept.examples import KeptExamples
from blemish.kept.images import KeptImages
from blemish.model_folder import CONFIG
from blemish.models.categories import CategoryHead
from blemish.naming import distinct
from blemish.training.checkpoint import RunFolder, begin_run, check_run, fingerprint
from blemish.training.left_out import calibrate_kept
from blemish.training.loop import optimise
from blemish.training.runtime import Report, counter, launch, one_seed, silent
from blemish.training.store import Store, free_megabytes
from blemish.training.teaching.compose import Composer, priors_of
from blemish.training.teaching.examples import Lesson, load_lesson
from blemish.training.teaching.fit import fit_detection
from blemish.training.teaching.source import LessonSource, pieces, subjects_of
from blemish.training.teaching.step import TeachingStep

_log = logging.getLogger(__name__)


def teach(
    inspector: Inspector,
    examples: Iterable[DefectExample],
    config: TeachConfig | None = None,
    *,
    priors: Priors | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    restart: bool = False,
    devices: str = "auto",
    progress: Report | None = None,
) -> tuple[Inspector, tuple[Problem, ...]]:
    """Add or extend categories; the OneNIP half of the model stays as it is.

    Args:
        inspector: a trained model that keeps normal images (`TrainConfig.kept`).
        examples: labelled defects; those that the model learned from before count as well.
        config: None: the preset `fast`.
        priors: descriptions; categories in them need no examples.
        output: the model folder to write; an unfinished run lies in `<output>.run` beside it. None: nothing is written.
        overwrite: whether an existing model may be replaced.
        resume: continue an unfinished run.
        restart: discard an unfinished run.
        devices: `auto` (one device: a GPU when there is one) or how many.
        progress: called often.

    Returns:
        The model with its categories, and what was left out or guessed.

    Raises:
        ConfigError: an example is of an unknown product, or a category has a reserved name.
        DataError: there is nothing to learn from.
        TrainingError: the loss is not finite, or an unfinished run is in the way.
        BlemishError: the output exists, or the disk is full.
    """
    config = TeachConfig.of("fast", seed=inspector.config.seed) if config is None else config
    examples = tuple(examples)
    target = None if output is None else Path(output)
    if target is not None:
        check_target(target, overwrite=overwrite, marker=CONFIG)
    _engine(inspector)
    described = _described(inspector, priors)
    lesson = load_lesson(inspector, examples, {name: tuple(own) for name, own in described.items()})
    kept = _kept(inspector, lesson)
    run = None if target is None else _run_folder(target, config, lesson, described, _engine(inspector))
    if run is not None:
        check_run(run, resume=resume, restart=restart)
    report = progress or silent
    fabric = launch(config.precision, devices)
    with Store(free_megabytes() / 2 / fabric.world_size) as store, one_seed(config.seed):
        head = _learn(fabric, inspector, lesson, described, kept, config, run, restart, store, report)
    engine = _engine(inspector).with_categories(head)
    taught = replace(
        inspector,
        engine=engine,
        categories=lesson.categories,
        teaching=config,
        examples=dict(lesson.examples),
        seen=inspector.seen | file_hashes(example.path for example in examples),
    )
    if config.detection_share:
        taught = fit_detection(taught, config.detection_share, report)
    if target is not None and fabric.is_global_zero:
        assert run is not None
        taught.save(target, overwrite=overwrite)
        shutil.rmtree(run.path)
    return taught, lesson.problems


def without_categories(inspector: Inspector) -> Inspector:
    """The model as it was before it learned any; its thresholds are those of OneNIP's map again."""
    if inspector.teaching is None:
        return inspector
    bare = replace(
        inspector, engine=_engine(inspector).with_categories(None), categories={}, teaching=None, examples={}
    )
    for product in inspector.categories:
        one = bare.calibration[product]
        if one.fusion.former is None or product not in bare.kept:
            continue
        one = one.model_copy(update={"fusion": one.fusion.former, "floor": None})
        bare = bare.with_calibration(bare.calibration.with_product(product, one))
        bare = calibrate_kept(bare, product)
    return bare


def _learn(
    fabric: Any,
    inspector: Inspector,
    lesson: Lesson,
    described: Mapping[str, Mapping[str, CategoryPrior]],
    kept: Mapping[str, KeptImages],
    config: TeachConfig,
    run: RunFolder | None,
    restart: bool,
    store: Store,
    report: Report,
) -> CategoryHead:
    network = _engine(inspector).network.to(fabric.device)
    names = distinct(lesson.categories)
    embeddings = _embeddings(config, names)
    head = CategoryHead(network.layout, config, embeddings, len(inspector.products)).to(fabric.device)
    composers = {
        product: Composer(
            product,
            priors_of(own, described.get(product, {})),
            kept[product],
            lesson.examples.get(product) or _none(inspector.size),
            config,
        )
        for product, own in lesson.categories.items()
    }
    source = LessonSource(
        network,
        head,
        subjects_of(composers, inspector.products, kept, lesson.categories, names),
        config,
        inspector.tiling,
        store,
        fabric.global_rank,
        fabric.world_size,
        counter(pieces(inspector.tiling) * sum(map(len, composers.values())), report, "features"),
    )
    if run is not None and fabric.is_global_zero:
        begin_run(run, restart)
    fabric.barrier()
    optimise(fabric, TeachingStep(head, config), source, config, config.steps_for(len(names)), run, report)
    if head.prototypes is not None:
        head.prototypes.learn(source.defects())
    return head.eval()


def _embeddings(config: TeachConfig, names: tuple[str, ...]) -> Tensor:
    """Anchors are made orthogonal, and wide enough for that."""
    if config.embeddings != "anchors":
        return category_embeddings(config.embeddings, names, config.width)
    return apart(category_embeddings("anchors", names, max(config.width, len(names))))


def _described(inspector: Inspector, priors: Priors | None) -> dict[str, dict[str, CategoryPrior]]:
    if priors is None:
        return {}
    priors.check_products(inspector.products)
    found = {product: priors.for_product(product) for product in inspector.products}
    return {product: own for product, own in found.items() if own}


def _kept(inspector: Inspector, lesson: Lesson) -> dict[str, KeptImages]:
    kept = {}
    for product in lesson.categories:
        if product not in inspector.kept or not len(inspector.kept[product].train):
            raise DataError(
                f"The model keeps no normal images of '{product}' to learn its categories with.",
                "Train it again without kept=0.",
            )
        kept[product] = inspector.kept[product]
    return kept


def _none(size: int) -> KeptExamples:
    return KeptExamples(np.zeros((0, size, size, 3), np.uint8), np.zeros((0, size, size), np.int16), (), ())


def _engine(inspector: Inspector) -> TorchEngine:
    if not isinstance(inspector.engine, TorchEngine):
        raise ConfigError("An exported model cannot learn.", "Teach the model that it comes from, and export that.")
    return inspector.engine


def _run_folder(
    target: Path,
    config: TeachConfig,
    lesson: Lesson,
    described: Mapping[str, Mapping[str, CategoryPrior]],
    engine: TorchEngine,
) -> RunFolder:
    settings = config.model_dump(mode="json", exclude={"checkpoint_minutes", "detection_share", "certainty"})
    digest = sha256()
    for examples in lesson.examples.values():
        digest.update(examples.images.tobytes() + examples.labels.tobytes())
    for name, tensor in engine.network.state_dict().items():
        if not name.startswith(("backbone.", "categories.")):
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    facts = {
        "settings": settings,
        "categories": lesson.categories,
        "described": {product: list(own.values()) for product, own in described.items()},
        "model and examples": digest.hexdigest(),
    }
    return RunFolder.beside(target, fingerprint(facts, []))
