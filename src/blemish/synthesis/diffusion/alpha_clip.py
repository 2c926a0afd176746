"""AlphaCLIP: CLIP whose image encoder is told by a mask where to look (UniADC §3.2, category consistency)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from blemish.backbones.transformers_import import import_transformers, quiet
from blemish.errors import ModelError
from blemish.synthesis.diffusion.alpha_clip_weights import ALPHA, BELONGS, read_vision_weights
from blemish.synthesis.diffusion.folders import read_config, require
from blemish.synthesis.diffusion.latents import encoded_tokens
from blemish.synthesis.diffusion.selection import Candidates, Mask, Pixels, Scores

_BELONGS_FOLDER = (
    "A CLIP folder (openai/clip-vit-large-patch14-336) holds config.json, model.safetensors and the tokenizer's files."
)
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# of the mask in [0, 1], as its authors state
_ALPHA_MEAN, _ALPHA_STD = 0.5, 0.26
_BATCH = 16


class AlphaCLIP(nn.Module):
    """Scores candidates by how much their masked region looks like their own category's description.

    Args:
        vision: CLIP's image encoder with projection, of transformers.
        text: CLIP's text encoder with projection.
        tokenizer: of the text encoder.
        alpha: D×1×p×p, weights of the convolution of the mask.
    """

    def __init__(self, vision: Any, text: Any, tokenizer: Any, alpha: Tensor) -> None:
        super().__init__()
        self.vision, self.text, self._tokenizer = vision, text, tokenizer
        width, _, patch, _ = alpha.shape
        self.alpha = nn.Conv2d(1, width, kernel_size=patch, stride=patch, bias=False)
        self.alpha.load_state_dict({"weight": alpha.float()})
        self.eval().requires_grad_(False)

    @classmethod
    def load(cls, clip: Path, weights: Path, device: str | torch.device = "cpu") -> AlphaCLIP:
        """Read AlphaCLIP from local files; nothing is fetched, and nothing but tensors is unpacked.

        Args:
            clip: folder of the CLIP that AlphaCLIP was made from; its text encoder and its shape serve.
            weights: AlphaCLIP's published vision weights.

        Raises:
            ModelError: a file is missing or does not fit; names what belongs there.
            MissingExtraError: transformers is not installed.
        """
        clip, weights = Path(clip), Path(weights)
        tokenizer = {name: (name, "tokenizer.json") for name in ("vocab.json", "merges.txt")}
        weight_file = {"model.safetensors": ("model.safetensors", "pytorch_model.bin")}
        require(clip, {"config.json": ("config.json",), **weight_file, **tokenizer}, _BELONGS_FOLDER)
        read_config(clip / "config.json", _BELONGS_FOLDER)
        tensors = read_vision_weights(weights)
        transformers = import_transformers()
        try:
            with quiet():
                # a .bin file is read as tensors only, too
                safe = (clip / "model.safetensors").is_file()
                options = {"local_files_only": True, "use_safetensors": safe, "dtype": torch.float32}
                text = transformers.CLIPTextModelWithProjection.from_pretrained(str(clip), **options)
                words = transformers.CLIPTokenizer.from_pretrained(str(clip), local_files_only=True)
                config = transformers.CLIPConfig.from_pretrained(str(clip), local_files_only=True).vision_config
                vision = transformers.CLIPVisionModelWithProjection(config)
        except Exception as error:  # transformers raises whatever its parsers and torch raise
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"{clip} cannot be loaded: {reason}.", _BELONGS_FOLDER) from error
        alpha = tensors.pop(ALPHA)
        wanted = vision.state_dict()
        odd = [name for name in wanted if name not in tensors or tensors[name].shape != wanted[name].shape]
        if odd or alpha.shape[0] != config.hidden_size or alpha.shape[2] != config.patch_size:
            raise ModelError(
                f"{weights} does not fit {clip}: {odd[0] if odd else ALPHA} is missing or has another shape.",
                f"{BELONGS} {_BELONGS_FOLDER}",
            )
        vision.load_state_dict({name: tensors[name].float() for name in wanted})
        return cls(vision, text, words, alpha).to(device)

    def scores(self, candidates: Candidates) -> Scores:
        """N probabilities of the own description among all of the product: softmax over plain cosines, no scale."""
        regions = self.region_embeddings(candidates.images, candidates.masks)
        texts = self.text_embeddings([candidates.prompt, *candidates.others])
        probabilities = (regions @ texts.T).softmax(dim=1)[:, 0]
        return np.asarray(probabilities.cpu().numpy(), dtype=np.float64)

    @torch.no_grad()
    def text_embeddings(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors T×D."""
        tokens = encoded_tokens(texts, self._tokenizer, self.text.config.max_position_embeddings)
        return F.normalize(self.text(tokens.to(self._device)).text_embeds, dim=-1)

    @torch.no_grad()
    def region_embeddings(self, images: Pixels, masks: Mask) -> Tensor:
        """Unit vectors N×D of the masked regions of images N×S×S×3, masks N×S×S."""
        patches = self.vision.vision_model.embeddings.patch_embedding
        parts = []
        for start in range(0, len(images), _BATCH):
            pixels, alpha = self._inputs(images[start : start + _BATCH], masks[start : start + _BATCH])
            added = self.alpha(alpha)
            handle = patches.register_forward_hook(lambda _, __, output, added=added: output + added)
            try:
                parts.append(self.vision(pixel_values=pixels).image_embeds)
            finally:
                handle.remove()
        return F.normalize(torch.cat(parts), dim=-1)

    @property
    def _device(self) -> torch.device:
        return self.alpha.weight.device

    def _inputs(self, images: Pixels, masks: Mask) -> tuple[Tensor, Tensor]:
        """Normalised images B×3×R×R and masks B×1×R×R at CLIP's resolution."""
        side = self.vision.config.image_size
        small = [Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC) for image in images]
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in small])).to(self._device)
        mean, std = (torch.tensor(value, device=self._device) for value in (_MEAN, _STD))
        alpha = torch.from_numpy(np.ascontiguousarray(masks)).float()[:, None].to(self._device)
        alpha = F.interpolate(alpha, size=(side, side), mode="bilinear", antialias=True)
        return ((pixels / 255 - mean) / std).permute(0, 3, 1, 2), (alpha - _ALPHA_MEAN) / _ALPHA_STD
