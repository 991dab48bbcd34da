"""Noise: the random detail that StyleGAN2 adds to every layer."""

from __future__ import annotations

from gui.controls import ui
from gui.panel import Panel, PanelContext
from session import Noise

WORDS = {"const": "fixed", "random": "random", "none": "off"}
NONE = "Alias-free networks have no noise: their detail comes from the latent alone."


def draw(value: Noise, context: PanelContext) -> Noise:
    has_noise = context.model is None or context.model.has_noise
    is_random, why = (
        has_noise and value.mode == "random",
        NONE if not has_noise else "Only random noise has a seed: choose the mode random.",
    )
    value = ui.combo(value, "mode", words=WORDS, enabled=has_noise, why=NONE)
    value = ui.seed(value, "seed", enabled=is_random, why=why)
    return ui.slider(value, "rate", label="New seeds", enabled=is_random, why=why)


panel = Panel("Noise", Noise, draw, meaning="Random detail of every layer")
