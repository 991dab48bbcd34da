"""Makes the README's figures of the demo networks: `python tools/demo_figures.py --dest docs/images`.

demo-hero.jpg        the bookmarks of the program
demo-grid.jpg        every class, several seeds
demo-mixing.jpg      style mixing of two seeds
demo-truncation.jpg  truncation psi from 0 to 1
demo-sticking.jpg    StyleGAN2 and StyleGAN3 on the same motion (needs assets/demo-sg2.safetensors)
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.planets.render import CLASSES
from metrics.equivariance import synthesize
from networks import StyleGAN2, StyleGAN3
from networks.sampling import to_uint8
from renderer.in_process import InProcessRenderer
from renderer.messages import RenderFailure, RenderRequest, RenderResult
from session import Latent, Mixing, Model, Scene, Truncation
from session.bookmarks import bookmarks

ASSETS = Path(__file__).resolve().parent.parent / "assets"
FONT = ASSETS / "fonts" / "Roboto-Regular.ttf"
BACKGROUND, TEXT_COLOR, MUTED_COLOR = "#1c1d20", "#d8dadf", "#8b8f98"
GAP, LABEL_HEIGHT, LABEL_WIDTH = 4, 20, 96  # pixels
PSI = 0.7
FRAMES, NEIGHBORS, RADIUS = (
    160,
    64,
    0.2,
)  # frames of a slice; images in a mean; radius, relative to the mean distance from w_avg
GLIDE = 0.12  # image widths, in both directions

Pixels = np.ndarray  # uint8 [H,W,3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dest", type=Path, default=Path("docs/images"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6, 7, 8], help="of grid and mixing")
    parser.add_argument("--side", type=int, default=128, help="pixels of one picture on the page")
    parser.add_argument("--stylegan3", type=Path, default=ASSETS / "demo.safetensors")
    parser.add_argument("--stylegan2", type=Path, default=ASSETS / "demo-sg2.safetensors")
    options = parser.parse_args()
    alias_free, seeds, side = StyleGAN3(options.stylegan3), options.seeds, options.side
    network = str(options.stylegan3) if options.stylegan3 != ASSETS / "demo.safetensors" else ""
    figures = {
        "demo-hero": lambda: hero(network, round(side * 1.5)),
        "demo-grid": lambda: grid(network, alias_free.G.c_dim, seeds, side),
        "demo-mixing": lambda: mixing(network, alias_free.G.num_ws, seeds, side),
        "demo-truncation": lambda: truncation(network, seeds[:3], side),
    }
    if options.stylegan2.exists():
        both = {"StyleGAN2": StyleGAN2(options.stylegan2), "StyleGAN3": alias_free}
        figures["demo-sticking"] = lambda: sticking(both, seeds[0], round(side * 1.5))
    else:
        print(f"{options.stylegan2} is not there, so demo-sticking.jpg is left out.")
    options.dest.mkdir(parents=True, exist_ok=True)
    for name, make in figures.items():
        path = options.dest / f"{name}.jpg"
        make().save(path, quality=92, subsampling=0, optimize=True)
        print(f"{path}: {path.stat().st_size / 1024:.0f} KB")


def hero(network: str, side: int) -> Image.Image:
    """Draw the bookmarks in one row, as the window shows them."""
    return make_grid([render_scenes(network, (kept.scene for kept in bookmarks()))], side)


def grid(network: str, classes: int, seeds: Sequence[int], side: int) -> Image.Image:
    """Draw a row per class and a column per seed."""
    rows = [render_scenes(network, (scene(seed, c) for seed in seeds)) for c in range(max(classes, 1))]
    names = CLASSES if classes == len(CLASSES) else [f"class {c}" for c in range(len(rows))]
    return make_grid(rows, side, names, [f"seed {seed}" for seed in seeds])


def mixing(network: str, num_ws: int, seeds: Sequence[int], side: int) -> Image.Image:
    """Draw style mixing: rows are seeds of the coarse layers, columns of the fine ones; their own images are on top."""
    down, across = seeds[:4], seeds[4:8]
    fine = tuple(range(num_ws // 2, num_ws))
    rows = [[None, *render_scenes(network, (scene(seed, index % 4) for index, seed in enumerate(across)))]]
    for number, seed in enumerate(down):
        mixed = [Mixing(seed=other, class_index=index % 4, layers=fine) for index, other in enumerate(across)]
        rows.append(render_scenes(network, [scene(seed, number), *(scene(seed, number, mixing=one) for one in mixed)]))
    return make_grid(rows, side)


def truncation(network: str, seeds: Sequence[int], side: int) -> Image.Image:
    """Draw a row per seed, with psi from 0 to 1."""
    psis = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    rows = [
        render_scenes(network, (scene(seed, c, truncation=Truncation(psi=psi)) for psi in psis))
        for c, seed in enumerate(seeds)
    ]
    return make_grid(rows, side, [f"seed {seed}" for seed in seeds], [f"psi {psi:g}" for psi in psis])


def scene(seed: int, c: int, **other) -> Scene:
    return Scene(**{"latent": Latent(seed=seed, class_index=c), "truncation": Truncation(psi=PSI), **other})


def render_scenes(network: str, scenes: Iterable[Scene]) -> list[Pixels | None]:
    """Render scenes with the window's engine. Raises SystemExit with the renderer's message where one fails."""
    client, frames = InProcessRenderer(), []
    try:
        for number, wanted in enumerate(scenes):
            client.submit(RenderRequest("figure", number, replace(wanted, model=Model(path=network))))
            while True:
                answers = client.poll()
                failed = next((answer for answer in answers if isinstance(answer, RenderFailure)), None)
                if failed is not None:
                    raise SystemExit(failed.message)
                done = next((answer for answer in answers if isinstance(answer, RenderResult)), None)
                if done is not None:
                    break
                time.sleep(0.002)
            frames.append(done.frame[..., :3].copy())
    finally:
        client.close()
    return frames


def sticking(models: dict[str, StyleGAN2 | StyleGAN3], seed: int, side: int) -> Image.Image:
    """Draw one row of pixels over time, for both networks and the same motions, and the mean of many nearby images.

    Karras et al. 2021, Figure 1: where texture moves with the object, the mean is smooth and the slice wavy; where it
    sticks to the screen, the mean stays sharp and the slice has horizontal streaks.
    """
    columns = ["one picture", "mean of its neighbourhood", "row over time: a small walk", "row over time: input moved"]
    rows = []
    for model in models.values():
        w = model.map(torch.from_numpy(np.random.RandomState(seed).randn(1, model.G.z_dim)), 0, truncation_psi=PSI)
        row = model.G.img_resolution // 2
        nearby = generate(model, neighborhood(model, w))
        walk = generate(model, circle(model, w))[:, row]
        glide = np.stack([generate(model, w, translation(x))[0, row] for x in np.linspace(-GLIDE, GLIDE, FRAMES)])
        one = generate(model, w)[0]
        one[row] = 255
        mean = nearby.astype(np.float64).mean(0).round().astype(np.uint8)
        rows.append([one, mean, walk.transpose(1, 0, 2), glide.transpose(1, 0, 2)])
    return make_grid(rows, side, list(models), columns)


def neighborhood(model: StyleGAN2 | StyleGAN3, w: Tensor) -> Tensor:
    """Draw ws [N, num_ws, w_dim] on a sphere around w."""
    draws = torch.from_numpy(np.random.RandomState(1).randn(NEIGHBORS, 1, w.shape[2])).to(w)
    return w + draws / draws.norm(dim=2, keepdim=True) * sampling_radius(model)


def circle(model: StyleGAN2 | StyleGAN3, w: Tensor) -> Tensor:
    """Return ws [N, num_ws, w_dim] along a circle around w, two revolutions."""
    draws = torch.from_numpy(np.random.RandomState(2).randn(w.shape[2], 2)).to(w)
    u, v = torch.linalg.qr(draws).Q.T
    turn = torch.linspace(0, 4 * np.pi, FRAMES)[:, None, None]
    return w + (turn.cos() * u + turn.sin() * v) * sampling_radius(model)


def sampling_radius(model: StyleGAN2 | StyleGAN3) -> float:
    """Return RADIUS times the mean distance of w from w_avg."""
    z = torch.from_numpy(np.random.RandomState(0).randn(256, model.G.z_dim))
    classes = torch.arange(256) % model.G.c_dim if model.G.c_dim else None
    away = model.map(z, classes)[:, 0] - model.G.mapping.w_avg
    return RADIUS * float(away.norm(dim=1).mean())


def translation(x: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, 0], [0, 0, 1]])


def generate(model: StyleGAN2 | StyleGAN3, ws: Tensor, forward: np.ndarray | None = None) -> Pixels:
    """Generate uint8 images [N, H, W, 3] of ws, with the input moved by the matrix `forward`."""
    frames = [to_uint8(synthesize(model.G, chunk, forward)) for chunk in ws.split(16)]
    return torch.cat(frames).permute(0, 2, 3, 1).numpy()


def make_grid(
    rows: Sequence[Sequence[Pixels | None]], side: int, before: Sequence[str] = (), above: Sequence[str] = ()
) -> Image.Image:
    """Arrange images, `side` pixels high, on a dark page with labels before the rows and above the columns."""
    left, top = (LABEL_WIDTH if before else 0), (LABEL_HEIGHT if above else 0)
    count = max(map(len, rows))
    size = (left + count * (side + GAP) - GAP, top + len(rows) * (side + GAP) - GAP)
    page = Image.new("RGB", size, BACKGROUND)
    pen, font = ImageDraw.Draw(page), ImageFont.truetype(FONT, 13)
    for number, words in enumerate(above):
        pen.text((left + number * (side + GAP) + side / 2, top / 2), words, MUTED_COLOR, font, anchor="mm")
    for line, pixels in enumerate(rows):
        y = top + line * (side + GAP)
        if before:
            pen.text((left - 10, y + side / 2), before[line], TEXT_COLOR, font, anchor="rm")
        for number, one in enumerate(pixels):
            if one is not None:
                shown = Image.fromarray(one).resize((side, side), Image.Resampling.LANCZOS)
                page.paste(shown, (left + number * (side + GAP), y))
    return page


if __name__ == "__main__":
    main()
