"""From category logits to names: which category claims a place, and how certainly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.data.sample import SEVERAL_DEFECTS
from blemish.inspection import UNKNOWN_DEFECT, Inspection, Region
from blemish.regions import connected
from blemish.scoring import detection_evidence

RESERVED_NAMES = ("normal", SEVERAL_DEFECTS, UNKNOWN_DEFECT)  # these mean something else than a category
_LIKELY = -5.0  # logit, halfway to where the detection is no evidence at all


@dataclass(frozen=True)
class Claims:
    """What the categories of one product claim in one image.

    Attributes:
        names: K categories.
        logits: float32 K×S×S, cos(F, e_k) / ε (UniADC §3.3).
    """

    names: tuple[str, ...]
    logits: NDArray[np.float32]

    @classmethod
    def of(cls, names: tuple[str, ...], coarse: NDArray[np.float32], size: int) -> Claims:
        """Logits K×s×s upsampled bilinearly to S×S."""
        planes = [Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR) for plane in coarse]
        return cls(names, np.stack([np.asarray(plane, dtype=np.float32) for plane in planes]))

    @property
    def detection(self) -> NDArray[np.float32]:
        """Logit of a defect, S×S: the mean over the categories; there is no category for normal."""
        return np.asarray(self.logits.mean(axis=0), dtype=np.float32)

    def fitted(self, mask: NDArray[np.bool_], within: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of defects that takes in what is claimed beside them and leaves out what is not.

        A smoothed anomaly map runs over the edges of small defects and does not fill large ones. A part of the mask
        of which nothing is claimed stays as it is: it may be a defect of another kind.

        Args:
            mask: S×S.
            within: S×S, where anything may be claimed.
        """
        claimed = (self.detection > _LIKELY) & within
        grown = connected(mask | claimed, mask)
        cut = grown & claimed
        return np.where(connected(grown, cut), cut, grown)

    def scores(self, mask: NDArray[np.bool_]) -> dict[str, float]:
        """Share of an area that each category claims, with sum ≤ 1; the rest is claimed by none.

        At each pixel the categories divide the evidence of a defect as their softmax says. Only where the evidence is
        at least half of its maximum the area decides. All shares shrink where the evidence is less than that of a
        place as likely defective as not.

        Args:
            mask: S×S, not empty.
        """
        logits = self.logits[:, mask].astype(np.float64)
        shares = np.exp(logits - logits.max(axis=0))
        shares /= shares.sum(axis=0)
        evidence = detection_evidence(logits.mean(axis=0))
        surer = evidence >= evidence.max() / 2
        means = (shares * evidence)[:, surer].mean(axis=1) / max(float(evidence[surer].mean()), 1.0)
        return {name: float(value) for name, value in zip(self.names, means, strict=True)}


def named(scores: dict[str, float], certainty: float) -> str:
    """The category with the highest score, or `UNKNOWN_DEFECT` when it does not reach `certainty`."""
    name = max(scores, key=lambda one: scores[one])
    return name if scores[name] >= certainty else UNKNOWN_DEFECT


def distinct(categories: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """All names of a model's categories, each once, in the order of its embeddings."""
    return tuple(dict.fromkeys(name for names in categories.values() for name in names))


def with_names(found: Inspection, parts: Sequence[NDArray[np.bool_]], claims: Claims, certainty: float) -> Inspection:
    """An inspection whose regions carry names, and the image the name that its defective area votes for.

    Args:
        found: what was found, without names.
        parts: the pixels of each of its regions, bool S×S.
        claims: of the product's categories in this image.
        certainty: see `named`.
    """
    category_map = np.full(found.mask.shape, -1, dtype=np.int16)
    if not found.regions:
        return replace(found, categories=claims.names, category_map=category_map)
    regions: list[Region] = []
    for region, part in zip(found.regions, parts, strict=True):
        scores = claims.scores(part)
        name = named(scores, certainty)
        if name != UNKNOWN_DEFECT:
            category_map[part] = claims.names.index(name)
        regions.append(replace(region, category=name, category_scores=scores))
    scores = voted([region.area for region in regions], [region.category_scores for region in regions])
    return replace(
        found,
        regions=tuple(regions),
        category=named(scores, certainty),
        category_scores=scores,
        categories=claims.names,
        category_map=category_map,
    )


def voted(areas: list[float], scores: list[dict[str, float]]) -> dict[str, float]:
    """Scores of an image: those of its regions, weighted by area."""
    total = sum(areas)
    return {name: sum(area * one[name] for area, one in zip(areas, scores, strict=True)) / total for name in scores[0]}
