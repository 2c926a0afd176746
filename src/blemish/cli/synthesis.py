"""What `blemish synthesize` finds, makes and tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blemish.cli.console import console, counting, plain_table, say
from blemish.errors import ConfigError, SynthesisError

if TYPE_CHECKING:
    from blemish.data.dataset import Dataset
    from blemish.data.problem import Problem
    from blemish.synthesis.diffusion_weights import DiffusionWeights
    from blemish.synthesis.donors import Donors
    from blemish.synthesis.folder import SyntheticFolder
    from blemish.synthesis.foreground import Foreground
    from blemish.synthesis.synthesize import Synthesis
    from blemish.synthesis.task import Plan

SHEET = "sheet.png"
_SHOWN = 5
_BIREFNET = "birefnet"


def find_donors(defects: Sequence[Path], product: str | None, dataset: Dataset, size: int) -> Donors:
    """Read labelled defects; says what is left out."""
    from blemish.data.defects.read import read_defects
    from blemish.synthesis.donors import Donors

    sets = [read_defects(path, product=product) for path in defects]
    donors = Donors((example for one in sets for example in one.examples), dataset.products, size=size)
    for one in sets:
        say(f"{len(one.examples)} labelled images: {one.format}")
    _warn([*(problem for one in sets for problem in one.problems), *donors.problems])
    return donors


def find_weights(
    stable_diffusion: Path | None,
    brushnet: Path | None,
    brushnet_random: Path | None,
    clip: Path | None,
    alpha_clip: Path | None,
    *,
    half: bool,
    offload: bool,
    device: str,
) -> DiffusionWeights | None:
    """The folders of the diffusion model; None where none are named. Raises ConfigError where some are."""
    from blemish.synthesis.diffusion_weights import DiffusionWeights

    if stable_diffusion is None or brushnet is None:
        if any(one is not None for one in (stable_diffusion, brushnet, brushnet_random, clip, alpha_clip)):
            raise ConfigError(
                "Repainting by diffusion takes two folders of weights, and one of them is not named.",
                "Give both: --stable-diffusion DIR --brushnet DIR.",
            )
        return None
    from blemish.engines.torch_engine import pick_device

    return DiffusionWeights(
        stable_diffusion, brushnet, brushnet_random, clip, alpha_clip, half, offload, str(pick_device(device))
    )


def find_foreground(name: str, birefnet: str | None, *, allow_code: bool, offline: bool) -> str | Foreground:
    """The foreground of that name, or BiRefNet. Raises ConfigError where only one of the two is asked for."""
    if (name == _BIREFNET) != (birefnet is not None):
        raise ConfigError(
            "BiRefNet is asked for in two words, and one of them is missing.",
            "Give both: --foreground birefnet --birefnet SOURCE.",
        )
    if birefnet is None:
        return name
    from blemish.synthesis.birefnet import BiRefNet

    return BiRefNet(birefnet, allow_code, offline)


def announce(plan: Plan) -> None:
    """Say what is only a likeness, and what is not made."""
    if any(task.mode == "painter" for task in plan.tasks):
        kinds = {(task.product, task.prior.category) for task in plan.tasks if task.mode == "painter"}
        everything = len(kinds) == len({(task.product, task.prior.category) for task in plan.tasks})
        which = "The defects" if everything else "Some defects"
        say(f"{which} are painted procedurally: likenesses, not photographs.", style="yellow")
    if plan.left_out:
        names = ", ".join(f"{category} ({product})" for product, category in plan.left_out[:_SHOWN])
        more = f" and {len(plan.left_out) - _SHOWN} more" if len(plan.left_out) > _SHOWN else ""
        say(f"No example with an exact mask, left out: {names}{more}.", style="yellow", stderr=True)


def make(synthesis: Synthesis, folder: SyntheticFolder) -> SynthesisError | None:
    """Make what is missing, with a progress bar of images or of denoising steps; returns what could not be made."""
    waiting = [task for task in synthesis.plan.tasks if task.key not in folder]
    what = "Denoising steps" if any(task.mode == "diffusion" for task in waiting) else "Images"
    with counting(what, synthesis.work(folder)) as progress:
        try:
            for task, item in synthesis.images(folder, lambda done, _: progress(done)):
                folder.add(item, task.number)
        except SynthesisError as error:
            return error
    return None


def report(output: Path, plan: Plan) -> None:
    """A table of what there is now and how it was made, and the same as a picture."""
    from blemish.data.dataset import Dataset
    from blemish.files import replaced
    from blemish.synthesis.made import made
    from blemish.synthesis.overview import overview

    found = made(output)
    with replaced(output / SHEET) as temporary:
        picture = overview(
            Dataset.from_folder(output),
            title="Synthetic defects",
            note="Below each image the same with its mask outlined.",
            how={kind: one.word for kind, one in found.items()},
        )
        picture.save(temporary, format="PNG")
    rows = []
    for product, category in dict.fromkeys((task.product, task.prior.category) for task in plan.tasks):
        one = found.get((product, category))
        rows.append((product, category, one.images if one else 0, one.sentence if one else "could not be made"))
    console().print(plain_table(("product", "category", "images", "how"), rows, text_columns=(0, 1, 3)))


def _warn(problems: Sequence[Problem]) -> None:
    for problem in problems[:_SHOWN]:
        say(f"{problem.message} {problem.remedy}", style="yellow", stderr=True)
    if len(problems) > _SHOWN:
        say(f"… and {len(problems) - _SHOWN} more.", style="yellow", stderr=True)
