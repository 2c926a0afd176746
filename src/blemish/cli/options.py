"""Arguments and options that several verbs share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class SplitRule(str, Enum):
    group = "group"
    image = "image"


class Engine(str, Enum):
    auto = "auto"
    torch = "torch"
    onnx = "onnx"
    openvino = "openvino"


class Runner(str, Enum):
    local = "local"
    ray = "ray"


class Protocol(str, Enum):
    honest = "honest"
    paper = "paper"


class Preset(str, Enum):
    fast = "fast"
    accurate = "accurate"
    paper = "paper"


class Precision(str, Enum):
    full = "32-true"
    bf16 = "bf16-mixed"


TRAINING, RUNTIME, DATA, CLUSTER, KEPT = "Training", "Runtime", "Data", "Cluster", "What is kept"

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Model folder, id on the Hugging Face Hub, or the 'shipped' one.", show_default=False
    ),
]
Data = Annotated[
    list[Path],
    typer.Argument(metavar="DATA", help="Folders in any known layout, or CSV/JSONL manifests.", show_default=False),
]
Split = Annotated[
    SplitRule,
    typer.Option(help="Split for data without one: 'group' keeps shots of one part together.", rich_help_panel=DATA),
]
RuntimeEngine = Annotated[Engine, typer.Option("--engine", help="What runs the network.", rich_help_panel=RUNTIME)]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.", rich_help_panel=RUNTIME, show_default=True)
]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.", rich_help_panel=RUNTIME)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on standard output.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an unfinished run.")]
Restart = Annotated[bool, typer.Option("--restart", help="Discard an unfinished run.")]
Devices = Annotated[str, typer.Option(help="auto, or how many GPUs (or CPU processes).", rich_help_panel=RUNTIME)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Database = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="sqlite:///file or postgresql://user@host/name; by default a SQLite file in the data folder.",
        rich_help_panel=KEPT,
        show_default=False,
    ),
]
FalseAlarmRate = Annotated[
    float | None,
    typer.Option(
        metavar="RATE",
        help="Share of normal images that may be called defective, such as 0.01.",
        show_default=False,
    ),
]
Product = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What the images show; otherwise the model finds out.", show_default=False),
]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other value of the configuration, as config.json in a model folder names it; repeatable.",
        rich_help_panel=TRAINING,
        show_default=False,
    ),
]
Roi = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PRODUCT=MASK",
        help="Image that is white where defects of a product count; repeatable. The product's name may be left out "
        "where only one is meant.",
        rich_help_panel=DATA,
        show_default=False,
    ),
]
