"""Collects the record of a demo network's training: `python tools/collect_run.py runs/00000-... --dest assets/demo`.

NAME-run.yaml      how it was trained, without this machine's name and folders
NAME-curves.png    losses, mean sign of D on reals (r_t), augmentation probability (p) and seconds per kimg, over kimg
NAME-samples.jpg   the same seeds at up to eight moments of the training
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image, ImageDraw, ImageFont

ASSETS = Path(__file__).resolve().parent.parent / "assets"
FONT = ASSETS / "fonts" / "Roboto-Regular.ttf"
BACKGROUND, GRID_COLOR, TEXT_COLOR, MUTED_COLOR = "#1c1d20", "#3a3c42", "#d8dadf", "#8b8f98"
COLORS = ("#4aa3ff", "#f2a541")  # distinguishable with color blindness
MOMENTS, ROWS, COLUMNS = 8, 4, 4  # of samples.jpg
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = (
    420,
    240,
    52,
    34,
    26,
)  # pixels: size of one plot, and its left, bottom and top margins

PLOTS = {  # title -> names in stats.jsonl -> labels in the plot
    "losses": {"Loss/G/loss": "G", "Loss/D/loss": "D"},
    "r_t: mean sign of D on reals": {"Loss/signs/real": ""},
    "p: strength of augmentation": {"Progress/augment": ""},
    "seconds a kimg": {"Timing/sec_per_kimg": ""},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the training")
    parser.add_argument("--dest", type=Path, default=ASSETS / "demo")
    parser.add_argument("--name", default="stylegan3", help="which network it is (default stylegan3)")
    options = parser.parse_args()
    try:
        facts = yaml.safe_load((options.run / "run.yaml").read_text())
        lines = [json.loads(line) for line in (options.run / "stats.jsonl").read_text().splitlines()]
    except (OSError, ValueError, yaml.YAMLError) as error:
        print(f"{options.run} is not a run folder that can be read ({error}): choose another.", file=sys.stderr)
        return 2
    options.dest.mkdir(parents=True, exist_ok=True)
    paths = [options.dest / f"{options.name}-{what}" for what in ("run.yaml", "curves.png", "samples.jpg")]
    paths[0].write_text(yaml.safe_dump(anonymize(facts, lines), sort_keys=False, allow_unicode=True))
    plot_curves(lines).save(paths[1], optimize=True)
    strip = samples(options.run, facts["config"]["resolution"])
    if strip is not None:
        strip.save(paths[2], quality=90, optimize=True)
    for path in paths:
        if path.exists():
            print(f"{path}: {path.stat().st_size / 1024:.0f} KB")
    return 0


def anonymize(facts: dict[str, Any], lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return run.yaml without the host's name and the folders of paths, and with the training's progress."""

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: short(item) for key, item in value.items()}
        if isinstance(value, list):
            return [short(item) for item in value]
        return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value

    description = {key: short(value) for key, value in facts.items() if key != "host"}
    if lines:
        last = lines[-1]
        hours = last["Timing/total_hours"]["mean"]
        description["trained"] = {"kimg": round(last["Progress/kimg"]["mean"], 3), "hours": round(hours, 2)}
    return description


def plot_curves(lines: Sequence[dict[str, Any]]) -> Image.Image:
    """Draw every plot of PLOTS that has values, in two columns."""
    plots = [(title, names) for title, names in PLOTS.items() if any(name in line for name in names for line in lines)]
    page = Image.new("RGB", (2 * WIDTH, max(-(-len(plots) // 2), 1) * HEIGHT), BACKGROUND)
    for number, (title, names) in enumerate(plots):
        page.paste(plot(title, names, lines), (number % 2 * WIDTH, number // 2 * HEIGHT))
    return page


def plot(title: str, names: dict[str, str], lines: Sequence[dict[str, Any]]) -> Image.Image:
    """Draw one plot over kimg, at twice the size and downsampled for smooth lines."""
    series = {}
    for name in names:
        points = [(line["Progress/kimg"]["mean"], line[name]["mean"]) for line in lines if name in line]
        series[name] = np.array(points[1:] or points, np.float64).reshape(-1, 2)  # the first tick is a single step
    every = np.concatenate(list(series.values()))
    end = float(max(every[:, 0].max(), 1e-9))
    low, high = min(float(every[:, 1].min()), 0.0), float(every[:, 1].max())
    high = high if high > low else low + 1
    page = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT), BACKGROUND)
    pen, font = ImageDraw.Draw(page), ImageFont.truetype(FONT, 24)
    box = (2 * LEFT, 2 * TOP, 2 * WIDTH - 28, 2 * (HEIGHT - BOTTOM))

    def at(x: float, y: float) -> tuple[float, float]:
        return box[0] + x / end * (box[2] - box[0]), box[3] - (y - low) / (high - low) * (box[3] - box[1])

    pen.text((box[0], TOP), title, TEXT_COLOR, font, anchor="lm")
    for share in (0.0, 0.5, 1.0):
        value, kimg = low + share * (high - low), share * end
        pen.line([at(0, value), at(end, value)], GRID_COLOR, 2)
        pen.text((box[0] - 12, at(0, value)[1]), f"{value:.3g}", MUTED_COLOR, font, anchor="rm")
        words = f"{kimg:.3g}" + (" kimg" if share == 1 else "")
        pen.text((at(kimg, low)[0], box[3] + 28), words, MUTED_COLOR, font, anchor="rm" if share == 1 else "mm")
    for color, (name, points) in zip(COLORS, series.items(), strict=False):
        pen.line([at(x, y) for x, y in points], color, 4, joint="curve")
        if names[name]:
            pen.text((box[2] - 70 * list(names).index(name), TOP), f"– {names[name]}", color, font, anchor="rm")
    return page.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def samples(run: Path, resolution: int) -> Image.Image | None:
    """Crop the first images from the sheets of several moments, labeled with kimg; None without sheets."""
    sheets = sorted(path for path in run.glob("fakes*.png") if path.stem[5:].isdigit())
    if not sheets:
        return None
    chosen = [sheets[i] for i in sorted(set(np.linspace(0, len(sheets) - 1, MOMENTS).round().astype(int).tolist()))]
    side = (COLUMNS * resolution, ROWS * resolution)
    page = Image.new("RGB", (len(chosen) * (side[0] + 8) - 8, side[1] + 22), BACKGROUND)
    pen, font = ImageDraw.Draw(page), ImageFont.truetype(FONT, 13)
    for number, path in enumerate(chosen):
        left = number * (side[0] + 8)
        with Image.open(path) as sheet:
            page.paste(sheet.convert("RGB").crop((0, 0, *side)), (left, 22))
        pen.text((left + side[0] / 2, 11), f"{int(path.stem[5:])} kimg", TEXT_COLOR, font, anchor="mm")
    return page


if __name__ == "__main__":
    sys.exit(main())
