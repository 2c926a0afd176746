"""The embedded backbone: a small convolutional network of our own whose weights ship inside the package.

It imitates the first three levels of an ImageNet ResNet-18, standardised per channel, and has seen nothing but
procedurally generated scenes (`tools/train_backbone.py` makes it).
"""

from __future__ import annotations

from importlib.resources import as_file, files

from torch import Tensor, nn

from blemish.errors import ModelError

WEIGHTS = "embedded.safetensors"

_STEM = 24
_WIDTHS = (48, 96, 192)
_BLOCKS = (1, 1, 2)


class EmbeddedNetwork(nn.Module):
    """Three stages of plain 3×3 convolutions, each with a linear head that maps its features to a teacher's level.

    Plain convolutions, because on a CPU they compute more than twice as many products per second as depthwise
    ones. The batch norms of training are folded into the convolutions.

    Attributes:
        strides: pixels per cell of each level.
        channels: channels of each level.
    """

    strides = (4, 8, 16)
    channels = (64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        inputs = (_STEM, *_WIDTHS)
        self.stem = _convolution(3, _STEM, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(_convolution(before, width, stride=2), *(_Residual(width) for _ in range(blocks)))
            for before, width, blocks in zip(inputs, _WIDTHS, _BLOCKS, strict=False)
        )
        self.heads = nn.ModuleList(
            nn.Conv2d(width, channels, kernel_size=1) for width, channels in zip(_WIDTHS, self.channels, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of a batch of images.

        Args:
            images: B×3×H×W, RGB in [0, 1] normalised with ImageNet's mean and standard deviation.

        Returns:
            B×64×H/4×W/4, B×128×H/8×W/8 and B×256×H/16×W/16, sizes rounded up. Linear outputs: about zero mean, and
            a variance below 1 which is the share of the teacher's variance that the network can predict.
        """
        features = self.stem(images)
        levels = []
        for stage, head in zip(self.stages, self.heads, strict=True):
            features = stage(features)
            levels.append(head(features))
        return levels


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.relu(features + self.second(self.first(features)))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1), nn.ReLU(inplace=True))


def load_embedded() -> EmbeddedNetwork:
    """The network with the weights that ship: float32, evaluation mode, frozen.

    Raises:
        ModelError: the weights are missing from the installation or are not this network's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    resource = files("blemish.backbones").joinpath(WEIGHTS)
    network = EmbeddedNetwork()
    try:
        with as_file(resource) as path:
            weights = load_file(path)
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"The embedded backbone's weights cannot be read from {resource}: {error}.", "Reinstall blemish."
        ) from None
    return network.eval().requires_grad_(False)
