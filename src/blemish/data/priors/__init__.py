"""The priors file: what is known of a product's defects before any was seen."""

from __future__ import annotations

from blemish.data.priors.prior import CategoryPrior
from blemish.data.priors.priors import EVERY_PRODUCT, Priors
from blemish.data.priors.starter import starter

__all__ = ["EVERY_PRODUCT", "CategoryPrior", "Priors", "starter"]
