"""The product before its background, found by BiRefNet (UniADC §3.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blemish.errors import ModelError

# UniADC's release: side in pixels, probability of the foreground, and the least of it that counts
_SIDE, _THRESHOLD, _LEAST = 512, 0.5, 0.05
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BELONGS = "Name a folder with BiRefNet's config.json, weights and code, or its hub id, ZhengPeng7/BiRefNet."
_CODE_FLAG = "--allow-remote-code"


class BiRefNet:
    """Separates foreground from background.

    Args:
        source: a local folder, or a hub id that the user names.
        allow_code: BiRefNet comes with code of its own, which transformers runs only when it is allowed to.
        offline: never touch the network; a hub id must lie in the hub's cache.

    Raises:
        ModelError: the weights cannot be loaded, or bring code that is not allowed to run.
        MissingExtraError: transformers is not installed.
    """

    def __init__(self, source: str, allow_code: bool = False, offline: bool = False) -> None:
        from blemish.backbones.transformers_import import import_transformers, quiet

        local = Path(source).exists()
        if local and not (Path(source) / "config.json").is_file():
            raise ModelError(f"{source} is not complete: it lacks config.json.", _BELONGS)
        automatic = import_transformers().AutoModelForImageSegmentation
        try:
            with quiet():
                self._network = automatic.from_pretrained(
                    source, trust_remote_code=allow_code, local_files_only=local or offline
                )
        except ImportError as error:  # its code imports what transformers does not bring
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"{source} cannot run: {reason}.", "Install the packages that its code names.") from error
        except Exception as error:  # transformers raises whatever its hub client, its parsers and that code raise
            if "trust_remote_code" in str(error):
                raise ModelError(
                    f"{source} brings code of its own, which is not run unasked.",
                    f"Read it, and if you trust it say {_CODE_FLAG}.",
                ) from None
            reason = " ".join(str(error).split())[:300]
            where = " There is no such folder, and offline no hub is asked." if offline and not local else ""
            raise ModelError(f"{source} cannot be loaded: {reason}.{where}", _BELONGS) from error
        self._network.float().eval().requires_grad_(False)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Foreground S×S of an image S×S×3; all of it where less than 5 % is found."""
        import torch

        height, width = image.shape[:2]
        small = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        pixels = (np.asarray(small, dtype=np.float32) / 255 - _MEAN) / _STD
        with torch.no_grad():
            logits = _last(self._network(torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]))
            probability = logits.reshape(1, 1, *logits.shape[-2:]).float().sigmoid()
            probability = torch.nn.functional.interpolate(probability, (height, width), mode="bilinear")
        foreground: NDArray[np.bool_] = probability[0, 0].numpy() >= _THRESHOLD
        return foreground if foreground.mean() >= _LEAST else np.ones_like(foreground)


def _last(answer: Any) -> Any:
    """The finest of the logits: BiRefNet gives a list from coarse to fine, its kin an object with `logits`."""
    if hasattr(answer, "logits"):
        answer = answer.logits
    return answer[-1] if isinstance(answer, (list, tuple)) else answer
