"""The PyTorch engine: the trained network itself, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish.backbones.backbone import Backbone, build_backbone
from blemish.backbones.description import Description
from blemish.backbones.reduced import ReducedBackbone, reduced
from blemish.config import BackboneConfig, ModelConfig, TeachConfig
from blemish.engines.engine import EngineMaps
from blemish.engines.replay import Replayed
from blemish.engines.tensors import read_metadata, read_tensors, save_tensors
from blemish.errors import ConfigError, ModelError
from blemish.models.categories import CategoryHead
from blemish.models.prompted import PromptedMaps, PromptedNetwork
from blemish.transfer import fetched, sent

WEIGHTS, PROMPTS, BACKBONE = "model.safetensors", "prompts.safetensors", "backbone.safetensors"
CATEGORIES = "categories.safetensors"


class TorchEngine:
    """Runs a `PromptedNetwork`.

    Args:
        network: trained, with its prompts set.
        device: `auto` (a GPU when there is one), `cpu`, `cuda`, `cuda:1` …
    """

    def __init__(self, network: PromptedNetwork, device: str = "auto") -> None:
        self.device = pick_device(device)
        self.network = network.eval().to(self.device)
        self.network.encode_prompts()
        # the search in a prompt bank waits for the products
        replays = self.device.type == "cuda" and network.bank is None
        self._tensors: Callable[..., tuple[Tensor, ...]] = Replayed(self._plain) if replays else self._plain

    def _plain(self, images: Tensor, product: Tensor, excluded: Tensor | None = None) -> tuple[Tensor, ...]:
        maps: PromptedMaps = self.network(images, product, excluded)
        return maps.tensors()

    @torch.inference_mode()
    def run(
        self, images: NDArray[np.uint8], product: int | None = None, excluded: NDArray[np.bool_] | None = None
    ) -> EngineMaps:
        """See `Engine.run`; `excluded`: patches of a composed prompt (bool) that may not be found."""
        products = torch.full((len(images),), -1 if product is None else product, device=self.device)
        tensors = self._tensors
        if excluded is not None:
            tensors = partial(self._plain, excluded=torch.from_numpy(excluded).to(self.device))
        answers = fetched(tensors(sent(images, self.device), products))
        similarities, chosen, reconstruction, *more = answers
        refined = more.pop(0) if self.network.model.refiner is not None else None
        return EngineMaps(similarities, chosen, reconstruction, refined, more[0] if more else None)

    def with_categories(self, head: CategoryHead | None) -> TorchEngine:
        """The same network with other categories, or with none; its weights are shared."""
        network = copy(self.network)
        network._modules = dict(self.network._modules)
        network.categories = head
        return TorchEngine(network, str(self.device))

    def save(self, folder: Path, backbone: BackboneConfig) -> None:
        """Write weights and prompts to a folder, and the backbone's weights unless they ship with the package."""
        state = self.network.state_dict()
        apart = ("backbone.", "categories.", "prompts")
        save_tensors({name: value for name, value in state.items() if not name.startswith(apart)}, folder / WEIGHTS)
        save_tensors({"prompts": state["prompts"]}, folder / PROMPTS)
        if self.network.categories is not None:
            save_tensors(self.network.categories.state_dict(), folder / CATEGORIES)
        extractor = self.network.backbone
        if _travels(extractor, backbone):
            save_tensors(extractor.state_dict(), folder / BACKBONE, extractor.description.metadata())

    @classmethod
    def load(
        cls,
        folder: Path,
        backbone: BackboneConfig,
        model: ModelConfig,
        products: int,
        device: str = "auto",
        teach: TeachConfig | None = None,
    ) -> TorchEngine:
        """Read what `save` wrote; `teach`: how its categories were learned, None while it has none.

        Raises:
            ModelError: a file is missing, damaged or of another model.
        """
        extractor = _read_backbone(folder / BACKBONE, backbone, model.size)
        network = PromptedNetwork(extractor, model, products)
        state = {**read_tensors(folder / WEIGHTS), **read_tensors(folder / PROMPTS)}
        own = {f"backbone.{name}": value for name, value in extractor.state_dict().items()}
        _load(network, {**state, **own}, folder / WEIGHTS)
        if teach is not None:
            network.categories = _read_categories(folder / CATEGORIES, network, teach)
        return cls(network, device)


def pick_device(name: str) -> torch.device:
    """`auto` or a torch device name to a device that is there. Raises ConfigError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"There is no device '{name}' here: {error}.", "Choose auto, cpu or cuda.") from None
    return device


def _read_backbone(path: Path, backbone: BackboneConfig, size: int) -> Backbone:
    description = None if backbone.name == "embedded" else Description.of(read_metadata(path))
    extractor = reduced(build_backbone(backbone, size, description), backbone.components)
    if _travels(extractor, backbone):
        _load(extractor, read_tensors(path), path)
    return extractor


def _travels(extractor: Backbone, backbone: BackboneConfig) -> bool:
    """Whether the backbone's weights are in the model folder; those of the embedded one ship with the package."""
    return backbone.name != "embedded" or isinstance(extractor, ReducedBackbone)


def _read_categories(path: Path, network: PromptedNetwork, teach: TeachConfig) -> CategoryHead:
    state = read_tensors(path)
    if "embeddings" not in state:
        raise ModelError(f"{path} holds no embeddings of categories.", "Copy the model folder again.")
    head = CategoryHead(network.layout, teach, state["embeddings"], len(network.get_buffer("prompts")))
    _load(head, state, path)
    return head


def _load(module: torch.nn.Module, state: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit its config.json: {error}.", "Copy the model folder again.") from error
