"""What a panel is, and what it is told: a function from a slice of the document to a slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from renderer.messages import ModelInfo, RenderProgress, RenderResult
from session import Scene, Session


@dataclass(frozen=True)
class SecondaryView:
    """A picture on the screen other than the canvas, as a panel may ask for one: its texture and its newest answer."""

    texture: int  # OpenGL name
    width: int
    height: int
    result: RenderResult


@dataclass(frozen=True)
class PerformanceStats:
    """How fast things go: rings of the last frames, oldest first, for plots."""

    stages: Mapping[str, np.ndarray] = field(default_factory=dict)  # "mapping", "synthesis", ...: ms of each picture
    images_per_second: float = 0.0  # new pictures
    frames_per_second: float = 0.0  # redraws of the window
    latency: float = 0.0  # ms from a changed control to pixels in the texture, the last one
    transport: str = ""  # which way pictures take to the window, and why


@dataclass(frozen=True)
class PanelContext:
    """What is the case in this frame, besides the slice: read only."""

    session: Session
    scene: Scene  # what the canvas is asked to show, drifts applied
    model: ModelInfo | None  # None before the first network has loaded
    result: RenderResult | None  # newest answer of the canvas
    problem: str  # why the canvas shows no newer picture; "" where all is well
    progress: RenderProgress | None  # a network on its way
    time: float  # seconds on the document's clock
    playing: bool
    performance: PerformanceStats
    settings: Mapping[str, Any]  # preferences: recents, frame limit, theme, scale, folders ...
    post_command: Callable[..., None]  # ask("file.open", path): a command of gui/commands.py, run after the panels
    request_view: Callable[
        [str, Scene], SecondaryView | None
    ]  # view("spectrum", scene): that scene as a second picture, when ready


@dataclass(frozen=True)
class Panel:
    """One panel: which part of the Scene it edits, how it draws it, where it docks on the first start."""

    title: str
    part: type  # a Part of Scene, or Scene
    draw: Callable[[Any, PanelContext], Any]
    dock: str = "left"  # "left", "right" or "bottom"
    meaning: str = ""  # one line for the tooltip of its title
