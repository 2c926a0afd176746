"""Draws the picture of the README: what the demo's model found in one unseen image of each product.

blemish demo --output demo
python tools/findings.py demo docs/findings.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from blemish.data.dataset import Dataset
from blemish.data.decode import read_image
from blemish.data.masks import read_mask
from blemish.evaluation.report import colour_range, panel
from blemish.inspector import Inspector

HEIGHT, GAP = 200, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="what `blemish demo --output` wrote")
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    dataset = Dataset.from_folder(arguments.demo / "images")
    inspector = Inspector.load(arguments.demo / "demo.blemish", offline=True)
    rows = []
    for product in dataset.products:
        samples = [sample for sample in dataset.test(product) if sample.defective]
        found = inspector.inspect(samples[0].path)
        threshold = inspector.calibration[product].pixel_threshold
        low, high = colour_range(found.anomaly_map, threshold)
        truth = None if samples[0].mask is None else read_mask(samples[0].mask)
        image = Image.fromarray(read_image(samples[0].path))
        rows.append(panel(image, found.anomaly_map, low, high, mask=found.mask, truth=truth, height=HEIGHT))
        print(f"{samples[0].path.parent.name}: {found.product}, p-value {found.p_value:.3f}, {found.defective}")
    width = max(row.width for row in rows)
    canvas = Image.fromarray(np.full((len(rows) * (HEIGHT + GAP) - GAP, width, 3), 255, np.uint8))
    for number, row in enumerate(rows):
        canvas.paste(row, (0, number * (HEIGHT + GAP)))
    canvas.save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
