"""The whole chain from pixels to maps: backbone, standardisation, choice of the prompt, OneNIP, categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blemish.backbones.backbone import Backbone
from blemish.backbones.layout import FeatureLayout
from blemish.config import ModelConfig
from blemish.models.categories import CategoryHead
from blemish.models.onenip import OneNIP
from blemish.models.prompt_bank import PromptBank


@dataclass(frozen=True)
class PromptedMaps:
    """Answer for a batch.

    Attributes:
        similarities: B×P, cosine similarity of the signature to that of each product's prompt, in [-1, 1].
        products: B, index of the product whose prompt was used.
        reconstruction_map: B×S×S, ≥ 0.
        refiner_map: B×S×S in [0, 1]; None without a refiner.
        category_logits: B×K×side×side at the resolution of the cells; None while there are no categories.
    """

    similarities: Tensor
    products: Tensor
    reconstruction_map: Tensor
    refiner_map: Tensor | None
    category_logits: Tensor | None

    def tensors(self) -> tuple[Tensor, ...]:
        """All that is not None, in this order."""
        every = (self.similarities, self.products, self.reconstruction_map, self.refiner_map, self.category_logits)
        return tuple(one for one in every if one is not None)


class PromptedNetwork(nn.Module):
    """OneNIP with its backbone and one stored prompt per product.

    Prompts are encoded once, when they are set; the product of an image is the one whose prompt's mean feature has
    the highest cosine similarity to the image's (OneNIP §3.4); with `discriminant` both are whitened before.
    With `prompt_patches` the prompt is composed for
    each image out of that product's `PromptBank`; without a decoder that prompt itself is the reconstruction.

    Args:
        backbone: frozen.
        config: of the network.
        products: how many prompts there will be.
    """

    def __init__(self, backbone: Backbone, config: ModelConfig, products: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.layout = FeatureLayout.of(backbone, config)
        channels = self.layout.token_channels
        self.model = OneNIP(
            channels=channels,
            grid=(config.grid, config.grid),
            width=config.width,
            heads=config.heads,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            feedforward=config.feedforward,
            dropout=config.dropout,
            neighbour_window=config.window,
            decoder=config.decoder,
            refiner=config.refiner,
            refiner_channels=config.refiner_channels,
            refiner_bottleneck=config.refiner_bottleneck,
            refiner_sees_features=config.refiner_sees_features,
            layout=self.layout,
            adds_to_prompt=config.prompt_patches > 0,
            error_smoothing=config.error_smoothing,
        )
        self.categories: CategoryHead | None = None
        self.bank = PromptBank(self.layout, products, config.prompt_patches) if config.prompt_patches else None
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))
        if config.discriminant:
            self.register_buffer("discriminants", torch.eye(self.layout.cell_channels))
        self.register_buffer("prompts", torch.zeros(products, channels, config.grid, config.grid))
        if not config.prompt_patches:
            self.register_buffer("encoded", torch.zeros(products, config.grid**2, config.width), persistent=False)

    @torch.no_grad()
    def start_from(self, other: PromptedNetwork) -> None:
        """Take over the weights of a network of the same architecture, and its standardisation; no products."""
        self.model.load_state_dict(other.model.state_dict())
        for name in ("mean", "std"):
            self.get_buffer(name).copy_(other.get_buffer(name))

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.get_buffer("mean").device

    def tokens(self, images: Tensor) -> Tensor:
        """uint8 B×S×S×3 → B×C×h×w tokens as the backbone gives them, not standardised."""
        return self.layout.tokens(self.backbone.levels(images))

    def standardised(self, tokens: Tensor) -> Tensor:
        """Tokens as OneNIP takes them."""
        return (tokens - self.get_buffer("mean")) / self.get_buffer("std")

    @torch.no_grad()
    def set_prompts(self, tokens: Tensor) -> None:
        """Store standardised prompt tokens P×C×h×w, one per product, and encode them."""
        self.get_buffer("prompts").copy_(tokens)
        self.encode_prompts()

    @torch.no_grad()
    def encode_prompts(self) -> None:
        """Bring what is derived from the prompts up to date; call it after loading or training."""
        if self.bank is not None:
            self.bank.index()
        else:
            self.get_buffer("encoded").copy_(self.model.encode(self.get_buffer("prompts")))

    def reconstruct(self, tokens: Tensor, products: Tensor, excluded: Sequence[Tensor | None] | None = None) -> Tensor:
        """Reconstruction of standardised tokens under the prompts of `products` (B).

        Args:
            tokens: B×C×h×w.
            products: B indices.
            excluded: for each image the patches (bool) that its composed prompt may not have; None: none.
        """
        if self.bank is None:
            return self.model.decode(self.model.encode(tokens), self.get_buffer("encoded")[products])
        without = [None] * len(tokens) if excluded is None else excluded
        indices = torch.cat(
            [
                self.bank.search(row.unsqueeze(0), product, None if own is None else own.unsqueeze(0))
                for row, product, own in zip(tokens, products.tolist(), without, strict=True)
            ]
        )
        return self.model.reconstruct(tokens, self.bank.compose(indices, products))

    def signatures(self, tokens: Tensor) -> Tensor:
        """What tells products apart: the mean of standardised tokens, one row per image, or its discriminants."""
        if "discriminants" in self._buffers:
            return self.layout.means(tokens) @ self.get_buffer("discriminants")
        return tokens.mean(dim=(2, 3))

    def similarities(self, tokens: Tensor) -> Tensor:
        """Cosine similarity B×P of standardised tokens' signatures to the prompts'."""
        own, prompts = self.signatures(tokens), self.signatures(self.get_buffer("prompts"))
        return F.normalize(own, dim=1) @ F.normalize(prompts, dim=1).T

    def forward(self, images: Tensor, product: Tensor, excluded: Tensor | None = None) -> PromptedMaps:
        """Inspect images.

        Args:
            images: uint8 B×S×S×3.
            product: int64 B, index of the product that an image shows; −1: the most similar one.
            excluded: the patches (bool) that a composed prompt may not have; None: none.
        """
        tokens, similarities, chosen = self.recognised(images, product)
        reconstruction = self.reconstruct(tokens, chosen, None if excluded is None else [excluded] * len(tokens))
        return self.answer(tokens, similarities, chosen, reconstruction)

    def recognised(self, images: Tensor, product: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Standardised tokens, their similarities to the products, and the products; inputs as for `forward`."""
        tokens = self.standardised(self.tokens(images))
        similarities = self.similarities(tokens)
        return tokens, similarities, torch.where(product < 0, similarities.argmax(dim=1), product)

    def answer(self, tokens: Tensor, similarities: Tensor, chosen: Tensor, reconstruction: Tensor) -> PromptedMaps:
        """Maps and category logits of standardised tokens, reconstructed under the prompts of the products `chosen`."""
        maps = self.model.maps(tokens, reconstruction)
        refined, head = maps.refiner_map, self.categories
        return PromptedMaps(
            similarities,
            chosen,
            maps.reconstruction_map.squeeze(1),
            None if refined is None else refined.squeeze(1),
            None if head is None else head(head.inputs(tokens, reconstruction), chosen),
        )
