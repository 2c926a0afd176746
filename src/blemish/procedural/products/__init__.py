"""The products of the demo data set, one per file."""

from __future__ import annotations

from blemish.procedural.products.capsule import CAPSULE
from blemish.procedural.products.fabric import FABRIC
from blemish.procedural.products.gear import GEAR
from blemish.procedural.products.label import LABEL
from blemish.procedural.products.plank import PLANK
from blemish.procedural.products.product import Flaw, Product

__all__ = ["PRODUCTS", "Flaw", "Product"]

PRODUCTS: tuple[Product, ...] = (CAPSULE, FABRIC, GEAR, LABEL, PLANK)
