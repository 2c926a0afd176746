"""A trained model at work: load, inspect, save. It neither trains nor evaluates."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blemish import model_folder
from blemish.calibration import Calibration, FusionWeights
from blemish.config import TrainConfig
from blemish.data.decode import IntensityRange, bit_depth, image_size, load_square, square
from blemish.data.masks import resize_mask
from blemish.engines.engine import Engine, EngineMaps
from blemish.errors import ConfigError, ImageError
from blemish.inspection import UNKNOWN_PRODUCT, Failure, Inspection
from blemish.regions import find_regions
from blemish.scoring import fuse, image_score

if TYPE_CHECKING:
    from blemish.engines.torch_engine import TorchEngine

Image = str | Path | NDArray[np.uint8]
_DECODERS = 2


@dataclass(frozen=True)
class RawMaps:
    """What the engine says of one image, before calibration.

    Attributes:
        source: the image, as the caller named it; None for pixels in memory.
        size: width, height of the original image.
        product: the product whose prompt was used.
        similarities: cosine similarity to each product's prompt.
        reconstruction: float32 S×S, ≥ 0.
        refiner: float32 S×S in [0, 1]; None without a refiner.
    """

    source: str | None
    size: tuple[int, int]
    product: str
    similarities: Mapping[str, float]
    reconstruction: NDArray[np.float32]
    refiner: NDArray[np.float32] | None


@dataclass(frozen=True)
class Inspector:
    """One model for all its products.

    Attributes:
        engine: what runs the network.
        products: names, in the order of the engine's prompts.
        config: how it was trained.
        calibration: thresholds, p-values and fusion weights per product.
        rois: per product a bool S×S mask, true where defects count; products without one count everywhere.
        curve: losses of the training as JSON lines.
    """

    engine: Engine
    products: tuple[str, ...]
    config: TrainConfig
    calibration: Calibration
    rois: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    curve: str = ""

    @classmethod
    def load(
        cls, model: str | Path, *, engine: str = "torch", device: str = "auto", offline: bool = False
    ) -> Inspector:
        """Load a model folder, or a Hugging Face Hub id when no such folder exists.

        Args:
            model: the folder, or `owner/name` on the hub.
            engine: `torch`.
            device: `auto`, `cpu` or `cuda`.
            offline: never touch the network.

        Raises:
            ModelError: missing, incomplete or damaged.
        """
        if engine != "torch":
            raise ConfigError(f"There is no engine '{engine}'.", "Choose torch.")
        from blemish.engines.torch_engine import TorchEngine

        folder = model_folder.locate(model, offline=offline)
        header = model_folder.read_header(folder)
        model_folder.check_embedded(folder, header)
        runtime = TorchEngine.load(folder, header.train.backbone, header.train.model, len(header.products), device)
        calibration = Calibration.load(folder / model_folder.CALIBRATION)
        return cls(
            runtime,
            header.products,
            header.train,
            calibration,
            model_folder.read_rois(folder, header),
            model_folder.read_curve(folder),
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write one self-contained folder, beside its target and then renamed.

        Raises:
            BlemishError: `path` exists and `overwrite` is false, or cannot be written.
        """
        engine: TorchEngine = self.engine  # type: ignore[assignment]
        return model_folder.write(
            Path(path),
            model_folder.Header.of(self.products, self.config),
            self.calibration,
            self.rois,
            self.curve,
            lambda folder: engine.save(folder, self.config.backbone),
            overwrite=overwrite,
        )

    @property
    def size(self) -> int:
        """Side of the square that images are squashed to, in pixels."""
        return self.config.model.size

    def inspect(self, image: Image, *, product: str | None = None) -> Inspection:
        """Inspect one image: a file, or uint8 H×W×3 RGB.

        Args:
            image: the image.
            product: what it shows; None lets the model find out.

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
        """The engine's maps, before fusion and verdict; otherwise as `inspect_many`."""
        index = None if product is None else self._index(product)
        if len(self.products) == 1:
            product = self.products[0]
        with ThreadPoolExecutor(_DECODERS) as pool:
            decoded = self._decoded(images, product, pool, ahead=2 * batch)
            while chunk := list(islice(decoded, batch)):
                yield from self._run(chunk, index)

    def judge(self, raw: RawMaps, *, fusion: FusionWeights | None = None) -> Inspection:
        """Fuse the maps and decide; `fusion` replaces the stored weights.

        Raises:
            ModelError: the product has no calibration.
        """
        calibration = self.calibration[raw.product]
        fused = fuse(raw.reconstruction, raw.refiner, fusion or calibration.fusion, self.rois.get(raw.product))
        score = image_score(fused)
        similarity = raw.similarities[raw.product]
        known = calibration.known(similarity)
        defective = known and calibration.defective(score)
        mask = calibration.mask(fused, defective)
        return Inspection(
            score=score,
            p_value=calibration.p_value(score) if known else 1.0,
            defective=defective,
            product=raw.product if known else UNKNOWN_PRODUCT,
            similarity=similarity,
            anomaly_map=fused,
            mask=mask,
            size=raw.size,
            regions=find_regions(fused, mask, raw.size) if defective else (),
            source=raw.source,
        )

    def with_calibration(self, calibration: Calibration) -> Inspector:
        """The same model with other thresholds."""
        return replace(self, calibration=calibration)

    def with_roi(self, product: str, mask: NDArray[np.bool_]) -> Inspector:
        """The same model that ignores everything of `product` outside `mask` (bool H×W, any size).

        The calibration of that product no longer fits: calibrate anew.
        """
        self._index(product)
        small = resize_mask(mask, self.size)
        if not small.any():
            raise ConfigError(f"The region of interest of '{product}' is empty.", "Paint the part to inspect white.")
        return replace(self, rois={**self.rois, product: small})

    def _index(self, product: str) -> int:
        if product not in self.products:
            raise ConfigError(f"The model knows no product '{product}'.", f"It knows {', '.join(self.products)}.")
        return self.products.index(product)

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
        source = None if isinstance(image, np.ndarray) else str(image)
        try:
            if isinstance(image, np.ndarray):
                return _Decoded(None, image.shape[1::-1], square(image, self.size))
            return _Decoded(source, image_size(image), load_square(image, self.size, self._range(image, product)))
        except ImageError as error:
            return Failure(source or f"image {number}", error)

    def _range(self, image: str | Path, product: str | None) -> IntensityRange | None:
        """The product's, or the one that all products share while the product is not known."""
        if product is not None:
            return self.calibration[product].intensity_range
        ranges = {self.calibration[name].intensity_range for name in self.products}
        if len(ranges) > 1 and bit_depth(image) > 8:
            raise ImageError(
                f"{image} has more than 8 bits per pixel, and this model's products differ in how those are scaled.",
                "Name the product.",
            )
        return ranges.pop() if len(ranges) == 1 else None

    def _run(self, chunk: list[_Decoded | Failure], index: int | None) -> Iterator[RawMaps | Failure]:
        good = [item for item in chunk if isinstance(item, _Decoded)]
        maps = self.engine.run(np.stack([item.pixels for item in good]), index) if good else None
        row = 0
        for item in chunk:
            if isinstance(item, Failure):
                yield item
                continue
            assert maps is not None
            yield self._raw(item, maps, row)
            row += 1

    def _raw(self, item: _Decoded, maps: EngineMaps, row: int) -> RawMaps | Failure:
        refiner = None if maps.refiner is None else maps.refiner[row]
        if not all(np.isfinite(values).all() for values in (maps.reconstruction[row], refiner) if values is not None):
            name = item.source or "an image in memory"
            error = ImageError(f"The model's anomaly map of {name} is not finite.", "Train the model anew.")
            return Failure(name, error)
        return RawMaps(
            item.source,
            item.size,
            self.products[int(maps.products[row])],
            dict(zip(self.products, maps.similarities[row].tolist(), strict=True)),
            maps.reconstruction[row],
            refiner,
        )


@dataclass(frozen=True)
class _Decoded:
    source: str | None
    size: tuple[int, int]
    pixels: NDArray[np.uint8]
