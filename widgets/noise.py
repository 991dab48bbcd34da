"""Noise: the random detail that StyleGAN2 adds to every layer."""

from __future__ import annotations

from gui.controls import ui
from gui.panel import Now, Panel
from session import Noise

WORDS = {"const": "fixed", "random": "random", "none": "off"}
NONE = "Alias-free networks have no noise: their detail comes from the latent alone."


def draw(value: Noise, now: Now) -> Noise:
    has = now.model is None or now.model.has_noise
    drawn, why = (
        has and value.mode == "random",
        NONE if not has else "Only random noise has a seed: choose the mode random.",
    )
    value = ui.combo(value, "mode", words=WORDS, enabled=has, why=NONE)
    value = ui.seed(value, "seed", enabled=drawn, why=why)
    return ui.slider(value, "rate", label="New seeds", enabled=drawn, why=why)


panel = Panel("Noise", Noise, draw, meaning="Random detail of every layer")
