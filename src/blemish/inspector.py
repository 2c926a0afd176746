"""A trained model at work: load, inspect, save. It neither trains nor evaluates."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish import model_folder
from blemish.calibration import Calibration, FusionWeights, ProductCalibration
from blemish.config import TeachConfig, TrainConfig
from blemish.data.decode import IntensityRange, Source, bit_depth, image_size, load_square, square
from blemish.data.masks import resize_mask
from blemish.engines.engine import Engine, EngineMaps
from blemish.engines.load import load_engine
from blemish.engines.tiled import run_tiled
from blemish.errors import ConfigError, ImageError, ModelError
from blemish.inspection import UNKNOWN_PRODUCT, Failure, Inspection
from blemish.kept.examples import ExamplesFolder, KeptExamples
from blemish.kept.images import KeptFolder, KeptImages
from blemish.model_folder import Exported
from blemish.naming import Claims, distinct, with_names
from blemish.regions import find_parts
from blemish.scoring import fuse, image_score
from blemish.tiling import Tiling

Image = Source | NDArray[np.uint8]
_DECODERS = 2
_SMALLEST_REGION = 1 / 12_500  # of the image: 4 pixels at 224


@dataclass(frozen=True)
class RawMaps:
    """What the engine says of one image, before calibration.

    Attributes:
        source: the image, as the caller named it; None for one in memory.
        size: width, height of the original image.
        product: the product whose prompt was used.
        named: the caller named the product, so that it is not in question.
        similarities: cosine similarity to each product's prompt.
        reconstruction: float32 M×M, ≥ 0.
        refiner: float32 M×M in [0, 1]; None without a refiner.
        claims: of the product's categories; None while it has none.
    """

    source: str | None
    size: tuple[int, int]
    product: str
    named: bool
    similarities: Mapping[str, float]
    reconstruction: NDArray[np.float32]
    refiner: NDArray[np.float32] | None
    claims: Claims | None = None


@dataclass(frozen=True)
class Inspector:
    """One model for all its products.

    Attributes:
        engine: what runs the network.
        products: names, in the order of the engine's prompts.
        config: how it was trained.
        calibration: thresholds, p-values and fusion weights per product.
        rois: per product a bool M×M mask, true where defects count; products without one count everywhere.
        curve: losses of the training as JSON lines.
        seen: fingerprints (`data.duplicates.file_hash`) of the images that trained, calibrated or taught it.
        categories: product → names of its defects, in the order in which they were learned.
        teaching: how they were learned; None while there are none.
        kept: product → normal images that stay with the model.
        examples: product → defective images from which its categories were learned.
        exported: for which runtime it was exported; None: it is PyTorch's.
    """

    engine: Engine
    products: tuple[str, ...]
    config: TrainConfig
    calibration: Calibration
    rois: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    curve: str = ""
    seen: frozenset[str] = frozenset()
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    teaching: TeachConfig | None = None
    kept: Mapping[str, KeptImages] = field(default_factory=dict)
    examples: Mapping[str, KeptExamples] = field(default_factory=dict)
    exported: Exported | None = None

    @classmethod
    def load(cls, model: str | Path, *, engine: str = "auto", device: str = "auto", offline: bool = False) -> Inspector:
        """Load a model folder, or a Hugging Face Hub id when no such folder exists.

        Args:
            model: the folder, or `owner/name` on the hub.
            engine: `auto` (what the folder is for), `torch`, `onnx` or `openvino`, which also runs what was exported
                for `onnx`.
            device: `auto`, `cpu` or `cuda`; with `openvino` also its other devices.
            offline: never touch the network.

        Raises:
            ModelError: missing, incomplete or damaged.
            ConfigError: the model is not for that engine, or there is no such device.
            MissingExtraError: the engine is not installed.
        """
        folder = model_folder.locate(model, offline=offline)
        header = model_folder.read_header(folder)
        runtime = load_engine(folder, header, engine, device)
        calibration = Calibration.load(folder / model_folder.CALIBRATION)
        return cls(
            runtime,
            header.products,
            header.train,
            calibration,
            model_folder.read_rois(folder, header),
            model_folder.read_curve(folder),
            model_folder.read_seen(folder),
            header.categories,
            header.teach,
            KeptFolder(folder, header.products),
            ExamplesFolder(folder, header.products),
            header.exported,
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write one self-contained folder, beside its target and then renamed.

        Raises:
            BlemishError: `path` exists and `overwrite` is false, or cannot be written.
        """
        return model_folder.write(
            Path(path),
            model_folder.Header.of(self.products, self.config, self.categories, self.teaching, self.exported),
            self.calibration,
            self.rois,
            self.curve,
            self.seen,
            self.kept,
            self.examples,
            lambda folder: self.engine.save(folder, self.config.backbone),
            overwrite=overwrite,
        )

    @property
    def size(self) -> int:
        """Side M of the square that images are squashed to, in pixels; the network sees it in tiles."""
        return self.tiling.side

    @property
    def tiling(self) -> Tiling:
        """How that square is divided."""
        return self.config.model.tiling

    def inspect(self, image: Image, *, product: str | None = None) -> Inspection:
        """Inspect one image: a file, its content, or uint8 H×W×3 RGB.

        Args:
            image: the image.
            product: what it shows; None lets the model find out, or answer that it knows no such product.

        Raises:
            ImageError: it cannot be read.
        """
        for result in self.inspect_many([image], product=product):
            if isinstance(result, Failure):
                raise result.error
            return result
        raise AssertionError("one image gives one result")

    def inspect_many(
        self, images: Iterable[Image], *, product: str | None = None, batch: int = 16
    ) -> Iterator[Inspection | Failure]:
        """Inspect any number of images in constant memory; results come in order, one for each image.

        An image that cannot be read gives a `Failure`. No result depends on the other images in the call.
        """
        for raw in self.raw_maps(images, product=product, batch=batch):
            yield raw if isinstance(raw, Failure) else self.judge(raw)

    def raw_maps(
        self, images: Iterable[Image], *, product: str | None = None, batch: int = 16
    ) -> Iterator[RawMaps | Failure]:
        """The engine's maps, before fusion and verdict; otherwise as `inspect_many`.

        Raises:
            ModelError: the model knows no product, as the one that ships.
        """
        self._require_products()
        index = None if product is None else self.index(product)
        batch = max(1, batch // self.tiling.tiles)
        with ThreadPoolExecutor(_DECODERS) as pool:
            decoded = self._decoded(images, product, pool, ahead=2 * batch)
            while chunk := list(islice(decoded, batch)):
                yield from self._run(chunk, index)

    def seen_pixels(self, image: Image) -> NDArray[np.uint8]:
        """What the network sees of an image: uint8 M×M×3, deep values scaled as those of the product that it shows.

        Raises:
            ImageError: it cannot be read.
            ModelError: the model knows no product.
        """
        self._require_products()
        decoded = self._decode(image, 0, None)
        if isinstance(decoded, Failure):
            raise decoded.error
        product = self.products[self._find_out(decoded) if len(decoded.scalings) > 1 else 0]
        return decoded.pixels(self.calibration[product].intensity_range)

    def judge(self, raw: RawMaps, *, fusion: FusionWeights | None = None) -> Inspection:
        """Fuse the maps and decide; `fusion` replaces the stored weights.

        Raises:
            ModelError: the product has no calibration.
        """
        calibration = self.calibration[raw.product]
        fused = self.fused(raw, fusion or calibration.fusion)
        score = image_score(fused)
        similarity = raw.similarities[raw.product]
        known = raw.named or calibration.known(similarity)
        defective = known and calibration.defective(score)
        mask = self._mask(raw, calibration, fused, defective)
        parts = find_parts(fused, mask, raw.size, self._smallest) if defective else ()
        found = Inspection(
            score=score,
            p_value=calibration.p_value(score) if known else 1.0,
            defective=defective,
            product=raw.product if known else UNKNOWN_PRODUCT,
            similarity=similarity,
            anomaly_map=fused,
            mask=mask,
            size=raw.size,
            requested_rate=calibration.false_alarm_rate if known else None,
            effective_rate=calibration.effective_rate if known else None,
            expected_rate=calibration.expected_rate if known else None,
            promised=known and calibration.promised_rate is not None,
            regions=tuple(region for region, _ in parts),
            source=raw.source,
        )
        if raw.claims is None or self.teaching is None or not known:
            return found
        return with_names(found, [pixels for _, pixels in parts], raw.claims, self.teaching.certainty)

    def fused(self, raw: RawMaps, fusion: FusionWeights | None = None) -> NDArray[np.float32]:
        """The final anomaly map, M×M; `fusion` replaces the stored weights."""
        weights = fusion or self.calibration[raw.product].fusion
        detection = None if raw.claims is None else raw.claims.detection
        return fuse(raw.reconstruction, raw.refiner, weights, self.rois.get(raw.product), detection)

    def with_calibration(self, calibration: Calibration) -> Inspector:
        """The same model with other thresholds."""
        return replace(self, calibration=calibration)

    def with_roi(self, product: str, mask: NDArray[np.bool_]) -> Inspector:
        """The same model that ignores everything of `product` outside `mask` (bool H×W, any size).

        The calibration of that product no longer fits: calibrate anew.
        """
        self.index(product)
        small = resize_mask(mask, self.size)
        if not small.any():
            raise ConfigError(f"The region of interest of '{product}' is empty.", "Paint the part to inspect white.")
        return replace(self, rois={**self.rois, product: small})

    def index(self, product: str) -> int:
        """Number of a product. Raises ConfigError where the model knows no such one."""
        if product not in self.products:
            raise ConfigError(f"The model knows no product '{product}'.", f"It knows {', '.join(self.products)}.")
        return self.products.index(product)

    def _require_products(self) -> None:
        if not self.products:
            raise ModelError("The model knows no product yet.", "Show it normal images: blemish add-product.")

    @property
    def _smallest(self) -> int:
        """Least area of a region in pixels of the map, unless it is the only one."""
        return max(1, round(_SMALLEST_REGION * self.size**2))

    def _mask(
        self, raw: RawMaps, calibration: ProductCalibration, fused: NDArray[np.float32], defective: bool
    ) -> NDArray[np.bool_]:
        """Pixels above the threshold, fitted to what the categories claim."""
        mask = calibration.mask(fused, defective)
        if raw.claims is None or not defective or not calibration.fusion.detection:
            return mask
        return raw.claims.fitted(mask, fused > 0)  # nothing outside the region of interest

    def _decoded(
        self, images: Iterable[Image], product: str | None, pool: ThreadPoolExecutor, ahead: int
    ) -> Iterator[_Decoded | Failure]:
        waiting: deque[Future[_Decoded | Failure]] = deque()
        for number, image in enumerate(images):
            waiting.append(pool.submit(self._decode, image, number, product))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _decode(self, image: Image, number: int, product: str | None) -> _Decoded | Failure:
        source = None if isinstance(image, np.ndarray | bytes) else str(image)
        try:
            if isinstance(image, np.ndarray):
                return _Decoded(None, image.shape[1::-1], {None: square(image, self.size)})
            scalings = self._ranges(image, product)
            return _Decoded(source, image_size(image), {one: load_square(image, self.size, one) for one in scalings})
        except ImageError as error:
            return Failure(source or f"image {number}", error)

    def _ranges(self, image: Source, product: str | None) -> set[IntensityRange | None]:
        """How the values of an image may be scaled: as of the product, or of each product while it is not known."""
        names = self.products if product is None else (product,)
        ranges = {self.calibration[name].intensity_range for name in names}
        return ranges if len(ranges) == 1 or bit_depth(image) > 8 else {None}

    def _run(self, chunk: list[_Decoded | Failure], index: int | None) -> Iterator[RawMaps | Failure]:
        good = [item for item in chunk if isinstance(item, _Decoded)]
        indices = [index] * len(good)
        for row, image in enumerate(good):
            if len(image.scalings) > 1:
                indices[row] = self._find_out(image)
        maps = iter(self._maps(good, indices, named=index is not None))
        for item in chunk:
            yield item if isinstance(item, Failure) else next(maps)

    def _find_out(self, item: _Decoded) -> int:
        """The product of an image that may be scaled in several ways: the most similar under its own scaling."""
        found = dict(zip(item.scalings, self._answers(list(item.scalings.values()), None).similarities, strict=True))
        own = [found[self.calibration[name].intensity_range][row] for row, name in enumerate(self.products)]
        return int(np.argmax(own))

    def _maps(self, items: list[_Decoded], indices: list[int | None], *, named: bool) -> Iterator[RawMaps | Failure]:
        """Results in order; images whose product is known already run apart from those that the engine decides on."""
        rows: dict[int | None, list[int]] = {}
        for row, index in enumerate(indices):
            rows.setdefault(index, []).append(row)
        results: list[RawMaps | Failure | None] = [None] * len(items)
        for index, members in rows.items():
            scaling = None if index is None else self.calibration[self.products[index]].intensity_range
            maps = self._answers([items[row].pixels(scaling) for row in members], index)
            for place, row in enumerate(members):
                results[row] = self._raw(items[row], maps, place, named=named)
        yield from (result for result in results if result is not None)

    def _answers(self, images: list[NDArray[np.uint8]], product: int | None) -> EngineMaps:
        return run_tiled(self.engine, self.tiling, np.stack(images), product)

    def _raw(self, item: _Decoded, maps: EngineMaps, row: int, *, named: bool) -> RawMaps | Failure:
        refiner = None if maps.refiner is None else maps.refiner[row]
        if not all(np.isfinite(values).all() for values in (maps.reconstruction[row], refiner) if values is not None):
            name = item.source or "an image in memory"
            error = ImageError(f"The model's anomaly map of {name} is not finite.", "Train the model anew.")
            return Failure(name, error)
        return RawMaps(
            item.source,
            item.size,
            self.products[int(maps.products[row])],
            named,
            dict(zip(self.products, maps.similarities[row].tolist(), strict=True)),
            maps.reconstruction[row],
            refiner,
            self._claims(maps, row),
        )

    def _claims(self, maps: EngineMaps, row: int) -> Claims | None:
        names = self.categories.get(self.products[int(maps.products[row])], ())
        if maps.categories is None or not names:
            return None
        everywhere = distinct(self.categories)
        rows = [everywhere.index(name) for name in names]
        return Claims.of(names, maps.categories[row, rows], self.size)


@dataclass(frozen=True)
class _Decoded:
    """An image squashed to the model's size, once for each way in which its values may be scaled."""

    source: str | None
    size: tuple[int, int]
    scalings: dict[IntensityRange | None, NDArray[np.uint8]]

    def pixels(self, scaling: IntensityRange | None) -> NDArray[np.uint8]:
        """Under one of them; images of 8 bits have only one."""
        return next(iter(self.scalings.values())) if len(self.scalings) == 1 else self.scalings[scaling]
