"""A few seconds of work by a scripted hand: what the program shows of itself where there is no display.

demonstrate(screen, app, seconds=6, fps=24, on_frame=film.add)
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import numpy as np
from imgui_bundle import imgui

from gui.app import App
from gui.backend.headless import Headless
from gui.controls import ui
from gui.testing.driver import Hand
from session.bookmarks import bookmarks

FIRST = 60.0  # seconds that the first picture may take
EACH = 0.5  # seconds that a frame waits for its picture, so that the film shows no stale one


def demonstrate(
    screen: Headless,
    app: App,
    *,
    seconds: float = 6.0,
    fps: int = 24,
    on_frame: Callable[[np.ndarray], None],
    budget: float = 20.0,
) -> None:
    """Drag the latent, pull psi, look into a layer and its spectrum, move and turn the picture, go to a bookmark.

    `on_frame(pixels)` takes each frame of the film, uint8 [H, W, 3], about seconds * fps of them. Frames wait for their
    pictures until `budget` seconds of the clock are spent; then they are taken as they come. Where no picture can be
    made at all, the film shows what the window says about it.
    """
    imgui.get_io().mouse_draw_cursor = True
    end = time.monotonic() + budget

    def patience() -> float:
        return min(EACH, max(end - time.monotonic(), 0.0))

    def filmed() -> None:
        waited = time.monotonic() + patience()
        while app.pictures.waiting and time.monotonic() < waited:
            if not app.poll():
                time.sleep(0.002)
        on_frame(screen.screenshot())

    quiet = Hand(screen, app)
    quiet.frames(3)
    with contextlib.suppress(TimeoutError):  # the frames then say what is being waited for
        quiet.wait_until(lambda: not _waits_for_the_first(app), FIRST)
    screen.move(screen.width * 0.62, screen.height * 0.75)
    hand = Hand(screen, app, filmed)
    hand.at, hand.step = (screen.width * 0.62, screen.height * 0.75), 1 / fps
    _play(hand, max(int(seconds * fps), 40))
    imgui.get_io().mouse_draw_cursor = False
    quiet.frames(2)  # what a screenshot shows then


def _waits_for_the_first(app: App) -> bool:
    canvas = app.pictures.canvas
    return canvas.result is None and canvas.problem is None


def _play(hand: Hand, frames: int) -> None:
    """The script, in shares of all frames."""

    def share(percent: float) -> int:
        return max(int(frames * percent / 100), 1)

    hand.frames(share(10))  # the greeting: it moves by itself
    x, y = hand.centre("Canvas")
    reach = (ui.PLACES["Canvas"][3] - ui.PLACES["Canvas"][1]) * 0.3
    hand.move((x - reach * 0.7, y - reach * 0.5), share(4))
    hand.screen.press()
    hand.frames()
    hand.move((x + reach, y - reach * 0.1), share(10))
    hand.move((x + reach * 0.2, y + reach), share(8))
    hand.screen.release()
    hand.frames(share(2))
    hand.drag("Truncation/psi", to=0.3, frames=share(8))
    hand.drag("Truncation/psi", to=0.7, frames=share(6))
    if hand.app.pictures.model is not None:
        layers = hand.app.pictures.model.layers
        hand.click(f"Layers/layer {layers[len(layers) // 2].name}")
        hand.frames(share(4))
        hand.click("Layers/Spectrum")
        hand.frames(share(10))
        hand.click("Layers/Spectrum")
        hand.click("Layers/layer Picture")
    model = hand.app.pictures.model
    if model is not None and model.family == "StyleGAN3-R":  # the others come apart when they are turned
        hand.press("t")
        hand.drag_between((x + reach, y), (x + reach * 0.7, y - reach * 0.8), share(10))
    else:
        hand.press("m")
        hand.drag_between((x, y), (x + reach * 0.3, y - reach * 0.4), share(10))
    hand.press("m")
    hand.drag_between((x, y), (x - reach * 0.5, y + reach * 0.3), share(10))
    hand.press("l")
    if not hand.app.scene.model.path:  # bookmarks are of the demo network
        for kept in bookmarks()[:1]:
            hand.click(f"Bookmarks/{kept.name}")
        hand.move((x + reach, y + reach * 1.3), share(6))
    hand.frames(share(8))
