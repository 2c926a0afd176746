"""Few-shot evaluation: how well a model names defects after K_n normal images and K_a examples of each category.

Shots are drawn anew for every seed, and the result is a mean with its spread, for the draw decides a lot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blemish.config import TeachConfig
from blemish.data.dataset import Dataset
from blemish.data.defects import DefectExample
from blemish.data.priors import Priors
from blemish.data.shots import Shots, draw_shots
from blemish.data.split import SplitRule
from blemish.errors import ConfigError
from blemish.evaluation.evaluate import evaluate
from blemish.evaluation.protocols import ProtocolName
from blemish.evaluation.scorecard import Scorecard
from blemish.inspector import Inspector
from blemish.model_folder import SHIPPED
from blemish.training.loop import TrainProgress
from blemish.training.teach import teach, without_categories
from blemish.training.train import train


@dataclass(frozen=True)
class ShotCounts:
    """How many images a model may learn from.

    Attributes:
        normals: K_n, per product; None: all that the model has seen.
        defects: K_a, per category.
    """

    normals: int | None
    defects: int

    @classmethod
    def of(cls, text: str) -> ShotCounts:
        """Read `KN,KA`, such as `2,1` or `all,2`. Raises ConfigError."""
        first, _, second = (part.strip() for part in text.partition(","))
        try:
            counts = cls(None if first == "all" else int(first), int(second))
        except ValueError:
            counts = cls(-1, -1)
        if counts.defects < 0 or (counts.normals is not None and counts.normals < 1):
            raise ConfigError(f"'{text}' is no number of shots.", "Write KN,KA such as 2,1 or all,2.")
        return counts


@dataclass(frozen=True)
class FewShotRun:
    """The result of one seed.

    Attributes:
        shots: what the model learned from, and what tested it.
        card: what came of it.
    """

    shots: Shots
    card: Scorecard


def evaluate_few_shot(
    inspector: Inspector,
    dataset: Dataset,
    counts: ShotCounts,
    seeds: Sequence[int],
    *,
    rule: SplitRule = "group",
    priors: Priors | None = None,
    protocol: ProtocolName = "honest",
    report: str | Path | None = None,
    meta: Mapping[str, Any] | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
) -> Iterator[FewShotRun]:
    """One run for each seed.

    With all normal images the model itself learns the categories; with K_n of them one of the same configuration is
    trained on these alone. Categories that the model has already are forgotten first. Texture images do not travel with
    a model: its pseudo-anomalies are of procedural ones then.

    Args:
        inspector: gives configuration, and with all normal images the model.
        dataset: to draw from and to test with.
        counts: of the shots.
        seeds: of the draws and trainings.
        rule: see `data.shots.draw_shots`.
        priors: descriptions of the categories; with K_a = 0 the only thing to learn them from.
        protocol: see `evaluation.protocols`.
        report: HTML file, of the first seed.
        meta: see `evaluation.evaluate`.
        progress: called often.

    Raises:
        ConfigError: K_a = 0 without descriptions, or K_n of a model whose training began from another one, which did
            not travel with it.
        BlemishError: as `draw_shots`, `train`, `teach` and `evaluate`.
    """
    if not counts.defects and priors is None:
        raise ConfigError("Without examples the categories need descriptions.", "Add: --priors FILE")
    start = inspector.config.init
    if counts.normals is not None and start not in (None, SHIPPED) and not Path(start).is_absolute():
        raise ConfigError(
            f"The model was trained from {start}, which did not travel with it, so it cannot be trained anew.",
            "Let the model itself learn: --shots all,K.",
        )
    for number, seed in enumerate(seeds):
        shots = draw_shots(dataset, counts.normals, counts.defects, seed, rule=rule)
        base = without_categories(inspector)
        if counts.normals is not None:
            config = inspector.config.model_copy(update={"seed": seed})
            engine = base.engine
            backbone = getattr(getattr(engine, "network", None), "backbone", None)
            base = train(shots.dataset, config, backbone=backbone, progress=progress)
        teaching = (inspector.teaching or TeachConfig.of("fast")).model_copy(update={"seed": seed})
        examples = [example for sample in shots.defects if (example := DefectExample.of(sample)) is not None]
        taught, _ = teach(base, examples, teaching, priors=priors, progress=progress)
        facts = {**(meta or {}), "shots": f"{counts.normals or 'all'},{counts.defects}", "seed": seed}
        shown = report if number == 0 else None
        taught = replace(taught, seen=frozenset())  # the draw itself keeps shots and their parts out of the test
        yield FewShotRun(shots, evaluate(taught, shots.dataset, protocol=protocol, report=shown, meta=facts))
