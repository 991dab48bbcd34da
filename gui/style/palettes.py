"""The colors of the window, dark and light, each named by its use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Colors by use, as "#rrggbb" or "#rrggbbaa"."""

    window: str  # between panels, behind everything
    panel: str
    canvas: str  # behind the image
    popup: str
    field: str  # background of a control
    field_hover: str
    field_active: str
    fill: str  # filled part of a slider
    button: str
    button_hover: str
    line: str  # separators, axes
    text: str
    dim: str  # labels
    faint: str  # hints, disabled text
    accent: str  # active items and modified values, nothing else
    on_accent: str  # text on the accent
    amber: str  # warnings
    red: str  # errors
    series: tuple[str, ...]  # lines of a plot, distinguishable for color-blind users


DARK = Palette(
    window="#1c1d20",
    panel="#232428",
    canvas="#17181a",
    popup="#2a2c31",
    field="#313439",
    field_hover="#393c43",
    field_active="#3f434b",
    fill="#535863",
    button="#393c43",
    button_hover="#454951",
    line="#37393f",
    text="#d8dadf",
    dim="#a6aab3",
    faint="#80848e",
    accent="#4aa3f5",
    on_accent="#0d1a26",
    amber="#e5a63c",
    red="#ef6b64",
    series=("#56b4e9", "#e69f00", "#3fc08f", "#cc79a7", "#f0e442", "#9aa0ad"),
)
LIGHT = Palette(
    window="#dfe0e3",
    panel="#eeeff1",
    canvas="#d3d5d9",
    popup="#fafafb",
    field="#dfe1e5",
    field_hover="#d6d9de",
    field_active="#ced2d8",
    fill="#bcc2cb",
    button="#d9dce1",
    button_hover="#cdd1d8",
    line="#cdd0d5",
    text="#24262b",
    dim="#565b65",
    faint="#6f747e",
    accent="#0f6fd6",
    on_accent="#ffffff",
    amber="#8f5a00",
    red="#c0302a",
    series=("#0072b2", "#b36b00", "#00805c", "#a8447c", "#8a7f00", "#5d636e"),
)
PALETTES = {"dark": DARK, "light": LIGHT}
