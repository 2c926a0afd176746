"""The trained network as one ONNX graph, from pixels to maps."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blemish.engines.onnx_engine import INPUTS, OUTPUTS
from blemish.errors import BlemishError, MissingExtraError
from blemish.models.prompt_bank import PromptBank
from blemish.models.prompted import PromptedNetwork

OPSET = 20
_AT_ONCE = 112  # cells whose nearest patches are searched for together; 28 were slower, 784 no faster
_BLOCK = 50  # patches
_FAR = -1e30
_MOST = 4096  # images at a time


class ExportedNetwork(nn.Module):
    """A `PromptedNetwork` without anything that depends on the images' number or products.

    Args:
        network: trained, in evaluation mode, with its prompts encoded.
    """

    def __init__(self, network: PromptedNetwork) -> None:
        super().__init__()
        self.network = network
        self.search = None if network.bank is None else Search(network.bank)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `forward` returns."""
        absent = set()
        if self.network.model.refiner is None:
            absent.add("refiner")
        if self.network.categories is None:
            absent.add("categories")
        return tuple(name for name in OUTPUTS if name not in absent)

    def forward(self, images: Tensor, product: Tensor) -> tuple[Tensor, ...]:
        """Maps of a batch.

        Args:
            images: uint8 B×S×S×3.
            product: int64 B, index of the product that an image shows; −1: the most similar one.

        Returns:
            What `EngineMaps` holds, as far as the network has it.
        """
        network = self.network
        tokens, similarities, chosen = network.recognised(images, product)
        if network.bank is None or self.search is None:
            reconstruction = network.model.decode(network.model.encode(tokens), network.get_buffer("encoded")[chosen])
        else:
            prompts = network.bank.compose(self.search(tokens, chosen), chosen)
            reconstruction = network.model.reconstruct(tokens, prompts)
        return network.answer(tokens, similarities, chosen, reconstruction).tensors()


class Search(nn.Module):
    """`PromptBank.search` for images of several products, in operations that runtimes compute fast.

    Half the squared length of a patch's key is one more coordinate of the key, and the maximum is found among blocks of
    patches first, for runtimes find maxima much faster than their places.

    Args:
        bank: filled and indexed.
    """

    def __init__(self, bank: PromptBank) -> None:
        super().__init__()
        self.layout = bank.layout
        keys, half_norms = bank.get_buffer("keys"), bank.get_buffer("half_norms")
        missing = -keys.shape[2] % _BLOCK  # patches that are never the nearest fill the last block
        self.register_buffer("projection", bank.get_buffer("projection").clone())
        self.register_buffer(
            "keys",
            torch.cat([F.pad(keys, (0, missing)), F.pad(-half_norms, (0, missing), value=_FAR).unsqueeze(1)], dim=1),
        )

    def forward(self, tokens: Tensor, products: Tensor) -> Tensor:
        """Standardised tokens B×C×h×w of images of `products` (B) → nearest patches, int64 B×cells."""
        queries = self.layout.unfold(tokens).flatten(2).transpose(1, 2) @ self.get_buffer("projection")
        queries = torch.cat([queries, torch.ones_like(queries[:, :, :1])], dim=2)
        keys = self.get_buffer("keys")[products]
        return torch.cat([_places_of_maxima(part @ keys) for part in torch.split(queries, _AT_ONCE, dim=1)], dim=1)


def _places_of_maxima(values: Tensor) -> Tensor:
    """B×n×patches → B×n."""
    blocks = values.reshape(values.shape[0], values.shape[1], -1, _BLOCK)
    best = blocks.amax(dim=3).argmax(dim=2)
    inside = torch.gather(blocks, 2, best[:, :, None, None].expand(-1, -1, 1, _BLOCK)).squeeze(2)
    return best * _BLOCK + inside.argmax(dim=2)


def write_graph(network: PromptedNetwork, path: Path) -> None:
    """Write the network as ONNX, with any number of images at a time.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        BlemishError: the backbone holds an operation that ONNX has not.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "export", "Exporting") from None
    exported = ExportedNetwork(network).eval()
    size = network.layout.grid * network.model.stride
    device = network.device
    images = torch.zeros(3, size, size, 3, dtype=torch.uint8, device=device)
    product = torch.full((3,), -1, device=device)
    batch = torch.export.Dim("batch", min=1, max=_MOST)
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                exported,
                (images, product),
                dynamo=True,
                dynamic_shapes=({0: batch}, {0: batch}),
                input_names=list(INPUTS),
                output_names=list(exported.outputs),
                opset_version=OPSET,
                optimize=True,
                verbose=False,
            )
            assert program is not None
            program.save(path, external_data=False)
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise BlemishError(
            f"The network cannot be written as ONNX: {reason}", "Keep it with PyTorch, or choose another backbone."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of its own deprecated parts and logs what it does."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
