"""One image as a value: everything that determines its pixels, and nothing else.

A Scene is both the document's unit and the render request. Every part is frozen; `dataclasses.replace` makes a changed
copy. Units: translation in image widths, angles in degrees, speeds per second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated

from session.fields import Choice, Range, Record
from session.inspect import Inspect

NUM_SEEDS = 2**32
SEEDS_PER_ROW = 100  # one row of the seed plane, as in other tools
Seed = Annotated[int, Range(0, NUM_SEEDS - 1), "Number from which the latent is drawn"]
ClassIndex = Annotated[
    int | None, Range(0, 1_000_000), "Class of a class-conditional network; empty: the one the seed draws"
]


@dataclass(frozen=True)
class Model(Record):
    """The network file."""

    path: Annotated[str, "Path, URL or run folder of the network; empty is the demo network"] = ""
    digest: Annotated[str, "SHA-256 of the file this was made with; empty takes the file as it is"] = ""
    weights: Annotated[
        str, Choice("G_ema", "G"), "G_ema is the average over training and looks best; G is the raw one"
    ] = "G_ema"
    channel_order: Annotated[str, Choice("auto", "rgb", "bgr"), "Order of the colour channels in the file"] = "auto"


@dataclass(frozen=True)
class Compute(Record):
    """Device and precision."""

    device: Annotated[str, "auto, cpu, cuda, cuda:1 or mps; auto takes a GPU where there is one"] = "auto"
    precision: Annotated[
        str, Choice("auto", "float32"), "auto: half precision where the network was made for it, on a GPU"
    ] = "auto"


@dataclass(frozen=True)
class Latent(Record):
    """Position on the seed plane: seed + x + 100 y; w is interpolated bilinearly between the four nearest seeds."""

    seed: Seed = 0
    x: Annotated[float, Range(-100, 100, "seeds", step=0.01), "Offset along the seed plane"] = 0.0
    y: Annotated[float, Range(-100, 100, "rows", step=0.01), "Offset across it; one row is 100 seeds"] = 0.0
    class_index: ClassIndex = None
    drift_x: Annotated[float, Range(-5, 5, "seeds/s", step=0.01), "Moves along the seed plane while playing"] = 0.0
    drift_y: Annotated[float, Range(-5, 5, "rows/s", step=0.01), "Moves across it while playing"] = 0.0
    projected: Annotated[str, "File with a projected w (.npz or .npy, [N, num_ws, w_dim]) used instead of the seed"] = (
        ""
    )
    projected_index: Annotated[int, Range(0, 100_000), "Which w of that file, from 0"] = 0


@dataclass(frozen=True)
class Truncation(Record):
    """Truncation: w is pulled towards the average w."""

    psi: Annotated[
        float,
        Range(-1, 2, step=0.005),
        "Pulls w towards the average image: 0 is the average, 1 leaves w alone",
    ] = 1.0
    cutoff: Annotated[int | None, Range(0, 64, "layers"), "How many of the first layers are pulled; empty: all"] = None


@dataclass(frozen=True)
class Mixing(Record):
    """Style mixing: the chosen layers take w from a second seed."""

    seed: Annotated[int, Range(0, NUM_SEEDS - 1), "Seed whose style the chosen layers take"] = 1000
    x: Annotated[float, Range(-100, 100, "seeds", step=0.01), "Offset towards the next seed"] = 0.0
    class_index: ClassIndex = None
    layers: Annotated[tuple[int, ...], Range(0, 63), "Rows of w that come from the second seed"] = ()
    drift: Annotated[float, Range(-5, 5, "seeds/s", step=0.01), "Moves the second seed while playing"] = 0.0


@dataclass(frozen=True)
class Noise(Record):
    """Per-pixel noise of StyleGAN2; alias-free networks have none."""

    mode: Annotated[
        str,
        Choice("const", "random", "none"),
        "const: the network's own; random: drawn from the seed; none: off",
    ] = "const"
    seed: Annotated[int, Range(0, NUM_SEEDS - 1), "Seed of random noise"] = 0
    rate: Annotated[float, Range(0, 60, "seeds/s"), "New noise this often while playing"] = 0.0


@dataclass(frozen=True)
class Transform(Record):
    """Translation, rotation and scale, at the network's input if possible (Karras et al. 2021, section 3.1)."""

    translate_x: Annotated[float, Range(-2, 2, "widths", step=0.002), "To the right, in image widths"] = 0.0
    translate_y: Annotated[float, Range(-2, 2, "widths", step=0.002), "Down, in image widths"] = 0.0
    rotate: Annotated[float, Range(-360, 360, "°", step=0.5), "Counter-clockwise, in degrees"] = 0.0
    scale: Annotated[float, Range(0.1, 10, "×", step=0.005, log=True), "Larger than 1 enlarges"] = 1.0
    drift_x: Annotated[
        float,
        Range(-1, 1, "widths/s", step=0.001),
        "Glides sideways while playing, and turns at half a width",
    ] = 0.0
    drift_y: Annotated[
        float,
        Range(-1, 1, "widths/s", step=0.001),
        "Glides up and down while playing, and turns at half a width",
    ] = 0.0
    spin: Annotated[float, Range(-360, 360, "°/s", step=0.2), "Turns while playing"] = 0.0
    growth: Annotated[
        float,
        Range(-2, 2, "octaves/s", step=0.005),
        "Doublings of the scale per second while playing; turns at half and double",
    ] = 0.0
    at_input: Annotated[
        bool, "Moves the network's input, so that texture goes along; off: moves the finished picture"
    ] = True
    undo: Annotated[bool, "Moves the finished picture back: what still changes is the network's error"] = False
    whole_pixels: Annotated[bool, "Rounds the translation to whole pixels of the output"] = False


