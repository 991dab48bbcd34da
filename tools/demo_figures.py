"""The README's pictures of what the demo networks can do: `python tools/demo_figures.py --dest docs/images`.

demo-hero.jpg        the bookmarks that come with the program
demo-grid.jpg        every class, several seeds
demo-mixing.jpg      layers of one picture with the style of another
demo-truncation.jpg  from the average picture to the whole variety
demo-sticking.jpg    StyleGAN2 beside StyleGAN3 on the same motion (needs assets/demo-sg2.safetensors)
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
from metrics.equivariance import picture
from networks import StyleGAN2, StyleGAN3
from networks.sampling import to_uint8
from renderer.in_process import InProcessRenderer
from renderer.messages import RenderFailure, RenderRequest, RenderResult
from session import Latent, Mixing, Model, Scene, Truncation
from session.bookmarks import bookmarks

ASSETS = Path(__file__).resolve().parent.parent / "assets"
FONT = ASSETS / "fonts" / "Roboto-Regular.ttf"
GROUND, INK, FAINT = "#1c1d20", "#d8dadf", "#8b8f98"
GAP, LINE, WIDE = 4, 20, 96  # pixels: between pictures, of a line of text, of the words before a row
PSI = 0.7
FRAMES, AROUND, REACH = 160, 64, 0.2  # of a slice; pictures in a mean; radius, in mean distances from the average w
GLIDE = 0.12  # image widths each way

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
    """The bookmarks in one row, as the window shows them."""
    return laid_out([paint(network, (kept.scene for kept in bookmarks()))], side)


def grid(network: str, classes: int, seeds: Sequence[int], side: int) -> Image.Image:
    """A row for each class, a column for each seed."""
    rows = [paint(network, (scene(seed, c) for seed in seeds)) for c in range(max(classes, 1))]
    names = CLASSES if classes == len(CLASSES) else [f"class {c}" for c in range(len(rows))]
    return laid_out(rows, side, names, [f"seed {seed}" for seed in seeds])


def mixing(network: str, num_ws: int, seeds: Sequence[int], side: int) -> Image.Image:
    """Rows: the seed of the coarse layers. Columns: the seed of the rest; its own picture on top."""
    down, across = seeds[:4], seeds[4:8]
    fine = tuple(range(num_ws // 2, num_ws))
    rows = [[None, *paint(network, (scene(seed, index % 4) for index, seed in enumerate(across)))]]
    for number, seed in enumerate(down):
        mixed = [Mixing(seed=other, class_index=index % 4, layers=fine) for index, other in enumerate(across)]
        rows.append(paint(network, [scene(seed, number), *(scene(seed, number, mixing=one) for one in mixed)]))
    return laid_out(rows, side)


def truncation(network: str, seeds: Sequence[int], side: int) -> Image.Image:
    """Each row one seed, psi from 0 to 1."""
    psis = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    rows = [
        paint(network, (scene(seed, c, truncation=Truncation(psi=psi)) for psi in psis)) for c, seed in enumerate(seeds)
    ]
    return laid_out(rows, side, [f"seed {seed}" for seed in seeds], [f"psi {psi:g}" for psi in psis])


def scene(seed: int, c: int, **other) -> Scene:
    return Scene(**{"latent": Latent(seed=seed, class_index=c), "truncation": Truncation(psi=PSI), **other})


def paint(network: str, scenes: Iterable[Scene]) -> list[Pixels | None]:
    """The scenes' pictures, by the engine that serves the window. Ends the program where one cannot be made."""
    client, made = InProcessRenderer(), []
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
            made.append(done.frame[..., :3].copy())
    finally:
        client.close()
    return made


