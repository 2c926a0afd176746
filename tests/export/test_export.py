"""Exported models: equal to the one they come from, for both runtimes, with and without prompt bank and categories."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from blemish.cli.app import app
from blemish.config import TrainConfig
from blemish.data.dataset import Dataset
from blemish.data.decode import read_image
from blemish.errors import BlemishError, ConfigError, ModelError
from blemish.export import export, network
from blemish.inspection import Inspection
from blemish.inspector import Inspector
from blemish.models.prompted import PromptedNetwork
from blemish.training.calibrate import calibrate
from blemish.training.teach import teach
from blemish.training.train import train

FORMATS = ("onnx", "openvino")
ABSENT = ("torch", "scipy", "timm", "safetensors", "lightning_fabric", "onnx")
PAPER = {
    "backbone": {"name": "embedded"},
    "model": {"size": 64, "width": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "feedforward": 64},
    "batch": 4,
    "steps": 4,
    "pool": 1,
    "hold_out": 0.4,
}


@pytest.fixture(scope="module", autouse=True)
def traced_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Equal networks are traced once; formats and precisions begin with the same graph."""
    folder = tmp_path_factory.mktemp("graphs")
    trace = network.write_graph

    def write(one: PromptedNetwork, path: Path) -> None:
        weights = one.state_dict()
        digest = sha256(repr(one).encode())
        for name in sorted(weights):
            digest.update(name.encode() + weights[name].numpy().tobytes())
        kept = folder / digest.hexdigest()
        if not kept.exists():
            trace(one, kept)
        shutil.copy(kept, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "write_graph", write)
        yield


@pytest.fixture(scope="module")
def plain(tiny_taught: tuple[Inspector, Path], tiny_dataset: Dataset) -> dict[str, Inspector]:
    """A taught model with a prompt bank, and the paper's network."""
    return {"taught": Inspector.load(tiny_taught[1]), "paper": train(tiny_dataset, TrainConfig.of("paper", **PAPER))}


