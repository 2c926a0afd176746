"""What products are told apart by: mean features, in which that counts little which differs within products anyway.

Fisher's linear discriminants, from the means of the training images. Plain means (OneNIP §3.4) are decided by whatever
varies most, which between two similar products may be the light.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RIDGE = 0.2
"""Share of the channels' mean variance that is added to each; with fewer images than channels so many times more."""


def within_whitening(means: Tensor, products: NDArray[np.int64]) -> Tensor:
    """The matrix that whitens mean features within products.

    Args:
        means: N×C, of the training images.
        products: N, index of the product that each shows.

    Returns:
        float32 C×C, symmetric; the identity where no product varies.
    """
    rows = means.double().cpu()
    own = [rows[torch.from_numpy(products == one)] for one in np.unique(products)]
    centred = torch.cat([part - part.mean(dim=0) for part in own])
    covariance = centred.T @ centred / len(centred)
    images, channels = rows.shape
    ridge = RIDGE * max(1.0, channels / images) * float(covariance.diagonal().mean())
    if ridge <= 0:
        return torch.eye(channels)
    values, vectors = torch.linalg.eigh(covariance + ridge * torch.eye(channels, dtype=torch.double))
    whitening: Tensor = (vectors * values.rsqrt()) @ vectors.T * ridge**0.5
    return whitening.float()
