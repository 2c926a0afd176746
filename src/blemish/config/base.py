"""What all configurations share: frozen values, unknown names refused, presets with changes."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from blemish.errors import ConfigError

PresetName = Literal["paper", "fast", "accurate"]
_Model = TypeVar("_Model", bound=BaseModel)


class Config(BaseModel):
    """A frozen set of values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def preset_values(presets: dict[str, dict[str, Any]], preset: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The values of a preset with changes; nested values are changed with dictionaries.

    Raises:
        ConfigError: there is no such preset.
    """
    if preset not in presets:
        raise ConfigError(f"There is no preset '{preset}'.", f"Choose one of {', '.join(presets)}.")
    return merged({**presets[preset], "preset": preset}, changes)


def parsed(model: type[_Model], data: dict[str, Any]) -> _Model:
    """Validate plain data. Raises ConfigError."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        message = "there is no such value" if unknown else first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"Configuration{f' value {place}' if place else ''}: {message}.") from None


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with changes, dictionaries within dictionaries too."""
    result = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            value = merged(result[key], value)
        result[key] = value
    return result
