"""The service without its HTTP: a model that works, a store that remembers, and how both come together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from blemish.data.decode import IntensityRange
from blemish.inspection import Failure
from blemish.inspector import Inspector
from blemish.serving.batcher import Batcher, BusyError, Found
from blemish.serving.pictures import map_png, mask_png
from blemish.serving.records import StoredInspection, StoredModel, Upload
from blemish.serving.retention import FOR_EVER, Retention, keep_tidy
from blemish.serving.store import Store
from blemish.serving.teacher import Teacher

Load = Callable[[Path], Inspector]


class Service:
    """Inspects uploads with the promoted model and remembers what it found.

    Args:
        store: where everything is kept.
        load: reads a model folder.
        teacher: lets models learn.
        batch: images that the model sees at a time.
        waiting: images that may wait.
        retention: how long inspections are kept.
    """

    def __init__(
        self,
        store: Store,
        load: Load,
        teacher: Teacher,
        *,
        batch: int = 16,
        waiting: int = 256,
        retention: Retention = FOR_EVER,
    ) -> None:
        self.store, self._load, self.teacher = store, load, teacher
        self._batch, self._waiting, self._retention = batch, waiting, retention
        self._tidying: asyncio.Task[None] | None = None
        self._promoting = asyncio.Lock()
        self._batcher: Batcher[StoredInspection] | None = None
        self._model: StoredModel | None = None
        self._inspector: Inspector | None = None

    @property
    def ready(self) -> bool:
        """Whether a model works."""
        return self._batcher is not None

    @property
    def loaded(self) -> bool:
        """Whether there is a model to start with."""
        return self._inspector is not None

    @property
    def model(self) -> StoredModel:
        """The one that works."""
        assert self._model is not None, "no model is loaded"
        return self._model

    @property
    def inspector(self) -> Inspector:
        """The same, loaded."""
        assert self._inspector is not None, "no model is loaded"
        return self._inspector

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return 0 if self._batcher is None else self._batcher.waiting

    def intensity_range(self, one: StoredInspection) -> IntensityRange | None:
        """Which values of a deep image are black and white."""
        product = one.result["product"]
        return self.inspector.calibration[product].intensity_range if product in self.inspector.products else None

    def names(self, product: str) -> tuple[str, ...]:
        """Categories of a product: those that reviews name, the first one first, then others that were learned."""
        return tuple(dict.fromkeys([*self.store.names(product), *self.inspector.categories.get(product, ())]))

    def spelling(self, one: StoredInspection, category: str) -> str:
        """A category as it is written already, if it is but for capital letters."""
        known = self.names(one.result["product"]) if one.result["product"] else ()
        return next((name for name in known if name.casefold() == category.casefold()), category)

    @property
    def most_waiting(self) -> int:
        """Images that may wait."""
        return self._waiting

    def check_room(self) -> None:
        """Raises BusyError where no image may wait any more, before anything of it is read."""
        if self.waiting >= self._waiting:
            raise BusyError

    def load(self, folder: Path) -> None:
        """Load the model that was promoted last; a folder that is not known yet is promoted first.

        Raises:
            ModelError: that model cannot be read.
        """
        versions = self.store.versions
        if folder.resolve() in [model.folder for model in versions.models()]:
            model = versions.model(versions.promotions()[-1][0])
            self._inspector = self._load(model.folder)
        else:
            self._inspector = self._load(folder)  # what cannot be read is not promoted
            model = versions.add_model(folder.name, folder)
            versions.promote(model.id)
        self._model = model

    async def start(self) -> None:
        """Begin to inspect, with the model that was loaded."""
        self._batcher = Batcher(self.inspector, self.model.id, self._keep, batch=self._batch, waiting=self._waiting)
        self._batcher.start()
        self._tidying = asyncio.create_task(keep_tidy(self.store, self._retention))
        await asyncio.to_thread(self.teacher.go_on)

    async def stop(self) -> None:
        """Answer what was accepted, then end. A teaching goes on at the next start."""
        if self._batcher is not None:
            await self._batcher.stop()
        if self._tidying is not None:
            self._tidying.cancel()
            with suppress(asyncio.CancelledError):
                await self._tidying
        await asyncio.to_thread(self.teacher.stop)
        await asyncio.to_thread(self.store.close)

    async def promote(self, id: str) -> StoredModel:
        """Let another model work from the next batch on; the one before stays to be promoted again.

        Raises:
            ConfigError: there is no such model.
            ModelError: it cannot be read, and nothing changes.
        """
        assert self._batcher is not None, "the service has not started"
        async with self._promoting:  # so that the one promoted last is the one that works
            model = await asyncio.to_thread(self.store.versions.model, id)
            inspector = await asyncio.to_thread(self._load, model.folder)
            await asyncio.to_thread(self.store.versions.promote, id)
            self._model, self._inspector = model, inspector
            self._batcher.replace(inspector, id)
        return model

    async def inspect(self, uploads: Sequence[Upload], product: str | None = None) -> list[StoredInspection | Failure]:
        """Inspect images and keep what was found; what is returned is on the disk.

        Raises:
            BusyError: too many images wait; none of these does.
            ConfigError: the model knows no such product.
        """
        assert self._batcher is not None, "the service has not started"
        return await self._batcher.inspect(uploads, product)

    def _keep(self, found: Sequence[Found]) -> tuple[StoredInspection, ...]:
        """Keep a batch, which one model inspected."""
        kept = [(one.upload, one.result, *_pictures(one)) for one in found]
        return self.store.add_inspections(found[0].model, kept)


def _pictures(found: Found) -> tuple[bytes, bytes]:
    """Anomaly map and mask."""
    return map_png(found.result, found.inspector.calibration), mask_png(found.result)
