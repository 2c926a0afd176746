"""Images that people have reviewed: what there is to learn from, and to measure with."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from blemish.data.layouts.manifest import write_manifest
from blemish.data.sample import Sample
from blemish.files import writing
from blemish.serving.records import Decision, Filter, StoredInspection, Upload
from blemish.serving.store import Store

_SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tif",
    "image/bmp": ".bmp",
    "image/webp": ".webp",
    "image/x-portable-anymap": ".ppm",
}
_PAGE = 500
MANIFEST = "manifest.csv"
HELD_OUT = 1 / 3  # of the images of one product and category, rounded down: with one or two all are learned


@dataclass(frozen=True)
class Reviewed:
    """One image and what people say of it.

    Attributes:
        inspection: the one whose review counts.
        image: digest.
        product: None: like none of the model's.
        decision, category: of the review.
        mask: digest of the corrected mask, else of the one that was found.
        marked: whether that mask marks the defect: one was found, or drawn.
    """

    inspection: str
    image: str
    product: str | None
    decision: Decision
    category: str | None
    mask: str
    marked: bool

    @property
    def teachable(self) -> bool:
        """Whether a category can be learned from it."""
        return self.product is not None and self.decision == "confirmed" and self.category is not None


def reviewed_images(store: Store) -> tuple[Reviewed, ...]:
    """Every image with a review that counts, the newest review first; of an image that came twice the newer one."""
    found: dict[str, tuple[str, Reviewed]] = {}
    before = None
    while page := store.inspections(Filter(reviewed=True), before=before, limit=_PAGE):
        before = page[-1].id
        for one in page:
            assert one.review is not None
            if one.image not in found or found[one.image][0] < one.review.id:
                found[one.image] = one.review.id, _reviewed(store, one)
    return tuple(reviewed for _, reviewed in sorted(found.values(), key=lambda pair: pair[0], reverse=True))


def held_out(
    images: Iterable[Reviewed], share: float = HELD_OUT, learned: Container[str] = frozenset()
) -> frozenset[str]:
    """Digests of the images that measure and do not teach: of each product and category a share, rounded down.

    Their own digests decide, so that the choice is blind to what they show.

    Args:
        images: all of them.
        share: that measures.
        learned: digests of those that have taught already; they count, and cannot measure any more.
    """
    groups: dict[tuple[str | None, str, str | None], list[str]] = {}
    for one in images:
        groups.setdefault((one.product, one.decision, one.category), []).append(one.image)
    held: set[str] = set()
    for group in groups.values():
        fresh = sorted(digest for digest in group if digest not in learned)
        held.update(fresh[: int(share * len(group) + 1e-9)])
    return frozenset(held)


def write_dataset(store: Store, images: Sequence[Reviewed], test: Iterable[str], folder: Path) -> tuple[Sample, ...]:
    """Write images, masks and a manifest into a folder that exists, so that `Dataset.from_folder` reads it.

    Args:
        store: where the images are.
        images: which; those of no known product are left out.
        test: digests of those in the split `test`; the others are in `train`.
        folder: to write into.

    Raises:
        BlemishError: it cannot be written, or an image was removed meanwhile.
    """
    tested = frozenset(test)
    samples = []
    with writing(folder):
        for name in ("images", "masks"):
            (folder / name).mkdir()
        for one in images:
            if one.product is None:
                continue
            defective = one.decision == "confirmed"
            upload = store.upload(one.image)
            path, mask = _written(upload, one.image, folder / "images"), None
            if defective and one.marked:
                mask = folder / "masks" / f"{one.image}.png"
                with Image.open(BytesIO(store.blobs.read(one.mask))) as drawn:
                    drawn.resize(upload.size, Image.Resampling.NEAREST).save(mask)
            split, label = "test" if one.image in tested else "train", "defective" if defective else "normal"
            samples.append(Sample(path, one.product, split, label, one.category, mask))  # type: ignore[arg-type]
        write_manifest(samples, folder / MANIFEST)
    return tuple(samples)


def write_image(store: Store, digest: str, folder: Path) -> Path:
    """Write a stored image under its digest and with the suffix of its format. Raises BlemishError."""
    return _written(store.upload(digest), digest, folder)


def _written(upload: Upload, digest: str, folder: Path) -> Path:
    path = folder / (digest + _SUFFIXES[upload.media_type])
    path.write_bytes(upload.content)
    return path


def _reviewed(store: Store, one: StoredInspection) -> Reviewed:
    review = one.review
    assert review is not None
    mask = review.mask or one.mask
    marked = bool(one.result["defective"]) if review.mask is None else _marks(store.blobs.read(review.mask))
    return Reviewed(one.id, one.image, one.result["product"], review.decision, review.category, mask, marked)


def _marks(mask: bytes) -> bool:
    """Whether any pixel is white."""
    with Image.open(BytesIO(mask)) as image:
        return image.getbbox() is not None