def sticking(models: dict[str, StyleGAN2 | StyleGAN3], seed: int, side: int) -> Image.Image:
    """One row of pixels over time, for both networks on the same motions; and the mean of many pictures nearby.

    Karras et al. 2021, Figure 1: where texture moves with the thing, the mean is evenly soft and the slice is full of
    waves; where it sticks to the screen, the mean stays sharp and the slice has horizontal streaks.
    """
    columns = ["one picture", "mean of its neighbourhood", "row over time: a small walk", "row over time: input moved"]
    rows = []
    for model in models.values():
        w = model.map(torch.from_numpy(np.random.RandomState(seed).randn(1, model.G.z_dim)), 0, truncation_psi=PSI)
        row = model.G.img_resolution // 2
        nearby = pictures(model, neighbourhood(model, w))
        walk = pictures(model, circle(model, w))[:, row]
        glide = np.stack([pictures(model, w, moved(x))[0, row] for x in np.linspace(-GLIDE, GLIDE, FRAMES)])
        one = pictures(model, w)[0]
        one[row] = 255
        mean = nearby.astype(np.float64).mean(0).round().astype(np.uint8)
        rows.append([one, mean, walk.transpose(1, 0, 2), glide.transpose(1, 0, 2)])
    return laid_out(rows, side, list(models), columns)


def neighbourhood(model: StyleGAN2 | StyleGAN3, w: Tensor) -> Tensor:
    """ws [N, num_ws, w_dim] all round w, REACH away."""
    draws = torch.from_numpy(np.random.RandomState(1).randn(AROUND, 1, w.shape[2])).to(w)
    return w + draws / draws.norm(dim=2, keepdim=True) * spread(model)


def circle(model: StyleGAN2 | StyleGAN3, w: Tensor) -> Tensor:
    """ws along a circle about w, twice round."""
    draws = torch.from_numpy(np.random.RandomState(2).randn(w.shape[2], 2)).to(w)
    u, v = torch.linalg.qr(draws).Q.T
    turn = torch.linspace(0, 4 * np.pi, FRAMES)[:, None, None]
    return w + (turn.cos() * u + turn.sin() * v) * spread(model)


def spread(model: StyleGAN2 | StyleGAN3) -> float:
    """REACH times the mean distance of w from the average."""
    z = torch.from_numpy(np.random.RandomState(0).randn(256, model.G.z_dim))
    classes = torch.arange(256) % model.G.c_dim if model.G.c_dim else None
    away = model.map(z, classes)[:, 0] - model.G.mapping.w_avg
    return REACH * float(away.norm(dim=1).mean())


def moved(x: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, 0], [0, 0, 1]])


def pictures(model: StyleGAN2 | StyleGAN3, ws: Tensor, forward: np.ndarray | None = None) -> Pixels:
    """uint8 [N,H,W,3] of ws, with the input moved by a forward matrix."""
    made = [to_uint8(picture(model.G, some, forward)) for some in ws.split(16)]
    return torch.cat(made).permute(0, 2, 3, 1).numpy()


def laid_out(
    rows: Sequence[Sequence[Pixels | None]], side: int, before: Sequence[str] = (), above: Sequence[str] = ()
) -> Image.Image:
    """Pictures `side` pixels high on a dark page, with words before the rows and above the columns."""
    left, top = (WIDE if before else 0), (LINE if above else 0)
    count = max(map(len, rows))
    size = (left + count * (side + GAP) - GAP, top + len(rows) * (side + GAP) - GAP)
    page = Image.new("RGB", size, GROUND)
    pen, font = ImageDraw.Draw(page), ImageFont.truetype(FONT, 13)
    for number, words in enumerate(above):
        pen.text((left + number * (side + GAP) + side / 2, top / 2), words, FAINT, font, anchor="mm")
    for line, pixels in enumerate(rows):
        y = top + line * (side + GAP)
        if before:
            pen.text((left - 10, y + side / 2), before[line], INK, font, anchor="rm")
        for number, one in enumerate(pixels):
            if one is not None:
                shown = Image.fromarray(one).resize((side, side), Image.Resampling.LANCZOS)
                page.paste(shown, (left + number * (side + GAP), y))
    return page


if __name__ == "__main__":
    main()
