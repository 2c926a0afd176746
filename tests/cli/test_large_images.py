"""Images far larger than the network: everything on them, in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

# not `ru_maxrss`, which a process takes over from the one that started it
_MEASURED = """
import sys
from blemish.__main__ import main
sys.argv[0] = "blemish"
try:
    main()
finally:
    with open("/proc/self/status") as status:
        (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM"))
    print(int(peak) // 1024, file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="tells memory as Linux does")
def test_sixteen_million_pixels_in_less_than_two_gigabytes(tmp_path: Path) -> None:
    from blemish.config import TrainConfig
    from blemish.data.dataset import Dataset
    from blemish.training.train import train

    def pixels(number: int, side: int) -> np.ndarray:
        rows, columns = np.mgrid[:side, :side].astype(np.float32) * (1024 / side)
        pattern = 128 + 40 * np.sin(rows / 9 + number) + 40 * np.sin(columns / 13)
        return np.repeat(pattern.astype(np.uint8)[:, :, None], 3, axis=2)

    folder = tmp_path / "images" / "board" / "train" / "good"
    folder.mkdir(parents=True)
    for number in range(16):  # fewer would get altered copies, which take longer
        Image.fromarray(pixels(number, 1024)).save(folder / f"{number}.png")
    config = TrainConfig.of("fast", model={"tiles": 8, "prompt_patches": 2000}, steps=3, pool=1, hold_out=0.4, kept=2)
    train(Dataset.from_folder(tmp_path / "images"), config, output=tmp_path / "board.blemish")
    large = pixels(3, 4096)
    large[2000:2040, 3000:3060] = (255, 0, 0)  # 1 % of a side
    Image.fromarray(large).save(tmp_path / "large.png")
    found = subprocess.run(
        [sys.executable, "-c", _MEASURED, "inspect", "board.blemish", "large.png", "-o", "out", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    peak = int(found.stderr.split()[-1])
    assert peak < 2000
    inspection = json.loads(found.stdout)
    assert inspection["size"] == [4096, 4096]
    assert inspection["defective"]
    left, top, right, bottom = inspection["regions"][0]["box"]
    assert (left < 3060, top < 2040, right > 3000, bottom > 2000) == (True, True, True, True)
    assert max(right - left, bottom - top) < 400
