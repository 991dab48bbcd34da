"""Which frames are painted where the processor paints: fewer than are drawn, and never too few."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from imgui_bundle import imgui

from gui.app import App
from gui.backend.frame_scheduler import FrameScheduler
from gui.backend.headless import Headless
from gui.controls import ui
from renderer.client import Client
from session import Model, Scene, Session, Truncation
from widgets import PANELS

FOOT = 24  # pixels of the status line: what it says of the speed changes by itself
TIMEOUT = 30.0  # seconds


class Display:
    """What a person sees of an app: only what has been painted."""

    def __init__(self, screen: Headless, app: App, software_renderer: bool) -> None:
        self.screen, self.app = screen, app
        screen.make_current()
        screen.scheduler = FrameScheduler(software_renderer)
        self.drawn = self.painted = 0
        self.seen = np.zeros(0)

    def turn(self) -> None:
        before = imgui.get_frame_count()
        painted = self.screen.run_once(self.app)
        self.drawn += imgui.get_frame_count() - before
        if painted:
            self.painted += 1
            self.seen = self.screen.screenshot()[:-FOOT]

    def until(self, true: Callable[[], bool]) -> None:
        """Let the window live until something is true."""
        end = time.monotonic() + TIMEOUT
        while not true():
            assert time.monotonic() < end, "waited in vain"
            self.turn()
            time.sleep(max(min(self.screen.scheduler.seconds_until_due(self.app), 0.002), 0))

    def rested(self) -> bool:
        """Whether there is no picture to come and nothing left to paint."""
        return not self.app.is_waiting and self.screen.scheduler.seconds_until_due(self.app) > 0.1

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 20) -> None:
        """Press, move and let go; every step is drawn before the next."""
        self.screen.move(*start)
        self.frame()
        self.screen.press()
        for step in range(1, steps + 1):
            self.frame()
            self.screen.move(*(a + (b - a) * step / steps for a, b in zip(start, end, strict=True)))
        self.frame()
        self.screen.release()
        self.frame()

    def frame(self) -> None:
        """Until a frame is drawn."""
        before = self.drawn
        self.until(lambda: self.drawn > before)

    def painted_fully(self) -> np.ndarray:
        """What the window looks like when it is drawn and painted once more."""
        self.screen.frame(self.app)
        return self.screen.screenshot()[:-FOOT]


class Busy(Client):
    """A renderer that is at it, and never done."""

    def _send_request(self, request) -> None: ...
    def _send_command(self, message) -> None: ...
    def close(self) -> None: ...


@pytest.fixture
def unanswered(home: Path, network: Path) -> Iterator[Display]:
    """A window whose picture is on its way, for ever."""
    with Headless(1280, 800) as screen:
        app = App(PANELS, Busy(), Session((Scene(model=Model(path=str(network))),)), folder=home)
        yield Display(screen, app, software_renderer=True)
        app.close()


def test_after_a_drag_all_is_in_sight_though_not_every_frame_was_painted(app):
    display = Display(app.screen, app.app, software_renderer=True)
    display.until(display.rested)
    before, x = display.seen, app.scene.latent.x
    display.drag((640, 400), (760, 430))
    display.until(display.rested)
    assert app.scene.latent.x != x
    assert display.painted < display.drawn
    assert not np.array_equal(display.seen, before)
    assert np.array_equal(display.seen, display.painted_fully())


def test_where_a_graphics_card_paints_every_frame_is_painted(app):
    display = Display(app.screen, app.app, software_renderer=False)
    display.drag((640, 400), (760, 430))
    display.until(display.rested)
    assert display.painted == display.drawn > 20


def test_controls_move_and_menus_open_while_a_picture_takes_long(unanswered):
    display = unanswered
    display.until(lambda: display.drawn > 5)
    psi = display.app.scene.truncation.psi
    left, top, right, bottom = ui.ITEM_RECTS["Truncation/psi"]
    display.drag((right - 20, (top + bottom) / 2), (left + 20, (top + bottom) / 2))
    assert display.app.is_waiting
    assert display.app.scene.truncation.psi != psi
    in_sight_within_a_moment(display)
    left, top, right, bottom = ui.ITEM_RECTS["Menu/File"]
    display.drag(((left + right) / 2, (top + bottom) / 2), ((left + right) / 2, (top + bottom) / 2), steps=1)
    assert imgui.is_popup_open("", imgui.PopupFlags_.any_popup)
    in_sight_within_a_moment(display)


def in_sight_within_a_moment(display: Display) -> None:
    """What is drawn comes into sight although no picture comes and nothing is touched any more."""
    now = display.painted_fully()
    display.until(lambda: np.array_equal(display.seen, now))


def test_twenty_quick_undos_all_arrive(app):
    """imgui takes one press or release of a key a frame; the window draws until all are taken, without more input."""
    for psi in range(20):
        app.app.document.edit(replace(app.scene, truncation=Truncation(psi=psi / 20)))
    display = Display(app.screen, app.app, software_renderer=True)
    display.until(display.rested)
    for _ in range(20):
        app.screen.key("ctrl+z", True)
        app.screen.key("ctrl+z", False)
    display.until(lambda: display.rested() and not app.app.document.can_undo)
    assert app.scene.truncation == Truncation()
