"""`blemish serve`: a service that inspects what it is sent and remembers what it found."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from blemish.cli import options
from blemish.cli.console import say
from blemish.errors import BlemishError, ConfigError

TOKEN = "BLEMISH_TOKEN"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SHORTEST_TOKEN = 16
_NETWORK = "Network"


def serve(
    model: options.Model,
    data: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Images, maps and, unless --database says otherwise, the database.",
            rich_help_panel=options.KEPT,
        ),
    ] = Path("blemish-data"),
    database: options.Database = None,
    keep_days: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="Remove inspections after so many days, unless somebody reviewed them.",
            rich_help_panel=options.KEPT,
            show_default=False,
        ),
    ] = None,
    keep_gigabytes: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="GB",
            help="Remove the oldest inspections beyond so many gigabytes of files, reviewed ones last.",
            rich_help_panel=options.KEPT,
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(help=f"Address to listen at; one that others reach needs {TOKEN}.", rich_help_panel=_NETWORK),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.", rich_help_panel=_NETWORK)] = 8080,
    waiting: Annotated[
        int, typer.Option(min=1, help="Images that may wait; further ones are answered 503.", rich_help_panel=_NETWORK)
    ] = 256,
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.", rich_help_panel=options.RUNTIME)] = 16,
    engine: options.RuntimeEngine = options.Engine.auto,
    device: options.Device = "auto",
    offline: options.Offline = False,
) -> None:
    """Inspect images that come over HTTP, and let people at the line review, name and teach in a web page.

    POST /v1/inspections takes an image as the body, or several as the fields images of a form; /openapi.json describes
    everything else. What was answered is on the disk. The first MODEL of a data folder inspects until another one is
    promoted; a MODEL that the folder does not know yet is promoted at once.

    Set the environment variable BLEMISH_TOKEN to a secret that clients must show as Authorization: Bearer, and people
    when they open the page.

    Examples:

        blemish serve line.blemish

        curl --data-binary @part.png http://127.0.0.1:8080/v1/inspections

        BLEMISH_TOKEN=$(openssl rand -hex 16) blemish serve line.blemish --host 0.0.0.0 --database postgresql://line@db/line
    """
    import uvicorn

    from blemish import model_folder
    from blemish.cli.inputs import require_products
    from blemish.inspector import Inspector
    from blemish.serving.api import build_app
    from blemish.serving.retention import Retention
    from blemish.serving.service import Service
    from blemish.serving.store import open_store
    from blemish.serving.teacher import Teacher

    token = _token(host)
    folder = model_folder.locate(model, offline=offline)
    require_products(str(model), model_folder.read_header(folder).products)

    def load(path: Path) -> Inspector:
        return Inspector.load(path, engine=engine.value, device=device, offline=True)

    retention = Retention(keep_days, None if keep_gigabytes is None else int(keep_gigabytes * 1e9))
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    hosts = None if token is not None else (host, *_LOOPBACK)
    with _alone(data), closing(open_store(data, database)) as store, _bound(host, port) as listening:
        teacher = Teacher(store, data.resolve() / "teachings", environment=hidden)
        service = Service(store, load, teacher, batch=batch, waiting=waiting, retention=retention)
        service.load(folder)
        app = build_app(service, folder, token=token, hosts=hosts)
        config = uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False, server_header=False)
        name = f"[{host}]" if ":" in host else host
        say(f"Database {store.database.name}, files in {data}")
        say(f"{service.model.name} inspects.")
        say(f"Listening at http://{name}:{listening.getsockname()[1]}; stop with Ctrl-C.", style="bold")
        uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Make the folder, and keep it to this process until the block ends, or the process does."""
    from filelock import FileLock, Timeout

    from blemish.files import writing

    with writing(data):
        data.mkdir(parents=True, exist_ok=True)
    lock = FileLock(data / "in-use", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise BlemishError(f"Another service uses {data}.", "End it, or name another --data.") from None
    try:
        yield
    finally:
        lock.release()


def _token(host: str) -> str | None:
    token = os.environ.get(TOKEN)
    if token is None and host not in _LOOPBACK:
        raise ConfigError(
            f"Anybody who reaches {host} could use the service.",
            f"Set {TOKEN} to a secret that clients must show, or listen at 127.0.0.1.",
        )
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise ConfigError(f"{TOKEN} is shorter than {_SHORTEST_TOKEN} characters.", "Choose a longer secret.")
    return token


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()  # who comes while the model is loaded waits
    except OSError as error:
        listening.close()
        raise BlemishError(
            f"Nothing can listen at {host}, port {port}: {error.strerror or error}.", "Choose another --port or --host."
        ) from error
    return listening
