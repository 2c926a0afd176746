"""Choosing candidates by Blemish's own features: the selector that needs no further weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from blemish.backbones.backbone import Backbone
from blemish.synthesis.diffusion.selection import Candidates, Mask, Pixels, Scores

_BATCH = 16


class FeatureSelector:
    """Compares what is seen in the masked region.

    With real examples of a category, the candidate whose region looks most like the region of one of them: cosine of
    the features' mean over the region, averaged over the backbone's levels.

    Without examples nothing says what the defect looks like; but a candidate is a good training sample only if its
    mask is true: the image has changed below the mask, and has not outside. So the score is the mean change of the
    features (1 − cosine to the image before) below the mask, minus that outside of it. A repaint that did nothing has
    a score of about 0, one that strays over the whole image loses what it gains.

    Args:
        backbone: gives the features.
        examples: images E×S×S×3 of the category and masks E×S×S of their defects; None: without examples.
    """

    def __init__(self, backbone: Backbone, examples: tuple[Pixels, Mask] | None = None) -> None:
        self._backbone = backbone
        self._known = None if examples is None or not len(examples[0]) else self._regions(*examples)

    def scores(self, candidates: Candidates) -> Scores:
        """N values; cosines in [−1, 1] with examples, differences of changes in [−2, 2] without."""
        if self._known is None:
            return self._changes(candidates)
        found = self._regions(candidates.images, candidates.masks)
        per_level = [one @ two.T for one, two in zip(found, self._known, strict=True)]
        similarity = torch.stack(per_level).mean(dim=0)
        return np.asarray(similarity.amax(dim=1).cpu().numpy(), dtype=np.float64)

    def _regions(self, images: Pixels, masks: Mask) -> list[Tensor]:
        """Unit features of each level, averaged below the masks: N×C_i."""
        parts = []
        for rows in _batches(len(images)):
            levels = self._levels(images[rows])
            weights = [_shares(masks[rows], level) for level in levels]
            parts.append(
                [(level * weight).sum(dim=(2, 3)) for level, weight in zip(levels, weights, strict=True)],
            )
        return [F.normalize(torch.cat(level), dim=1) for level in zip(*parts, strict=True)]

    def _changes(self, candidates: Candidates) -> Scores:
        scores = []
        for rows in _batches(len(candidates.images)):
            now, before = self._levels(candidates.images[rows]), self._levels(candidates.references[rows])
            masks = candidates.masks[rows]
            differences = []
            for one, two in zip(now, before, strict=True):
                change = 1 - F.cosine_similarity(one, two, dim=1)[:, None]
                below, outside = _shares(masks, one), _shares(~masks, one)
                differences.append((change * (below - outside)).sum(dim=(1, 2, 3)))
            scores.append(torch.stack(differences).mean(dim=0).cpu().numpy())
        return np.concatenate(scores).astype(np.float64)

    def _levels(self, images: Pixels) -> list[Tensor]:
        device = self._backbone.get_buffer("mean").device
        return self._backbone.levels(torch.from_numpy(np.ascontiguousarray(images)).to(device))


def _batches(count: int) -> Sequence[slice]:
    return [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]


def _shares(masks: Mask, level: Tensor) -> Tensor:
    """Masks B×S×S as weights of the cells of a level, B×1×h×w, that sum to 1; all 0 for an empty mask."""
    covered = torch.from_numpy(np.ascontiguousarray(masks)).float()[:, None].to(level.device)
    covered = F.adaptive_avg_pool2d(covered, (level.shape[2], level.shape[3]))
    return covered / covered.sum(dim=(2, 3), keepdim=True).clamp_min(1e-12)