@pytest.fixture(scope="module")
def exported(plain: dict[str, Inspector], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Each of them in each format."""
    folder = tmp_path_factory.mktemp("exported")
    found = {}
    for kind, inspector in plain.items():
        for form in FORMATS:
            found[kind, form] = folder / f"{kind}-{form}.blemish"
            parity = export(inspector, found[kind, form], form)  # type: ignore[arg-type]
            assert parity.holds
            assert parity.images >= 8
    return found


@pytest.fixture
def images(tiny_dataset: Dataset) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (3, 80, 70, 3), dtype=np.uint8)
    return [*(read_image(sample.path) for sample in tiny_dataset.samples[:6]), *noise]


def pairs(one: Inspector, other: Inspector, images: list[Any]) -> Iterator[tuple[Inspection, Inspection]]:
    for first, second in zip(one.inspect_many(images), other.inspect_many(images), strict=True):
        assert isinstance(first, Inspection)
        assert isinstance(second, Inspection)
        yield first, second


@pytest.mark.parametrize("kind", ["taught", "paper"])
@pytest.mark.parametrize("form", FORMATS)
def test_an_exported_model_answers_as_the_model_itself(
    plain: dict[str, Inspector],
    exported: dict[tuple[str, str], Path],
    images: list[NDArray[np.uint8]],
    kind: str,
    form: str,
) -> None:
    there = Inspector.load(exported[kind, form])
    assert there.exported is not None
    assert (there.exported.engine, there.exported.precision) == (form, "float32")
    assert not (exported[kind, form] / "model.safetensors").exists()
    assert not (exported[kind, form] / "normals").exists()
    for one, other in pairs(plain[kind], there, images):
        np.testing.assert_allclose(other.anomaly_map, one.anomaly_map, atol=1e-4, rtol=1e-4)
        assert other.score == pytest.approx(one.score, rel=1e-4, abs=1e-5)
        assert (other.product, other.defective, other.category) == (one.product, one.defective, one.category)
        assert other.p_value == one.p_value
        assert other.category_scores == pytest.approx(one.category_scores, abs=1e-3)
    named = plain[kind].products[0]
    one, other = plain[kind].inspect(images[0], product=named), there.inspect(images[0], product=named)
    np.testing.assert_allclose(other.anomaly_map, one.anomaly_map, atol=1e-4, rtol=1e-4)


def test_openvino_runs_what_was_exported_for_onnx_and_onnx_runtime_does_not_run_the_other(
    plain: dict[str, Inspector], exported: dict[tuple[str, str], Path], images: list[NDArray[np.uint8]]
) -> None:
    there = Inspector.load(exported["taught", "onnx"], engine="openvino")
    for one, other in pairs(plain["taught"], there, images):
        np.testing.assert_allclose(other.anomaly_map, one.anomaly_map, atol=1e-4, rtol=1e-4)
    with pytest.raises(ConfigError, match="exported for openvino"):
        Inspector.load(exported["taught", "openvino"], engine="onnx")
    with pytest.raises(ConfigError, match="exported for onnx"):
        Inspector.load(exported["taught", "onnx"], engine="torch")


@pytest.mark.parametrize(("form", "precision"), [("onnx", "half"), ("onnx", "int8"), ("openvino", "int8")])
def test_smaller_numbers_stay_close(
    plain: dict[str, Inspector], images: list[NDArray[np.uint8]], tmp_path: Path, form: Any, precision: Any
) -> None:
    parity = export(plain["taught"], tmp_path / "small.blemish", form, precision)
    assert parity.holds
    assert any(one.largest > 0 for one in parity.differences)
    there = Inspector.load(tmp_path / "small.blemish")
    for one, other in pairs(plain["taught"], there, images):
        assert np.abs(other.anomaly_map - one.anomaly_map).mean() < 0.2 * max(one.anomaly_map.max(), 0.1)


def test_products_of_integers_fit_where_pairs_are_added_in_16_bits(plain: dict[str, Inspector], tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    export(plain["taught"], tmp_path / "small.blemish", "onnx", "int8")
    tensors = onnx.load(tmp_path / "small.blemish" / "model.onnx").graph.initializer
    weights = [numpy_helper.to_array(one).astype(int) for one in tensors if len(one.dims) == 4 and one.data_type == 3]
    assert len(weights) > 10
    assert max(np.abs(one).max() for one in weights) * 255 * 2 < 2**15


def test_half_precision_makes_smaller_files(
    plain: dict[str, Inspector], exported: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    export(plain["paper"], tmp_path / "half.blemish", "onnx", "half")
    whole, half = (folder / "model.onnx" for folder in (exported["paper", "onnx"], tmp_path / "half.blemish"))
    assert half.stat().st_size < 0.65 * whole.stat().st_size


def test_a_model_that_answers_otherwise_is_not_written(
    plain: dict[str, Inspector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blemish.engines.onnx_engine import OnnxEngine

    run = OnnxEngine.run

    def brighter(self: OnnxEngine, *arguments: Any) -> Any:
        maps = run(self, *arguments)
        maps.reconstruction[:] *= 1.1
        return maps

    monkeypatch.setattr(OnnxEngine, "run", brighter)
    with pytest.raises(BlemishError, match="differs from the model itself"):
        export(plain["paper"], tmp_path / "wrong.blemish")
    assert list(tmp_path.iterdir()) == []


def test_an_exported_model_can_be_calibrated_but_neither_taught_nor_exported(
    plain: dict[str, Inspector],
    exported: dict[tuple[str, str], Path],
    tiny_dataset: Dataset,
    tiny_examples: Any,
    tmp_path: Path,
) -> None:
    there = Inspector.load(exported["taught", "onnx"])
    product = there.products[0]
    paths = [sample.path for sample in tiny_dataset.samples if sample.product == product]
    anew, failures = calibrate(there, paths, product=product)
    assert failures == []
    anew.save(tmp_path / "anew.blemish")
    again = Inspector.load(tmp_path / "anew.blemish")
    assert again.calibration == anew.calibration
    assert again.exported == there.exported
    with pytest.raises(ConfigError, match="cannot learn"):
        teach(there, tiny_examples)
    with pytest.raises(ConfigError, match="exported already"):
        export(there, tmp_path / "twice.blemish")


@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "model.bin"])
def test_a_damaged_graph_is_named(exported: dict[tuple[str, str], Path], tmp_path: Path, name: str) -> None:
    form = "onnx" if name.endswith("onnx") else "openvino"
    for change in ("cut", "gone"):
        folder = tmp_path / change
        shutil.copytree(exported["paper", form], folder)
        path = folder / name
        content = path.read_bytes()
        path.unlink()
        if change == "cut":
            path.write_bytes(content[: len(content) // 3])
        with pytest.raises(ModelError, match=r"model\.(onnx|xml|bin)"):
            Inspector.load(folder)


def test_a_device_that_is_not_there_is_refused(exported: dict[tuple[str, str], Path]) -> None:
    for form in FORMATS:
        with pytest.raises(ConfigError, match="no device 'tpu'"):
            Inspector.load(exported["paper", form], device="tpu")


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "120"})


def test_the_command_line(
    tiny_taught: tuple[Inspector, Path], tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, image = tiny_taught[1], tiny_dataset.samples[0].path
    (tmp_path / "broken.png").write_bytes(b"no image")
    result = run("export", model, image, tmp_path / "broken.png", "-o", tmp_path / "out.blemish", "--json")
    assert result.exit_code == 3, result.output
    told = json.loads(result.stdout)
    assert told["unreadable"] == [str(tmp_path / "broken.png")]
    assert told["images"] == 2
    assert told["differences"]["score"]["largest"] <= told["differences"]["score"]["allowed"]
    for arguments, words in (
        (("export", model), "Add: -o OUT"),
        (("export", model, "-o", tmp_path / "out.blemish"), "exists already"),
        (("export", model, tmp_path / "broken.png", "-o", tmp_path / "new"), "None of these images can be read"),
        (("inspect", model, image, "--json", "--engine", "onnx"), "blemish export"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert words in " ".join(result.output.split())
    result = run("export", model, "-o", tmp_path / "out.blemish", "--overwrite", "--format", "openvino")
    assert result.exit_code == 0, result.output
    assert "largest difference" in result.output
    result = run("inspect", tmp_path / "out.blemish", image, "--json")
    assert json.loads(result.stdout)["product"] in tiny_taught[0].products


def test_inspecting_with_an_exported_model_imports_no_torch(
    exported: dict[tuple[str, str], Path], tiny_dataset: Dataset, tmp_path: Path
) -> None:
    image = str(tiny_dataset.samples[0].path)
    for form in FORMATS:
        folder = str(exported["taught", form])
        program = (
            f"import sys\nsys.modules |= dict.fromkeys({ABSENT})\n"
            f"sys.argv = ['blemish', 'inspect', {folder!r}, {image!r}, '-o', {str(tmp_path / form)!r}]\n"
            "from blemish.cli.app import main\nmain()\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / form / "report.html").is_file()
