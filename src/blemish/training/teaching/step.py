"""One training step of the discriminators: the losses of UniADC §3.3."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blemish.config import TeachConfig
from blemish.models.categories import CategoryHead
from blemish.training.losses import dice, focal
from blemish.training.teaching.source import Batch

_THIN = 0.2  # share of a coarse pixel from which its defect's category counts


class TeachingStep(nn.Module):
    """Losses of a batch, as one module so that data-parallel training wraps all of it.

    Args:
        head: the discriminators that are trained; each has losses of its own.
        config: weights of the losses.
    """

    def __init__(self, head: CategoryHead, config: TeachConfig) -> None:
        super().__init__()
        self.head = head
        self._config = config

    def forward(self, batch: Batch, rng: np.random.Generator) -> dict[str, Tensor]:
        """`total` and its parts, means over the members: `focal`, `dice` and `entropy`."""
        config = self._config
        defect, category = coarse(batch.labels, config.loss_stride)
        taps, embeddings = self.head.taps(batch.inputs), self.head.get_buffer("embeddings")
        totals, parts = [], []
        for member in self.head.members:
            logits = member.logits(taps, embeddings).float()  # type: ignore[operator]
            up = F.interpolate(logits, size=defect.shape[-2:], mode="bilinear", align_corners=False)
            losses = category_losses(up, defect, category, batch.own)
            totals.append(
                config.focal * losses["focal"] + config.dice * losses["dice"] + config.entropy * losses["entropy"]
            )
            parts.append(losses)
        means = {name: torch.stack([one[name].detach() for one in parts]).mean() for name in parts[0]}
        return {"total": torch.stack(totals).mean(), **means}


def coarse(labels: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Labels B×S×S → share of defect B×1×s×s in [0, 1], and category B×s×s, −1 where there is none."""
    defect = F.avg_pool2d((labels >= 0).float().unsqueeze(1), stride)
    category = F.max_pool2d(labels.float().unsqueeze(1), stride).squeeze(1).long()
    return defect, torch.where(defect.squeeze(1) >= _THIN, category, -1)


def category_losses(logits: Tensor, defect: Tensor, category: Tensor, own: Tensor | None = None) -> dict[str, Tensor]:
    """The three losses (UniADC §3.3), unweighted.

    Args:
        logits: B×K×H×W classification logits.
        defect: B×1×H×W in [0, 1].
        category: B×H×W, −1 (no defect: ignored) or 0 … K − 1.
        own: bool B×K, the categories that an image's product has; None: all.

    Returns:
        `focal` and `dice` of the detection, the mean of an image's own logits; `entropy` of the categories on defects.
    """
    if own is None:
        detection = logits.mean(dim=1, keepdim=True)
    else:
        weights = own.to(logits.dtype) / own.sum(dim=1, keepdim=True)
        detection = (logits * weights[:, :, None, None]).sum(dim=1, keepdim=True)
        logits = logits.masked_fill(~own[:, :, None, None], -torch.inf)
    known = (category >= 0).sum().clamp(min=1)
    entropy = F.cross_entropy(logits, category, ignore_index=-1, reduction="sum") / known
    return {
        "focal": focal(detection, defect).mean(),
        "dice": dice(detection.sigmoid(), defect, "plain").mean(),
        "entropy": entropy,
    }
