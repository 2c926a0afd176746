"""The model that a training starts from."""

from __future__ import annotations

from blemish.config import TrainConfig
from blemish.engines.torch_engine import TorchEngine
from blemish.errors import ConfigError
from blemish.inspector import Inspector
from blemish.models.prompted import PromptedNetwork

_BACKBONE = ("name", "strides", "levels")
_TRANSFORMER = {"width", "heads", "encoder_layers", "decoder_layers", "feedforward", "neighbour_window"}
# may differ: what the weights mean does not depend on them
_OWN = {"tiles", "prompt_patches", "discriminant", "standardise", "principal_start", "dropout"}


def load_start(config: TrainConfig, *, offline: bool) -> tuple[PromptedNetwork, TrainConfig]:
    """The network that `config.init` names, and the configuration with the backbone that it brings.

    Raises:
        ModelError: there is no such model.
        ConfigError: it was exported, or is of another architecture than `config` asks for.
    """
    assert config.init is not None
    inspector = Inspector.load(config.init, device="cpu", offline=offline)
    engine = inspector.engine
    if not isinstance(engine, TorchEngine):
        raise ConfigError(
            f"A training cannot start from {config.init}, which was exported.", "Name the model that it comes from."
        )
    for place, has, wanted in _architectures(inspector.config, config):
        if has != wanted:
            raise ConfigError(
                f"A training cannot start from {config.init}: its {place} is {has}, not {wanted}.",
                f"Train with the preset '{inspector.config.preset}' and that model's settings, or without a model to "
                "start from.",
            )
    return engine.network, config.model_copy(update={"backbone": inspector.config.backbone})


def _architectures(start: TrainConfig, config: TrainConfig) -> list[tuple[str, object, object]]:
    """Every setting that weights depend on, in both."""
    ours, theirs = config.backbone.portable(), start.backbone.portable()
    found = [(f"backbone.{name}", getattr(theirs, name), getattr(ours, name)) for name in _BACKBONE]
    free = _OWN if config.model.decoder != "none" else _OWN | _TRANSFORMER
    names = [name for name in type(config.model).model_fields if name not in {"decoder", *free}]
    for name in ("decoder", *names):
        found.append((f"model.{name}", getattr(start.model, name), getattr(config.model, name)))
    return found
