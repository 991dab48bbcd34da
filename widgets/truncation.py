"""Truncation: how far w is pulled towards the average image, and in how many layers."""

from __future__ import annotations

from gui.controls import ui
from gui.panel import Panel, PanelContext
from session import Truncation
from session.fields import describe


def draw(value: Truncation, context: PanelContext) -> Truncation:
    value = ui.slider(value, "psi", label="Psi ψ")
    bound = describe(Truncation)["cutoff"].range
    rows = context.model.num_ws if context.model else int(bound.high) if bound else 0
    return ui.optional(
        value,
        "cutoff",
        low=0,
        high=rows - 1,
        empty="all layers",
        last=True,
        enabled=value.psi != 1,
        why="At psi 1 nothing is pulled, whatever the cutoff.",
    )


panel = Panel("Truncation", Truncation, draw, meaning="Trades variety for typical images")