@dataclass(frozen=True)
class Capture(Record):
    """Which feature map is inspected."""

    layer: Annotated[str, "Name of the layer; empty is the finished picture"] = ""
    channel: Annotated[int, Range(0, 65535), "First channel shown"] = 0
    rgb: Annotated[bool, "Three channels as red, green and blue; off: one"] = True


@dataclass(frozen=True)
class Scene(Record):
    """Everything that determines the pixels of one image."""

    model: Annotated[Model, "The network"] = Model()
    compute: Annotated[Compute, "Device and precision"] = Compute()
    latent: Annotated[Latent, "Place on the seed plane"] = Latent()
    truncation: Annotated[Truncation, "Truncation"] = Truncation()
    mixing: Annotated[Mixing, "Style mixing"] = Mixing()
    noise: Annotated[Noise, "Noise"] = Noise()
    transform: Annotated[Transform, "Transform"] = Transform()
    capture: Annotated[Capture, "Layer that is looked at"] = Capture()
    inspect: Annotated[Inspect, "How it is looked at"] = Inspect()


def move_latent(latent: Latent, dx: float, dy: float) -> Latent:
    """Move a latent by (dx, dy) on the seed plane; `seed` becomes the nearest seed, |x| and |y| at most 0.5."""
    x, y = latent.x + dx, latent.y + dy
    columns, rows = round(x), round(y)
    seed = (latent.seed + columns + SEEDS_PER_ROW * rows) % NUM_SEEDS
    return replace(latent, seed=seed, x=x - columns, y=y - rows)


def bilinear_seeds(seed: int, x: float, y: float) -> tuple[tuple[int, float], ...]:
    """Return the seeds around a position with their bilinear weights: positive, summing to 1, each seed once."""
    column, row = math.floor(x), math.floor(y)
    fx, fy = x - column, y - row
    weights: dict[int, float] = {}
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            if wx * wy > 0:
                corner = (seed + column + dx + SEEDS_PER_ROW * (row + dy)) % NUM_SEEDS
                weights[corner] = weights.get(corner, 0.0) + wx * wy
    return tuple(weights.items())


Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


def transform_matrix(transform: Transform, pixels: int | None = None) -> Matrix:
    """Return the forward 3x3 matrix in image widths, y down: a point p of the image moves to matrix @ p.

    Rotation and scale about the center, then translation. With `whole_pixels` set and `pixels` given, the translation
    is rounded to whole pixels of an image that wide. The network's `input.transform` is the inverse.
    """
    tx, ty = transform.translate_x, transform.translate_y
    if transform.whole_pixels and pixels:
        tx, ty = round(tx * pixels) / pixels, round(ty * pixels) / pixels
    angle = math.radians(transform.rotate)
    c, s = math.cos(angle) * transform.scale, math.sin(angle) * transform.scale
    return ((c, s, tx), (-s, c, ty), (0.0, 0.0, 1.0))
