"""How a service does under load, and that it loses nothing when it is killed.

    python benchmarks/load.py MODEL IMAGES                   # 32 clients for a minute, beside inspection in one process
    python benchmarks/load.py MODEL IMAGES --kill 50         # kill -9 at random moments under load, and look for losses
    python benchmarks/load.py --page                         # docs/results/service.md from what was measured

The service runs as a process of its own on a free port of the loopback interface; so do the clients, each of which
posts one image after the other on one connection. Plain inspection runs before and after, on the same images and cores.
Appends one JSON line per run to docs/results/service.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import sha256
from http.client import HTTPConnection, HTTPException
from itertools import cycle, islice
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from load_page import write_page

ROOT = Path(__file__).parents[1]
LINES = ROOT / "docs" / "results" / "service.jsonl"
_BATCH = 16
_WARM = 5  # seconds before the load that counts


def read_images(folder: Path, count: int) -> list[bytes]:
    """The contents of so many image files, the same ones every time."""
    from blemish.data.files import image_files

    paths = image_files(folder)
    random.Random(0).shuffle(paths)
    return [path.read_bytes() for path in paths[:count]]


def plain_rate(model: Path, engine: str, contents: Sequence[bytes], seconds: float) -> float:
    """Images a second that one process inspects in batches, decoding included, keeping nothing."""
    from blemish.inspector import Inspector

    inspector = Inspector.load(model, engine=engine)
    list(inspector.inspect_many(contents[:_BATCH], batch=_BATCH))
    began, done = time.perf_counter(), 0
    for _ in inspector.inspect_many(cycle(contents), batch=_BATCH):
        done += 1
        if done % _BATCH == 0 and time.perf_counter() - began > seconds:
            break
    return done / (time.perf_counter() - began)


@contextmanager
def serving(model: Path, data: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A service that is ready, and its port."""
    command = [sys.executable, "-m", "blemish", "serve", str(model), "--data", str(data), "--port", "0", *options]
    environment = {name: value for name, value in os.environ.items() if name != "BLEMISH_TOKEN"}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**environment, "PYTHONUNBUFFERED": "1"})
    try:
        assert running.stdout is not None
        port = next(int(found[1]) for line in running.stdout if (found := re.search(r"http://\S+:(\d+)", line)))
        while True:
            with suppress(OSError, HTTPException):
                if _ask(port, "GET", "/readyz")[0] == 200:
                    break
            time.sleep(0.1)
        yield running, port
    finally:
        running.kill()
        running.wait()


def _ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def client(port: int, contents: Sequence[bytes], first: int, until: float, stop: Event | None = None) -> dict[str, Any]:
    """Post one image after the other until a time; statuses, seconds of those that were answered, their ids."""
    statuses: Counter[str] = Counter()
    times: list[float] = []
    ids: list[str] = []
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    for content in islice(cycle(contents), first, None):
        if time.monotonic() > until or (stop is not None and stop.is_set()):
            break
        began = time.perf_counter()
        try:
            connection.request("POST", "/v1/inspections", content, {"Content-Type": "application/octet-stream"})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, HTTPException) as error:
            statuses[type(error).__name__] += 1
            connection.close()
            if stop is not None:
                break
            continue
        statuses[str(response.status)] += 1
        if response.status == 201:
            times.append(time.perf_counter() - began)
            ids.append(json.loads(answer)["inspections"][0]["id"])
        elif response.status == 503:
            time.sleep(float(response.headers["Retry-After"]))
    connection.close()
    return {"statuses": statuses, "times": times, "ids": ids}


def clients(port: int, contents: Sequence[bytes], count: int, seconds: float, stop: Event | None = None) -> Any:
    """So many clients at once, as threads of this process."""
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(count) as pool:
        parts = list(pool.map(lambda row: client(port, contents, 7 * row, until, stop), range(count)))
    return {
        "statuses": dict(sum((part["statuses"] for part in parts), Counter())),
        "times": [one for part in parts for one in part["times"]],
        "ids": [one for part in parts for one in part["ids"]],
    }


