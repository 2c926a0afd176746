"""Options of the pseudo-anomalies."""

from __future__ import annotations

from dataclasses import dataclass, fields

from blemish.errors import ConfigError

Range = tuple[float, float]


@dataclass(frozen=True)
class PseudoAnomalyConfig:
    """How pseudo-anomalies are drawn. The defaults are OneNIP's (its section on training); the "subtle" kinds are off.

    The subtle kinds take their share first; the rest is CutPaste with `cutpaste_probability`, else a Perlin paste.

    Attributes:
        cutpaste_probability: share of CutPaste; the other images receive a Perlin paste.
        scar_probability: share of scars within CutPaste; the others are rectangular patches.
        patch_area: of a patch, as a share of the image.
        patch_aspect: width / height of a patch; below and above 1 are equally likely.
        scar_width: across the scar, in pixels of the image whatever its size.
        scar_height: along the scar, in pixels.
        scar_angle: rotated by up to ± so many degrees.
        brightness, contrast, saturation: a pasted patch's factors are drawn from 1 ± so much.
        hue: shifted by up to ± so many turns of the colour wheel.
        perlin_octaves: noise resolution is 2 to the power of a whole number in this range, per axis.
        perlin_angle: noise rotated by up to ± so many degrees.
        perlin_threshold: noise in [-1, 1] above it is anomalous.
        texture_changes: photometric changes of the pasted texture.
        blend: range of β in β · image + (1 − β) · texture.
        self_paste_probability: share of pastes of the image's own texture from elsewhere through a soft mask.
        photometric_probability: share of local darkening, brightening and stains.
        warp_probability: share of small local displacements.
        blur_probability: share of local blur.
        painted_probability: share of painted defects: lines, pits, blots, steps of brightness.
        keep_grey: an image of equal channels keeps them equal: a grey camera sees no defect in colour.
        subtle_size: length of a subtle kind's blob, as a share of the image's side (drawn log-uniformly).
        minimum_area: a draw with a smaller mask (in pixels) is drawn again.
        minimum_change: a draw with a smaller mean absolute change (grey levels, inside the mask) is drawn again.
        redraws: at most so many draws; then the last one whose mask is not empty serves, else a patch.
    """

    cutpaste_probability: float = 0.5
    scar_probability: float = 0.5
    patch_area: Range = (0.02, 0.15)
    patch_aspect: Range = (0.3, 3.3)
    scar_width: tuple[int, int] = (2, 16)
    scar_height: tuple[int, int] = (10, 25)
    scar_angle: float = 45.0
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    perlin_octaves: tuple[int, int] = (1, 5)
    perlin_angle: float = 5.0
    perlin_threshold: float = 0.5
    texture_changes: int = 3
    blend: Range = (0.0, 0.8)
    self_paste_probability: float = 0.0
    photometric_probability: float = 0.0
    warp_probability: float = 0.0
    blur_probability: float = 0.0
    painted_probability: float = 0.0
    keep_grey: bool = False
    subtle_size: Range = (0.03, 0.4)
    minimum_area: int = 1
    minimum_change: float = 0.0
    redraws: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_probability") and not 0 <= value <= 1:
                raise ConfigError(f"{field.name} is {value}.", "Give a value in [0, 1].")
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ConfigError(f"{field.name} is {value}: its ends are in the wrong order.", "Give (low, high).")
        if sum(self.subtle_probabilities) > 1 + 1e-9:
            raise ConfigError("The probabilities of the subtle pseudo-anomalies sum to more than 1.", "Lower them.")
        if not self.patch_aspect[0] <= 1 <= self.patch_aspect[1]:
            raise ConfigError(f"patch_aspect is {self.patch_aspect}.", "Give a range that holds 1.")
        if self.minimum_area < 1 or self.redraws < 1 or self.texture_changes < 0:
            raise ConfigError("minimum_area and redraws must be at least 1, texture_changes at least 0.")

    @property
    def subtle_probabilities(self) -> tuple[float, ...]:
        """Shares of self paste, photometric change, warp, blur and painted defects, in this order."""
        return (
            self.self_paste_probability,
            self.photometric_probability,
            self.warp_probability,
            self.blur_probability,
            self.painted_probability,
        )
