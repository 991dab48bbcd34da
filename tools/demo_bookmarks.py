"""Writes the bookmarks and presets of assets/demo/, which the window offers with the demo network.

    python tools/demo_bookmarks.py --sheet out/choose.png --seeds 0-23     images with their seeds, to choose by eye
    python tools/demo_bookmarks.py                                         writes the files below

The program also opens with the first bookmark. To choose others, change the seeds here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cli.flags import parse_int_list
from networks import StyleGAN3
from networks.sampling import to_uint8
from session import Latent, Mixing, Scene, Session, Transform, Truncation, codec
from session.bookmarks import SHIPPED_FOLDER

FONT = Path(__file__).resolve().parent.parent / "assets" / "fonts" / "Roboto-Regular.ttf"
GAS, ROCKY, OCEAN, LAVA = range(4)
CALM = Truncation(psi=0.7)

BOOKMARKS = {
    "Ocean": Scene(latent=Latent(seed=9, class_index=OCEAN), truncation=CALM),
    "Lava": Scene(latent=Latent(seed=10, class_index=LAVA), truncation=CALM),
    "Rock": Scene(latent=Latent(seed=0, class_index=ROCKY), truncation=CALM),
    "Gas giant": Scene(latent=Latent(seed=13, class_index=GAS), truncation=CALM),
    "Aside": Scene(
        latent=Latent(seed=12, class_index=OCEAN),
        truncation=CALM,
        transform=Transform(translate_x=-0.15, translate_y=0.1),
    ),
    "Two in one": Scene(
        latent=Latent(seed=1, class_index=OCEAN),
        truncation=CALM,
        mixing=Mixing(seed=4, class_index=LAVA, layers=tuple(range(4, 8))),
    ),
}
PRESETS = {
    "Walk": Scene(truncation=CALM, latent=Latent(drift_x=0.25)),
    "Glide": Scene(truncation=CALM, transform=Transform(drift_x=0.06, drift_y=0.025)),
    "What does not follow": Scene(truncation=CALM, transform=Transform(drift_x=0.06, drift_y=0.025, undo=True)),
    "Other colours": Scene(truncation=CALM, mixing=Mixing(layers=tuple(range(4, 8)), drift=0.3)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dest", type=Path, default=SHIPPED_FOLDER)
    parser.add_argument("--sheet", type=Path, help="only paint what there is to choose from")
    parser.add_argument("--network", type=Path, help="of the sheet (default: the demo)")
    parser.add_argument("--seeds", type=parse_int_list, default=list(range(24)), help="of the sheet, e.g. 0-23")
    options = parser.parse_args()
    if options.sheet:
        render_sheet(options.sheet, options.network, options.seeds)
        return
    for folder, scenes in (("bookmarks", BOOKMARKS), ("presets", PRESETS)):
        for old in (options.dest / folder).glob("*.yaml"):
            old.unlink()
        for number, (name, scene) in enumerate(scenes.items(), 1):
            codec.save(options.dest / folder / f"{number} {name}.yaml", Session((scene,)))


def render_sheet(path: Path, network: Path | None, seeds: list[int], psi: float = 0.7, columns: int = 12) -> None:
    """Save a sheet of every seed in every class, with the seeds: a block of rows per class."""
    model = StyleGAN3(network)
    side = model.G.img_resolution
    room, font = side + 16, ImageFont.truetype(FONT, 12)
    lines = -(-len(seeds) // columns)
    paper = Image.new("RGB", (columns * room, max(model.G.c_dim, 1) * lines * room), "#232428")
    pen = ImageDraw.Draw(paper)
    for c in range(max(model.G.c_dim, 1)):
        for index, seed in enumerate(seeds):
            chosen = torch.tensor([c]) if model.G.c_dim else None
            pixels = to_uint8(model.generate(seed=seed, c=chosen, truncation_psi=psi))[0]
            x, y = index % columns * room, (c * lines + index // columns) * room
            paper.paste(Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())), (x, y))
            pen.text((x + 2, y + side + 1), f"{seed}, class {c}", fill="#d8dadf", font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    paper.save(path)


if __name__ == "__main__":
    main()
