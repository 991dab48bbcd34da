"""When the window is drawn anew, and which of the drawn frames are painted.

    pace = FramePace(is_software_renderer(GL))
    while open:
        wait(pace.rest(app))        # for an event, at most so long; each input calls pace.touched()
        if pace.due(app):
            draw(app)
            if pace.paints(app):
                paint()

Drawing builds the frame: a change is taken and its picture asked for. Painting turns it into pixels. A graphics card
does that in passing; without one it takes the cores that the picture is computed on, so a frame for which a picture is
due is painted when that has come: the control and what it did move together.
"""

from __future__ import annotations

import time

from gui.backend.base import FrameSource

IDLE = 0.25  # seconds between two looks for news while nothing is due
SOON = 0.008  # and while a picture is due, for a renderer that does not wake the window
SETTLE = 3  # frames drawn after an input: imgui shows some consequences (a popup, a tooltip) only then
WORTH = 1 / 20  # seconds that a frame waits for a picture that was asked for just now
STEADY = 1 / 30  # and, where pictures take longer than that, from one painted frame to the next


class FramePace:
    """The rule, for one window."""

    def __init__(self, in_software: bool) -> None:
        self._in_software = in_software
        self._fresh = SETTLE
        self._news = False
        self._drawn = self._painted = 0.0
        self._looked = time.perf_counter()
        self._answers = -1  # that the last painted frame knew of
        self._held_until: float | None = None  # None: what was drawn last is painted

    def touched(self) -> None:
        """There was an input."""
        self._fresh = SETTLE

    def rest(self, app: FrameSource) -> float:
        """Seconds that nothing need be done, unless something happens."""
        soon = SOON if app.waiting_since is not None else IDLE
        return min(self._next(app) - time.perf_counter(), soon)

    def due(self, app: FrameSource) -> bool:
        """Take what the renderer has; whether a frame is to be drawn now."""
        if app.poll(time.perf_counter() - self._looked):
            self._looked, self._news = time.perf_counter(), True
        if time.perf_counter() < self._next(app):
            return False
        self._drawn = self._looked = time.perf_counter()
        self._news = False
        self._fresh = max(self._fresh - 1, 0)
        return True

    def paints(self, app: FrameSource) -> bool:
        """Whether the frame just drawn is to be painted; where not, another is due soon that will be."""
        now, since = time.perf_counter(), app.waiting_since
        if self._in_software and since is not None and app.answers == self._answers:
            self._held_until = self._held_until or max(self._painted + STEADY, since + WORTH)
            if now < self._held_until:
                return False
        self._painted, self._answers, self._held_until = self._drawn, app.answers, None
        return True

    def hidden(self, app: FrameSource) -> None:
        """Nobody can see the window: nothing moves, nothing is painted, nothing new is asked for."""
        app.poll()
        self._drawn = self._looked = time.perf_counter()

    def _next(self, app: FrameSource) -> float:
        """When the next frame is due, by time.perf_counter."""
        shortest = 1 / app.prefs.frame_limit
        due = self._drawn + (shortest if self._fresh else max(app.interval, shortest))
        if self._news:
            due = min(due, self._painted + shortest)
        return due if self._held_until is None else min(due, self._held_until)
