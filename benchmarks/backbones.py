"""The feature extractors that benchmarks compare: the embedded one, candidates for it, and ImageNet networks."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from torch import nn

from blemish.backbones.backbone import Backbone, load_backbone
from blemish.config import BackboneConfig

IMAGENET = {
    "densenet169": "densenet169_imagenet_fp16",
    "resnet50": "resnet50_imagenet_to_layer3_fp16",
    "resnet18": "resnet18_imagenet_to_layer3_fp16",
}


def backbone_config(name: str, shared: Path, strides: tuple[int, ...]) -> BackboneConfig:
    """Configuration of `embedded`, of a name of IMAGENET, or of a candidate for the embedded one, FILE.safetensors."""
    if name in IMAGENET:
        weights = shared / "weights" / f"{IMAGENET[name]}.safetensors"
        return BackboneConfig(name=f"timm:{name}", weights=weights, strides=strides)
    return BackboneConfig(strides=strides)


def open_backbone(name: str, shared: Path, strides: tuple[int, ...], size: int) -> Backbone:
    """The backbone itself."""
    backbone = load_backbone(backbone_config(name, shared, strides), size, offline=True)
    if name == "resnet50":
        _stride_first(backbone.network)
    elif name.endswith(".safetensors"):
        from safetensors.torch import load_file

        backbone.network.load_state_dict({key: tensor.float() for key, tensor in load_file(name).items()})
    return backbone


def _stride_first(network: nn.Module) -> None:
    """These weights are of the first ResNet-50, whose blocks stride in their 1×1 convolution; timm's in the 3×3."""
    for layer in ("layer2", "layer3"):
        block = network.get_submodule(f"{layer}.0")
        for convolution, stride in (("conv1", 2), ("conv2", 1)):
            cast("nn.Conv2d", block.get_submodule(convolution)).stride = (stride, stride)
