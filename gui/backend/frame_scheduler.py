"""Decides when the window builds a frame, and which of the frames are painted.

    scheduler = FrameScheduler(is_software_renderer(GL))
    while open:
        wait(scheduler.seconds_until_due(app))    # for an event; each input calls scheduler.on_input()
        if scheduler.should_draw(app):
            draw(app)
            if scheduler.should_present(app):
                paint()

Drawing builds the frame: edits enter the document and the next image is requested. Painting turns the frame into
pixels. With a GPU that is cheap. In software it takes the CPU cores that the renderer needs, so a frame that has just
requested an image is painted when that image has arrived: control and image then move together.
"""

from __future__ import annotations

import time

from gui.backend.base import FrameSource

IDLE_POLL = 0.25  # seconds between two polls while no answer is due
PENDING_POLL = 0.008  # seconds between two polls while an answer is due, for a renderer that does not wake the window
SETTLE_FRAMES = 3  # frames drawn after an input: imgui shows some effects (a popup, a tooltip) one or two frames later
MAX_WAIT = 1 / 20  # seconds that a frame waits for the image it has requested
STEADY_INTERVAL = 1 / 30  # seconds between painted frames where images take longer than that


class FrameScheduler:
    """The schedule of one window."""

    def __init__(self, software_renderer: bool) -> None:
        self._software_renderer = software_renderer
        self._settle_frames_left = SETTLE_FRAMES
        self._has_news = False
        self._drawn_at = self._painted_at = 0.0
        self._polled_at = time.perf_counter()
        self._painted_answers = -1  # answer_count at the last painted frame
        self._present_deadline: float | None = None  # None: the last drawn frame is painted

    def on_input(self) -> None:
        """Note an input."""
        self._settle_frames_left = SETTLE_FRAMES

    def seconds_until_due(self, app: FrameSource) -> float:
        """Seconds until the next frame or poll, unless an event arrives."""
        poll_interval = PENDING_POLL if app.waiting_since is not None else IDLE_POLL
        return min(self._next_frame_at(app) - time.perf_counter(), poll_interval)

    def should_draw(self, app: FrameSource) -> bool:
        """Poll the renderer; return whether a frame is to be drawn now."""
        if app.poll(time.perf_counter() - self._polled_at):
            self._polled_at, self._has_news = time.perf_counter(), True
        if time.perf_counter() < self._next_frame_at(app):
            return False
        self._drawn_at = self._polled_at = time.perf_counter()
        self._has_news = False
        self._settle_frames_left = max(self._settle_frames_left - 1, 0)
        return True

    def should_present(self, app: FrameSource) -> bool:
        """Whether to paint the frame just drawn; if not, a later one is painted soon."""
        now, since = time.perf_counter(), app.waiting_since
        if self._software_renderer and since is not None and app.answer_count == self._painted_answers:
            self._present_deadline = self._present_deadline or max(self._painted_at + STEADY_INTERVAL, since + MAX_WAIT)
            if now < self._present_deadline:
                return False
        self._painted_at, self._painted_answers, self._present_deadline = self._drawn_at, app.answer_count, None
        return True

    def skip_frame(self, app: FrameSource) -> None:
        """Poll without drawing while the window is not visible; nothing moves and nothing is requested."""
        app.poll()
        self._drawn_at = self._polled_at = time.perf_counter()

    def _next_frame_at(self, app: FrameSource) -> float:
        """The time of the next frame, by time.perf_counter."""
        min_interval = 1 / app.prefs.frame_limit
        should_draw = self._drawn_at + (min_interval if self._settle_frames_left else max(app.interval, min_interval))
        if self._has_news:
            should_draw = min(should_draw, self._painted_at + min_interval)
        return should_draw if self._present_deadline is None else min(should_draw, self._present_deadline)
