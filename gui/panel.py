"""Panels and what they are given: a panel is a function from a slice of the document to a slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from renderer.messages import ModelInfo, RenderProgress, RenderResult
from session import Scene, Session


@dataclass(frozen=True)
class SecondaryView:
    """An image on screen besides the canvas, requested by a panel: its texture and its newest result."""

    texture: int  # OpenGL name
    width: int
    height: int
    result: RenderResult


@dataclass(frozen=True)
class PerformanceStats:
    """Timing of the last images and frames, oldest first, for plots."""

    stages: Mapping[str, np.ndarray] = field(
        default_factory=dict
    )  # ms of each image, by stage: "mapping", "synthesis", ...
    images_per_second: float = 0.0  # new images
    frames_per_second: float = 0.0  # redraws of the window
    latency: float = 0.0  # ms from the last changed control to pixels in the texture
    transport: str = ""  # how images get to the window (GPU memory or main memory), and why


@dataclass(frozen=True)
class PanelContext:
    """What a panel can read in this frame besides its slice."""

    session: Session
    scene: Scene  # the scene that the canvas requests, drifts applied
    model: ModelInfo | None  # None before the first network has loaded
    result: RenderResult | None  # newest result on the canvas
    problem: str  # why the canvas has no newer image; "": no problem
    progress: RenderProgress | None  # of a network that is loading
    time: float  # seconds on the document's clock
    playing: bool
    performance: PerformanceStats
    settings: Mapping[str, Any]  # preferences: recents, frame limit, theme, scale, folders ...
    post_command: Callable[..., None]  # post_command("file.open", path): run a command after the panels
    request_view: Callable[
        [str, Scene], SecondaryView | None
    ]  # ("spectrum", scene): render a scene besides the canvas; None until it is ready


@dataclass(frozen=True)
class Panel:
    """One panel: its title, the part of the Scene that it edits, how it is drawn, where it docks at the first start."""

    title: str
    part: type  # a Part of Scene, or Scene
    draw: Callable[[Any, PanelContext], Any]  # draw(value, context) -> value, the same object where nothing was edited
    dock: str = "left"  # "left", "right" or "bottom"
    meaning: str = ""  # one line for the tooltip of its title
