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

IDLE_POLL = 0.25  # seconds between two looks for news while nothing is due
PENDING_POLL = 0.008  # and while a picture is due, for a renderer that does not wake the window
SETTLE_FRAMES = 3  # frames drawn after an input: imgui shows some consequences (a popup, a tooltip) only then
MAX_WAIT = 1 / 20  # seconds that a frame waits for a picture that was asked for just now
STEADY_INTERVAL = 1 / 30  # and, where pictures take longer than that, from one painted frame to the next


class FrameScheduler:
    """The rule, for one window."""

    def __init__(self, software_renderer: bool) -> None:
        self._software_renderer = software_renderer
        self._settle_frames_left = SETTLE_FRAMES
        self._has_news = False
        self._drawn_at = self._painted_at = 0.0
        self._polled_at = time.perf_counter()
        self._painted_answers = -1  # that the last painted frame knew of
        self._present_deadline: float | None = None  # None: what was drawn last is painted

    def on_input(self) -> None:
        """There was an input."""
        self._settle_frames_left = SETTLE_FRAMES

    def seconds_until_due(self, app: FrameSource) -> float:
        """Seconds that nothing need be done, unless something happens."""
        poll_interval = PENDING_POLL if app.waiting_since is not None else IDLE_POLL
        return min(self._next_frame_at(app) - time.perf_counter(), poll_interval)

    def should_draw(self, app: FrameSource) -> bool:
        """Take what the renderer has; whether a frame is to be drawn now."""
        if app.poll(time.perf_counter() - self._polled_at):
            self._polled_at, self._has_news = time.perf_counter(), True
        if time.perf_counter() < self._next_frame_at(app):
            return False
        self._drawn_at = self._polled_at = time.perf_counter()
        self._has_news = False
        self._settle_frames_left = max(self._settle_frames_left - 1, 0)
        return True

    def should_present(self, app: FrameSource) -> bool:
        """Whether the frame just drawn is to be painted; where not, another is due soon that will be."""
        now, since = time.perf_counter(), app.waiting_since
        if self._software_renderer and since is not None and app.answer_count == self._painted_answers:
            self._present_deadline = self._present_deadline or max(self._painted_at + STEADY_INTERVAL, since + MAX_WAIT)
            if now < self._present_deadline:
                return False
        self._painted_at, self._painted_answers, self._present_deadline = self._drawn_at, app.answer_count, None
        return True

    def skip_frame(self, app: FrameSource) -> None:
        """Nobody can see the window: nothing moves, nothing is painted, nothing new is asked for."""
        app.poll()
        self._drawn_at = self._polled_at = time.perf_counter()

    def _next_frame_at(self, app: FrameSource) -> float:
        """When the next frame is due, by time.perf_counter."""
        min_interval = 1 / app.prefs.frame_limit
        should_draw = self._drawn_at + (min_interval if self._settle_frames_left else max(app.interval, min_interval))
        if self._has_news:
            should_draw = min(should_draw, self._painted_at + min_interval)
        return should_draw if self._present_deadline is None else min(should_draw, self._present_deadline)
