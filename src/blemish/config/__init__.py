"""Everything that can be set, validated at the door and written beside the weights.

A preset is a named value of these models, not a code path: `TrainConfig.of("fast", seed=3)`.
"""

from __future__ import annotations

from blemish.config.base import PresetName
from blemish.config.network import HUB_ID, MOST_TILES, BackboneConfig, DecoderName, ModelConfig
from blemish.config.teach import Blending, TeachConfig
from blemish.config.train import PseudoAnomalyShares, TrainConfig

__all__ = [
    "HUB_ID",
    "MOST_TILES",
    "BackboneConfig",
    "Blending",
    "DecoderName",
    "ModelConfig",
    "PresetName",
    "PseudoAnomalyShares",
    "TeachConfig",
    "TrainConfig",
]
