"""A further product: it is inspected, and nothing else changes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from blemish.config import TeachConfig, TrainConfig
from blemish.data.dataset import Dataset
from blemish.data.defects import DefectExample, Marking
from blemish.errors import ConfigError, DataError
from blemish.inspection import Failure
from blemish.inspector import Inspector
from blemish.procedural.demo import make_demo
from blemish.training.add_product import add_products, prompted, without_products
from blemish.training.images import TrainingSet
from blemish.training.teach import teach
from blemish.training.train import train

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def rings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of a product that no model knows, and one that is no image."""
    folder = tmp_path_factory.mktemp("more") / "rings" / "train" / "good"
    folder.mkdir(parents=True)
    y, x = np.mgrid[:64, :64] - 32
    for number in range(10):
        wave = np.sin(np.hypot(x, y) * 0.9 + 0.1 * number)
        noise = np.random.default_rng(number).normal(0, 6, (64, 64, 3))
        pixels = 128 + 60 * wave[..., None] * np.array([1, 0.4, 0.2]) + noise
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder.parents[1]


def maps(inspector: Inspector, images: list[Path], product: str) -> list[Any]:
    return [one for one in inspector.inspect_many(images, product=product) if not isinstance(one, Failure)]


def images_of(folder: Path, product: str) -> list[Path]:
    return sorted((folder / product / "train" / "good").iterdir())


@pytest.mark.parametrize("tiny_config", ["none", "dynamic"], indirect=True)
def test_what_the_model_knew_stays(tiny_folder: Path, tiny_config: TrainConfig, rings: Path, tmp_path: Path) -> None:
    old = train(Dataset.from_folder(tiny_folder), tiny_config)
    examples = [
        DefectExample(path, "spots", (Marking(f"kind {row % 2}", box=(10, 10, 40, 40)),))
        for row, path in enumerate(images_of(tiny_folder, "spots")[:2])
    ]
    old, _ = teach(old, examples, TeachConfig.of("fast", steps=3, images=2))
    new, confused, failures = add_products(old, Dataset.from_folder(rings))
    assert failures == ()
    assert new.products == (*old.products, "rings")
    for product in old.products:
        images = images_of(tiny_folder, product)[:4]
        for before, after in zip(maps(old, images, product), maps(new, images, product), strict=True):
            np.testing.assert_allclose(before.anomaly_map, after.anomaly_map, rtol=1e-5, atol=1e-6)
            assert (before.score, before.p_value) == pytest.approx((after.score, after.p_value))
            assert before.category_scores == pytest.approx(after.category_scores, abs=1e-4)
        assert new.calibration[product] == old.calibration[product]
    assert new.calibration["rings"].n
    assert len(new.kept["rings"].train)
    assert [(one.product, one.before) for one in confused] == [(name, 0) for name in old.products]
    # it knows the new one, and comes back from the disk as it went
    new.save(tmp_path / "new.blemish")
    again = Inspector.load(tmp_path / "new.blemish")
    for model in (new, again):
        assert {found.product for found in map(model.inspect, images_of(rings.parent, "rings"))} == {"rings"}
    assert new.seen > old.seen


def test_an_added_product_is_as_one_that_was_there(tiny_folder: Path, tiny_config: TrainConfig, rings: Path) -> None:
    """But for standardisation, search and refiner, which learned without it: here they are those of the same model."""
    both = Dataset.from_folder(tiny_folder).merge(Dataset.from_folder(rings))
    whole = train(both, tiny_config)
    network = whole.engine.network  # type: ignore[attr-defined]
    added = whole.engine.network.get_buffer("prompts")  # type: ignore[attr-defined]
    position = whole.products.index("rings")
    base = train(Dataset.from_folder(tiny_folder), tiny_config)
    own = base.engine.network  # type: ignore[attr-defined]
    for name in ("mean", "std"):
        own.get_buffer(name).copy_(network.get_buffer(name))
    grown, _, _ = add_products(base, Dataset.from_folder(rings))
    prompts = grown.engine.network.get_buffer("prompts")  # type: ignore[attr-defined]
    np.testing.assert_allclose(prompts[-1], added[position], rtol=1e-4, atol=1e-4)
    cells = grown.engine.network.bank.get_buffer("cells")[-1]  # type: ignore[attr-defined]
    np.testing.assert_allclose(cells, network.bank.get_buffer("cells")[position], rtol=1e-2, atol=1e-2)


