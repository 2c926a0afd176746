"""What a backbone's weight file says of itself, so that the network can be built again without its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blemish.errors import ModelError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_KEY = "backbone"
_Positive = Annotated[float, Field(gt=0)]


class Description(BaseModel):
    """What is needed beside a `BackboneConfig` to build a network without its weights.

    Attributes:
        mean, std: per colour channel of the images, in [0, 1], that the network was trained with; ImageNet's unless
            the network says otherwise.
        architecture: plain values of a transformers configuration; None with other kinds of backbone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[_Positive, _Positive, _Positive] = IMAGENET_STD
    architecture: dict[str, Any] | None = None

    def metadata(self) -> dict[str, str]:
        """Texts for the header of a safetensors file."""
        return {_KEY: self.model_dump_json()}

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Description:
        """Read what `metadata` wrote; files without it hold networks that see ImageNet's mean and deviation.

        Raises:
            ModelError: it is damaged.
        """
        try:
            return cls.model_validate_json(metadata.get(_KEY, "{}"))
        except ValidationError as error:
            first = error.errors()[0]
            raise ModelError(
                f"The description of the backbone is damaged: {first['msg']} at {first['loc']}.",
                "Copy the model folder again.",
            ) from None
