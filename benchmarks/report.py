"""Measurements as a page of Markdown and as plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONTS = Path(__file__).resolve().parent.parent / "assets" / "fonts"
INK, PALE, GRID, PAPER = "#24292f", "#6e7781", "#d0d7de", "#ffffff"
COLORS = "#0b6e99", "#d9730d", "#448361", "#9065b0", "#ad1a72", "#787774"


@dataclass
class Section:
    """A table with an introduction, notes and a plot."""

    title: str
    text: str
    columns: Sequence[str] = ()
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    image: str = ""

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", self.text, ""]
        if self.rows:
            lines += ["| " + " | ".join(self.columns) + " |", "|" + " --- |" * len(self.columns)]
            lines += ["| " + " | ".join(row) + " |" for row in self.rows] + [""]
        if self.image:
            lines += [f"![{self.title}](images/{self.image})", ""]
        lines += [line for note in self.notes for line in (f"- {note}",)]
        return "\n".join(lines).rstrip() + "\n"


def render_page(head: str, sections: Sequence[Section]) -> str:
    """Render docs/benchmarks.md."""
    return "\n".join(["# Benchmarks", "", head, "", *(section.markdown() for section in sections)])


def format_milliseconds(seconds: float) -> str:
    """Format with three significant digits."""
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"


def format_ratio(value: float) -> str:
    return f"**{value:.1f}**"


def plot_bars(
    path: Path, title: str, groups: Sequence[tuple[str, Sequence[float | None]]], names: Sequence[str]
) -> None:
    """Plot horizontal bars: each group has a name and one value (or None) for each of `names`."""
    line, left, right, top = 22, 250, 70, 74
    height = top + sum(line * len(values) + 14 for _, values in groups) + 20
    image, draw, font, bold = _canvas(900, height, title)
    _legend(draw, font, names, 44)
    largest = max((value for _, values in groups for value in values if value is not None), default=1.0)
    y = top
    for name, values in groups:
        draw.text((left - 12, y + line * len(values) / 2), name, INK, font, anchor="rm")
        for value, color in zip(values, COLORS, strict=False):
            if value is None:
                draw.text((left + 6, y + line / 2), "not run", PALE, font, anchor="lm")
            else:
                end = left + (900 - left - right) * value / largest
                draw.rectangle([left, y + 2, end, y + line - 3], color)
                draw.text((end + 6, y + line / 2), f"{value:.3g}", INK, bold, anchor="lm")
            y += line
        y += 14
    image.save(path)


def plot_curves(
    path: Path, title: str, xs: Sequence[float], series: Sequence[tuple[str, Sequence[float | None]]], unit: str
) -> None:
    """Plot lines with markers; both axes are logarithmic."""
    width, height, left, right, top, bottom = 640, 420, 76, 24, 76, 44
    image, draw, font, _ = _canvas(width, height, title)
    _legend(draw, font, [name for name, _ in series], 44)
    known = [value for _, values in series for value in values if value]
    low, high = 10 ** math.floor(math.log10(min(known))), 10 ** math.ceil(math.log10(max(known) * 1.001))

    def to_pixels(x: float, y: float) -> tuple[float, float]:
        share_x = (math.log(x) - math.log(xs[0])) / max(math.log(xs[-1]) - math.log(xs[0]), 1e-9)
        share_y = (math.log(y) - math.log(low)) / (math.log(high) - math.log(low))
        return left + share_x * (width - left - right), height - bottom - share_y * (height - top - bottom)

    mark = low
    while mark <= high * 1.001:
        _, y = to_pixels(xs[0], mark)
        draw.line([left, y, width - right, y], GRID)
        draw.text((left - 8, y), f"{mark:g} {unit}", PALE, font, anchor="rm")
        mark *= 10
    for x in xs:
        place, _ = to_pixels(x, low)
        draw.text((place, height - bottom + 8), f"{x:g}", PALE, font, anchor="ma")
    for (_, values), color in zip(series, COLORS, strict=False):
        points = [to_pixels(x, value) for x, value in zip(xs, values, strict=True) if value]
        if len(points) > 1:
            draw.line(points, color, width=3, joint="curve")
        for x, y in points:
            draw.ellipse([x - 4, y - 4, x + 4, y + 4], color)
    image.save(path)


def _canvas(width: int, height: int, title: str):
    image = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(image)
    font, bold = _font(14), _font(15)
    draw.text((16, 14), title, INK, _font(18))
    return image, draw, font, bold


def _legend(draw: ImageDraw.ImageDraw, font, names: Sequence[str], y: int) -> None:
    x = 16.0
    for name, color in zip(names, COLORS, strict=False):
        draw.rectangle([x, y + 3, x + 12, y + 15], color)
        draw.text((x + 18, y), name, INK, font)
        x += 38 + draw.textlength(name, font)


def _font(size: int):
    files = sorted(FONTS.glob("*.ttf"))
    plain = [path for path in files if "mono" not in path.name.lower() and "icon" not in path.name.lower()]
    return ImageFont.truetype(str(plain[0]), size) if plain else ImageFont.load_default(size)