def apart(*arguments: Any) -> Any:
    """`clients` in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(clients, arguments)


def load(model: Path, contents: Sequence[bytes], arguments: argparse.Namespace) -> dict[str, Any]:
    """A minute of load."""
    before = plain_rate(model, arguments.engine, contents, arguments.seconds / 3)
    options = ("--engine", arguments.engine)
    with tempfile.TemporaryDirectory(dir=arguments.data) as data, serving(model, Path(data), *options) as (_, port):
        apart(port, contents, arguments.clients, _WARM)
        done = apart(port, contents, arguments.clients, arguments.seconds)
    after = plain_rate(model, arguments.engine, contents, arguments.seconds / 3)
    times = sorted(done["times"])
    rate = len(times) / arguments.seconds
    return {
        "what": "load",
        "engine": arguments.engine,
        "clients": arguments.clients,
        "seconds": arguments.seconds,
        "statuses": done["statuses"],
        "images_per_second": round(rate, 2),
        "p50": round(statistics.median(times), 3),
        "p95": round(times[int(0.95 * len(times))], 3),
        "plain_before": round(before, 2),
        "plain_after": round(after, 2),
        "ratio": round(rate / statistics.mean((before, after)), 3),
    }


def kill(model: Path, contents: Sequence[bytes], arguments: argparse.Namespace) -> dict[str, Any]:
    """Kill the service at random moments under load; at the end all that it answered must be there, whole."""
    moments = random.Random(arguments.seed)
    answered: list[str] = []
    with tempfile.TemporaryDirectory(dir=arguments.data) as folder:
        data = Path(folder)
        options = ("--engine", arguments.engine)
        for number in range(arguments.kill):
            with serving(model, data, *options) as (running, port), get_context("spawn").Manager() as manager:
                stop = manager.Event()
                with ThreadPoolExecutor(1) as pool:
                    posting = pool.submit(clients, port, contents, arguments.clients, 60.0, stop)
                    time.sleep(moments.uniform(0.05, 3.0))
                    running.kill()
                    running.wait()
                    stop.set()
                    answered += posting.result()["ids"]
            print(f"killed {number + 1} times, {len(answered)} inspections answered", flush=True)
        with serving(model, data, *options) as (_, port):
            lost = [id for id in answered if not _whole(port, id)]
        halves = [path for path in (data / "files").glob("*/*") if path.suffix != ".tmp" and not _named_rightly(path)]
    return {
        "what": "kill",
        "engine": arguments.engine,
        "clients": arguments.clients,
        "kills": arguments.kill,
        "answered": len(answered),
        "lost": len(lost),
        "half_files": len(halves),
    }


def _whole(port: int, id: str) -> bool:
    """Whether an inspection and all its files are there."""
    status, answer = _ask(port, "GET", f"/v1/inspections/{id}")
    if status != 200:
        return False
    found = json.loads(answer)
    return all(_ask(port, "GET", found[name])[0] == 200 for name in ("image", "anomaly_map", "mask", "overlay"))


def _named_rightly(path: Path) -> bool:
    """Whether a stored file holds what its name, a digest, promises."""
    return sha256(path.read_bytes()).hexdigest() == path.parent.name + path.name


def about() -> dict[str, Any]:
    """Where it was measured."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip() or "unknown",
        "command": shlex.join(["python", *(Path(one).name if Path(one).is_absolute() else one for one in sys.argv)]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("images", type=Path, nargs="?", help="folder")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--count", type=int, default=100, help="different images")
    parser.add_argument("--kill", type=int, default=0, metavar="TIMES")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--data", type=Path, help="where the service keeps its data meanwhile")
    parser.add_argument("--page", action="store_true", help="write the page and do nothing else")
    arguments = parser.parse_args()
    if arguments.page:
        write_page(LINES, LINES.with_suffix(".md"))
        return
    if arguments.model is None or arguments.images is None:
        parser.error("name a model and a folder of images")
    contents = read_images(arguments.images, arguments.count)
    row = (kill if arguments.kill else load)(arguments.model, contents, arguments)
    line = json.dumps({**row, **about()})
    print(line)
    with open(LINES, "a", encoding="utf-8") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main()