def test_one_image_that_cannot_be_read_does_not_lose_the_others(
    tiny_model: Inspector, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "more" / "lines" / "train" / "good"
    copytree(tiny_folder / "stripes" / "train" / "good", folder)
    dataset, config = Dataset.from_folder(folder.parents[2]), tiny_model.config
    calibrates = TrainingSet.of(dataset, config.hold_out, config.seed).held
    calibrates[0].path.write_bytes(b"no image")
    new, _, failures = add_products(tiny_model, dataset)
    assert [Path(one.source) for one in failures] == [calibrates[0].path]
    assert new.calibration["lines"].n == len(new.kept["lines"].held) == 15


def test_what_cannot_be_added(tiny_folder: Path, tiny_config: TrainConfig, tmp_path: Path) -> None:
    model = train(Dataset.from_folder(tiny_folder), tiny_config)
    with pytest.raises(ConfigError, match="already"):
        add_products(model, Dataset.from_folder(tiny_folder))
    folder = tmp_path / "broken" / "train" / "good"
    folder.mkdir(parents=True)
    for number in range(10):
        (folder / f"{number}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="can be read"):
        add_products(model, Dataset.from_folder(tmp_path / "broken"))


def test_the_command(run: Run, tiny_folder: Path, tiny_config: TrainConfig, rings: Path, tmp_path: Path) -> None:
    train(Dataset.from_folder(tiny_folder), tiny_config, output=tmp_path / "line.blemish")
    model = tmp_path / "line.blemish"
    assert run("add-product", model, rings).exit_code == 2
    result = run("add-product", model, rings, "-o", tmp_path / "line2.blemish")
    assert result.exit_code == 0, result.output
    assert "Added rings" in result.output
    assert "rings: false-alarm rate" in result.output
    assert "taken for another" in result.output
    assert Inspector.load(tmp_path / "line2.blemish").products == ("spots", "stripes", "rings")
    again = run("add-product", tmp_path / "line2.blemish", rings, "-o", tmp_path / "x")
    assert again.exit_code == 2
    assert "already" in again.output
    assert not (tmp_path / "x").exists()
    copytree(rings / "train" / "good", tmp_path / "more" / "washers" / "good")
    copytree(rings / "train" / "good", tmp_path / "more" / "clips" / "bad")
    (tmp_path / "more" / "clips" / "good").mkdir()
    without = run("add-product", model, tmp_path / "more", "-o", tmp_path / "x")
    assert (without.exit_code, "no normal training images of clips" in without.output) == (2, True), without.output


def test_a_model_that_forgot_its_products_inspects_others(
    tiny_folder: Path, tiny_config: TrainConfig, rings: Path, tmp_path: Path
) -> None:
    config = tiny_config.model_copy(update={"kept": 0})
    blank = without_products(train(Dataset.from_folder(tiny_folder), config), prompt_patches=500)
    blank.save(tmp_path / "blank.blemish")
    blank = Inspector.load(tmp_path / "blank.blemish", offline=True)
    assert blank.products == ()
    few = Dataset.from_folder(rings)
    grown, confused, _ = add_products(blank, replace(few, samples=few.samples[:2]))
    assert confused == ()
    assert grown.products == ("rings",)
    spoiled = np.asarray(Image.open(images_of(rings.parent, rings.name)[5])).copy()
    whole = grown.inspect(spoiled, product="rings")
    spoiled[20:34, 20:34] = 255
    assert grown.inspect(spoiled, product="rings").score > whole.score


def test_only_a_trained_model_forgets(tiny_folder: Path, tiny_config: TrainConfig) -> None:
    paper = TrainConfig.parse(
        tiny_config.model_dump()
        | {"model": {**tiny_config.model.model_dump(), "prompt_patches": 0, "decoder": "uniad"}}
    )
    model = train(Dataset.from_folder(tiny_folder), paper)
    with pytest.raises(ConfigError, match="forget"):
        without_products(model, 500)


def test_a_prompt_on_the_command_line(
    run: Run, tiny_folder: Path, tiny_config: TrainConfig, rings: Path, tmp_path: Path
) -> None:
    model = tmp_path / "line.blemish"
    train(Dataset.from_folder(tiny_folder), tiny_config, output=model)
    first, second, third = images_of(rings.parent, rings.name)[:3]
    options = ["--prompt", first, "--prompt", second, "--product", "rings", "--json"]
    result = run("inspect", model, third, *options)
    assert result.exit_code == 0, result.output
    assert "Prompted with 2 normal images" in result.output
    assert json.loads(result.stdout)["product"] == "rings"
    assert Inspector.load(model).products == ("spots", "stripes")
    spoken = " ".join(run("inspect", model, third, *options[:-1], "-o", tmp_path / "found").output.split())
    assert "requested 1 %, about 33 % to be expected, none promised: 2 normal images" in spoken
    assert re.search(r"rings 1 \d 1 % none", re.sub(r"[^\w %]+", "", spoken).replace("  ", " ")), spoken

    known = run("inspect", model, third, "--prompt", first, "--product", "spots")
    assert (known.exit_code, "needs no prompt" in known.output) == (2, True)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    unreadable = run("inspect", model, third, "--prompt", first, "--prompt", broken, "-o", tmp_path / "out")
    assert (unreadable.exit_code, "broken.png" in unreadable.output) == (2, True)
    assert not (tmp_path / "out").exists()


def test_the_shipped_model_needs_a_prompt(run: Run, rings: Path, tmp_path: Path) -> None:
    good = images_of(rings.parent, rings.name)[0]
    for command in (
        ("inspect", "shipped", good),
        ("evaluate", "shipped", rings),
        ("export", "shipped", "-o", tmp_path / "x"),
    ):
        result = run(*command)
        assert (result.exit_code, "knows no product yet" in result.output) == (2, True), result.output


def test_the_shipped_model_finds_defects_in_what_it_has_never_seen(tmp_path: Path) -> None:
    make_demo(tmp_path, train=1, test_normal=8, test_defective=8)
    dataset = Dataset.from_folder(tmp_path)
    prompts = [one.path for one in dataset.samples if one.product == "gear" and one.split == "train"][:1]
    inspector = prompted(Inspector.load("shipped", offline=True), prompts, "gear")
    test = dataset.test("gear")
    found = maps(inspector, [one.path for one in test], "gear")
    assert roc_auc_score([one.defective for one in test], [one.score for one in found]) > 0.8


def test_of_two_images_one_that_cannot_be_read_is_named(
    tiny_folder: Path, tiny_config: TrainConfig, rings: Path, tmp_path: Path
) -> None:
    """Two compare with each other; where one is damaged, altered copies of the other set the threshold."""
    model = train(Dataset.from_folder(tiny_folder), tiny_config)
    folder = tmp_path / "rings"
    folder.mkdir()
    for path in images_of(rings.parent, rings.name)[:2]:
        (folder / path.name).write_bytes(path.read_bytes())
    both, _, failures = add_products(model, Dataset.from_folder(folder))
    assert failures == ()
    assert (both.calibration["rings"].n, both.calibration["rings"].compared) == (2, True)
    damaged = sorted(folder.iterdir())[0]
    damaged.write_bytes(b"no image")
    single, _, (failure,) = add_products(model, Dataset.from_folder(folder))
    assert failure.source == str(damaged)
    assert (single.calibration["rings"].n, single.calibration["rings"].copied) == (24, 1)
