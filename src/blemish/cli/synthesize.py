"""`blemish synthesize`: images of defects that nobody has seen yet."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from blemish.cli import options
from blemish.cli.console import duration, say
from blemish.cli.messages import SOME_UNREADABLE, quoted
from blemish.cli.synthesis import SHEET, announce, find_donors, find_foreground, find_weights, make, report
from blemish.errors import ConfigError

_DIFFUSION, _EXAMPLES, _FOREGROUND = "Diffusion", "Examples", "Foreground"


class ForegroundName(str, Enum):
    none = "none"
    auto = "auto"
    birefnet = "birefnet"


class ModeName(str, Enum):
    auto = "auto"
    painter = "painter"
    transplant = "transplant"
    diffusion = "diffusion"


class BlendingName(str, Enum):
    paste = "paste"
    feather = "feather"
    poisson = "poisson"


def _folder(help_text: str, metavar: str = "DIR", panel: str = _DIFFUSION) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        metavar=metavar, help=help_text, rich_help_panel=panel, show_default=False
    )
    return option


def synthesize(
    data: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DATA", help="Normal images: folders in any known layout, or manifests."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where images, masks and manifest go.")
    ] = None,
    priors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What the defects look like; see blemish init-defects.")
    ] = None,
    defects: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Real defects with masks, in any form that blemish teach reads; repeatable.",
            rich_help_panel=_EXAMPLES,
            show_default=False,
        ),
    ] = None,
    product: Annotated[
        str | None,
        _folder("What the images of --defects show, where they do not say.", "NAME", _EXAMPLES),
    ] = None,
    blending: Annotated[
        BlendingName | None,
        typer.Option(
            help="How a defect joins its new image; by default feather and paste mixed, paste before diffusion.",
            rich_help_panel=_EXAMPLES,
            show_default=False,
        ),
    ] = None,
    mode: Annotated[
        ModeName,
        typer.Option(
            help="auto: per category transplants where there are examples, else diffusion where its folders are given, "
            "else painted."
        ),
    ] = ModeName.auto,
    count: Annotated[int, typer.Option(min=1, help="Images per product and category.")] = 16,
    size: Annotated[int, typer.Option(min=32, help="Side of the images in pixels.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same images.")] = 0,
    foreground: Annotated[
        ForegroundName,
        typer.Option(
            help="Where defects may be: auto finds products before a plain background; birefnet: a network, see "
            "--birefnet; none: everywhere."
        ),
    ] = ForegroundName.auto,
    birefnet: Annotated[str | None, _folder("BiRefNet: a folder, or an id on its hub.", "SOURCE", _FOREGROUND)] = None,
    allow_remote_code: Annotated[
        bool,
        typer.Option("--allow-remote-code", help="Run the code that comes with BiRefNet.", rich_help_panel=_FOREGROUND),
    ] = False,
    stable_diffusion: Annotated[Path | None, _folder("Stable Diffusion 1.5, as diffusers saves it.")] = None,
    brushnet: Annotated[Path | None, _folder("BrushNet for segmentation masks.")] = None,
    brushnet_random: Annotated[
        Path | None, _folder("BrushNet for random masks; descriptions with a negative prompt need it.")
    ] = None,
    clip: Annotated[Path | None, _folder("The CLIP that AlphaCLIP was made from.")] = None,
    alpha_clip: Annotated[
        Path | None, _folder("AlphaCLIP's weights, which choose among candidates.", "FILE.pth")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Half precision.", rich_help_panel=_DIFFUSION)] = False,
    offload: Annotated[
        bool,
        typer.Option(
            "--offload", help="Each network is on the device only while it computes.", rich_help_panel=_DIFFUSION
        ),
    ] = False,
    device: options.Device = "auto",
    offline: options.Offline = False,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    show_shapes: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw all mask shapes with their names to this file, and nothing else."),
    ] = None,
) -> None:
    """Make images of defects from examples or descriptions, with masks, to train on.

    Real defects are cut out and put into normal training images. Descriptions without examples are repainted by a
    diffusion model where you name its folders, else painted procedurally: plain likenesses, marked as painted in the
    manifest. OUTPUT is a data set; sheet.png in it shows what was made.

    Examples:

        blemish synthesize images/ --defects defects/ -o synthetic

        blemish synthesize images/ --priors defects.yaml -o synthetic --count 64 --seed 1 --resume

        blemish synthesize images/ --priors defects.yaml --stable-diffusion sd15/ --brushnet brushnet/ -o synthetic

        blemish synthesize --show-shapes shapes.png
    """
    if show_shapes is not None:
        _draw_shapes(show_shapes, size, seed)
        return
    if not data or output is None or (priors is None and not defects):
        raise ConfigError(
            "Nothing says what to make: DATA, --output, and --priors or --defects are needed.",
            "Write: blemish synthesize DATA --priors defects.yaml -o FOLDER.",
        )
    from blemish.data.dataset import Dataset
    from blemish.data.priors import Priors
    from blemish.files import check_target
    from blemish.synthesis.folder import SETTINGS, SyntheticFolder
    from blemish.synthesis.synthesize import Synthesis

    started = time.monotonic()
    known = None if priors is None else Priors.load(priors)
    weights = find_weights(
        stable_diffusion, brushnet, brushnet_random, clip, alpha_clip, half=half, offload=offload, device=device
    )
    if not (resume and (output / SETTINGS).is_file()):
        check_target(output, overwrite=overwrite, marker=SETTINGS)
    dataset = Dataset.from_folder(*data)
    blend = None if blending is None else blending.value
    synthesis = Synthesis(
        dataset,
        known,
        donors=find_donors(defects, product, dataset, size) if defects else None,
        count=count,
        size=size,
        seed=seed,
        foreground=find_foreground(foreground.value, birefnet, allow_code=allow_remote_code, offline=offline),
        mode=mode.value,
        blending=blend,
        diffusion=weights,
    )
    settings = {
        "mode": mode.value,
        "size": size,
        "seed": seed,
        "foreground": foreground.value,
        "blending": blend,
        "diffusion": weights is not None and {"half": half, "alpha_clip": alpha_clip is not None},
    }
    folder = SyntheticFolder(output, settings, overwrite=overwrite, resume=resume)
    announce(synthesis.plan)
    before = len(folder)
    try:
        failure = make(synthesis, folder)
    except KeyboardInterrupt:
        say(f"\n{len(folder)} images lie in {output}: continue with --resume.", stderr=True)
        raise
    if failure is not None and not len(folder):
        raise failure
    report(output, synthesis.plan)
    say(f"{len(folder) - before} images in {duration(time.monotonic() - started)}: {output}", style="bold")
    say(f"Look at {quoted(output / SHEET)}; the manifest says how each was made.")
    if failure is not None:
        say(f"{failure.message} {failure.remedy}", style="yellow", stderr=True)
        raise typer.Exit(SOME_UNREADABLE)


def _draw_shapes(file: Path, size: int, seed: int) -> None:
    from blemish.files import replaced
    from blemish.synthesis.shapes import contact_sheet

    with replaced(file) as temporary:
        contact_sheet(size, seed).save(temporary, format="PNG")
    say(f"All shapes: {file}")
