"""OneNIP's pseudo-anomalies made where the network computes, a batch at a time.

The same kinds, sizes and shares as `PseudoAnomalies` draws, but other draws; textures are recoloured once and then
shifted. Made for GPUs, where drawing one image after the other would take longer than all of the training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from blemish.procedural.seeding import generator
from blemish.synthesis.colour import change_photometrically
from blemish.synthesis.config import PseudoAnomalyConfig
from blemish.synthesis.pseudo import PseudoAnomalies
from blemish.synthesis.recipes import HUE, Blend, Paste, draw_recipe
from blemish.transfer import sent

_TEXTURES = 1024
_GREY = (0.299, 0.587, 0.114)


class PseudoAnomaliesOnDevice:
    """Draws one pseudo-anomaly per image; the draw depends on (seed, key) and the image alone.

    Args:
        size: side of the square images in pixels.
        seed: of all draws.
        textures: uint8 T×S×S×3 on the device, recoloured.
        config: without subtle kinds.
    """

    def __init__(self, size: int, seed: int, textures: Tensor, config: PseudoAnomalyConfig) -> None:
        self.size, self.seed, self.config = size, seed, config
        self._textures = textures
        self._device = textures.device

    @classmethod
    def of(cls, maker: PseudoAnomalies, device: torch.device) -> PseudoAnomaliesOnDevice | None:
        """The same kinds on a device; None where they hold subtle kinds, which are only made on a CPU."""
        if any(maker.config.subtle_probabilities):
            return None
        textures = []
        for number in range(_TEXTURES):
            rng = generator(maker.seed, "recoloured texture", number)
            texture = maker.textures[number % len(maker.textures)]
            textures.append(change_photometrically(texture, rng, maker.config.texture_changes))
        return cls(maker.size, maker.seed, torch.from_numpy(np.stack(textures)).to(device), maker.config)

    @torch.inference_mode()
    def make(self, images: Tensor, keys: Sequence[int]) -> tuple[Tensor, Tensor]:
        """One pseudo-anomaly in each image; see `PseudoAnomalies.make`.

        Args:
            images: uint8 B×S×S×3 on the device.
            keys: B numbers ≥ 0.

        Returns:
            uint8 B×S×S×3 and bool B×S×S; no mask is empty, no pixel outside it differs.
        """
        rngs = [generator(self.seed, "pseudo-anomaly on a device", key) for key in keys]
        recipes = [draw_recipe(self.size, rng, self.config) for rng in rngs]
        anomalous, masks = self._carried_out(images, recipes)
        for number in range(1, self.config.redraws + 1):
            again = self._poor(images, anomalous, masks)
            if not again:
                break
            if number == self.config.redraws:  # those without any mask become patches, the others stay
                empty = (~masks.flatten(1).any(dim=1)).tolist()
                again = [row for row in again if empty[row]]
            for row in again:
                kind = Paste if number == self.config.redraws else type(recipes[row])
                recipes[row] = kind.draw(self.size, rngs[row], self.config)
            if again:
                rows = self._index(again)
                anomalous[rows], masks[rows] = self._carried_out(images[rows], [recipes[row] for row in again])
        return anomalous, masks

    def _carried_out(self, images: Tensor, recipes: Sequence[Paste | Blend]) -> tuple[Tensor, Tensor]:
        anomalous = images.clone()
        masks = torch.zeros(images.shape[:3], dtype=torch.bool, device=self._device)
        pastes = [(row, one) for row, one in enumerate(recipes) if isinstance(one, Paste)]
        blends = [(row, one) for row, one in enumerate(recipes) if isinstance(one, Blend)]
        if pastes:
            rows = self._index([row for row, _ in pastes])
            anomalous[rows], masks[rows] = self._pasted(images[rows], [one for _, one in pastes])
        if blends:
            rows = self._index([row for row, _ in blends])
            anomalous[rows], masks[rows] = self._blended(images[rows], [one for _, one in blends])
        if self.config.keep_grey:
            grey = (images == images[..., :1]).flatten(1).all(dim=1).view(-1, 1, 1, 1)
            anomalous = torch.where(grey, _grey(anomalous.float()).round().to(torch.uint8), anomalous)
        return anomalous, masks

    def _poor(self, images: Tensor, anomalous: Tensor, masks: Tensor) -> list[int]:
        """Rows whose defect is too small or too faint."""
        area = masks.flatten(1).sum(dim=1)
        poor = area < self.config.minimum_area
        if self.config.minimum_change:
            change = (anomalous.float() - images.float()).abs().mean(dim=3) * masks
            poor |= change.flatten(1).sum(dim=1) < self.config.minimum_change * area
        return torch.nonzero(poor).flatten().tolist()

    def _pasted(self, images: Tensor, recipes: Sequence[Paste]) -> tuple[Tensor, Tensor]:
        def of(values: Sequence[float]) -> Tensor:
            return self._numbers(values).view(-1, 1, 1)

        places = torch.arange(self.size, dtype=torch.float32, device=self._device)
        y = places.view(1, -1, 1) - of([one.target[0] for one in recipes])
        x = places.view(1, 1, -1) - of([one.target[1] for one in recipes])
        angle = of([one.angle for one in recipes])
        width, height = of([one.width for one in recipes]), of([one.height for one in recipes])
        cos, sin = angle.cos(), angle.sin()
        across = (cos * x + sin * y + width / 2).floor()
        along = (cos * y - sin * x + height / 2).floor()
        inside = (across >= 0) & (across < width) & (along >= 0) & (along < height)
        rows = (along + of([one.source[0] for one in recipes])).clamp(0, self.size - 1)
        columns = (across + of([one.source[1] for one in recipes])).clamp(0, self.size - 1)
        flat = (rows * self.size + columns).long().flatten(1)
        source = images.flatten(1, 2).gather(1, flat.unsqueeze(2).expand(-1, -1, 3)).view_as(images)
        recoloured = self._recoloured(source.float(), inside.unsqueeze(3), recipes)
        return torch.where(inside.unsqueeze(3), recoloured.to(torch.uint8), images), inside

    def _recoloured(self, pixels: Tensor, inside: Tensor, recipes: Sequence[Paste]) -> Tensor:
        """Four colour changes, each image in its own order; float B×S×S×3 in [0, 255]."""
        count = inside.sum(dim=(1, 2), keepdim=True).clamp(min=1)
        for turn in range(4):
            kinds = [one.order[turn] for one in recipes]
            factors = [one.factors[kind] if kind != HUE else 1.0 for one, kind in zip(recipes, kinds, strict=True)]
            factor = self._numbers(factors)
            grey = _grey(pixels)
            mean = (grey * inside).sum(dim=(1, 2), keepdim=True) / count
            kind = self._index(kinds).view(-1, 1, 1, 1)
            other = torch.where(kind == 2, grey, torch.where(kind == 1, mean, torch.zeros_like(mean)))
            changed = (other + factor.view(-1, 1, 1, 1) * (pixels - other)).clamp(0, 255).round()
            hued = [row for row, one in enumerate(kinds) if one == HUE]
            if hued:
                rows = self._index(hued)
                changed[rows] = _shifted(pixels[rows], self._numbers([recipes[row].factors[HUE] for row in hued]))
            pixels = changed
        return pixels

    def _blended(self, images: Tensor, recipes: Sequence[Blend]) -> tuple[Tensor, Tensor]:
        masks = self._noise(recipes) > self.config.perlin_threshold
        texture = self._textures[self._index([int(one.texture * len(self._textures)) for one in recipes])]
        places = torch.arange(self.size, device=self._device)
        rows = (places + self._index([one.roll[0] for one in recipes]).view(-1, 1)) % self.size
        columns = (places + self._index([one.roll[1] for one in recipes]).view(-1, 1)) % self.size
        batch = torch.arange(len(recipes), device=self._device).view(-1, 1, 1)
        texture = texture[batch, rows.unsqueeze(2), columns.unsqueeze(1)].float()
        beta = self._numbers([one.beta for one in recipes]).view(-1, 1, 1, 1)
        blended = (beta * images + (1 - beta) * texture).round().to(torch.uint8)
        return torch.where(masks.unsqueeze(3), blended, images), masks

    def _noise(self, recipes: Sequence[Blend]) -> Tensor:
        """Perlin noise B×S×S of each recipe's own resolution, turned; 0 where it turned in from outside."""
        size = self.size
        longest = max(max(one.cells) for one in recipes) + 1
        lattice = np.zeros((len(recipes), longest, longest), np.float32)
        for row, one in enumerate(recipes):
            lattice[row, : one.angles.shape[0], : one.angles.shape[1]] = one.angles
        angles = sent(lattice, self._device).flatten(1)
        turn = self._numbers([one.turn for one in recipes]).view(-1, 1, 1)
        middle = (size - 1) / 2
        places = torch.arange(size, dtype=torch.float32, device=self._device) - middle
        y = turn.cos() * places.view(1, -1, 1) + turn.sin() * places.view(1, 1, -1) + middle
        x = turn.cos() * places.view(1, 1, -1) - turn.sin() * places.view(1, -1, 1) + middle
        visible = (y >= 0) & (y <= size - 1) & (x >= 0) & (x <= size - 1)
        total = torch.zeros_like(y)
        axes = []
        for axis, place in enumerate((y, x)):
            cells = self._numbers([one.cells[axis] for one in recipes]).view(-1, 1, 1)
            position = (place + 0.5) * (cells / size)
            cell = torch.minimum(position.floor().clamp(min=0), cells - 1)
            offset = position - cell
            fade = offset**3 * (offset * (offset * 6 - 15) + 10)
            axes.append((cell.long(), offset, fade))
        (rows, down, fade_down), (columns, across, fade_across) = axes
        for below in (0, 1):
            for right in (0, 1):
                angle = angles.gather(1, ((rows + below) * longest + columns + right).flatten(1)).view_as(total)
                share = (fade_down if below else 1 - fade_down) * (fade_across if right else 1 - fade_across)
                total += share * (angle.sin() * (down - below) + angle.cos() * (across - right))
        return total.mul_(2**0.5) * visible

    def _index(self, values: Sequence[int]) -> Tensor:
        return sent(np.array(values, np.int64), self._device)

    def _numbers(self, values: Sequence[float]) -> Tensor:
        return sent(np.array(values, np.float32), self._device)


def _grey(pixels: Tensor) -> Tensor:
    """Luminance of float …×3: …×1."""
    parts = [weight * pixels[..., channel, None] for channel, weight in enumerate(_GREY)]
    return (parts[0] + parts[1] + parts[2]).expand_as(pixels)


def _shifted(pixels: Tensor, turns: Tensor) -> Tensor:
    """B×S×S×3 in [0, 255] with the hue shifted by B parts of the colour wheel."""
    red, green, blue = pixels.unbind(dim=-1)
    value, lowest = pixels.amax(dim=-1), pixels.amin(dim=-1)
    spread = value - lowest
    divisor = spread.clamp(min=1e-6)
    hue = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue = (hue / 6 + turns.view(-1, 1, 1)) % 1
    # each channel is the value less the spread, as far as the hue is away from the channel's own
    channels = []
    for start in (5, 3, 1):
        k = (start + 6 * hue) % 6
        channels.append(value - spread * torch.minimum(torch.minimum(k, 4 - k), torch.ones_like(k)).clamp(min=0))
    return torch.stack(channels, dim=-1).round()
