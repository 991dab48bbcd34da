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
from gui.testing.driver import UiDriver
from session.bookmarks import bookmarks

FIRST_IMAGE_TIMEOUT = 60.0  # seconds that the first picture may take
FRAME_TIMEOUT = 0.5  # seconds that a frame waits for its picture, so that the film shows no stale one


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

    def time_left() -> float:
        return min(FRAME_TIMEOUT, max(end - time.monotonic(), 0.0))

    def record_frame() -> None:
        deadline = time.monotonic() + time_left()
        while app.views.is_waiting and time.monotonic() < deadline:
            if not app.poll():
                time.sleep(0.002)
        on_frame(screen.screenshot())

    unrecorded = UiDriver(screen, app)
    unrecorded.frames(3)
    with contextlib.suppress(TimeoutError):  # the frames then say what is being waited for
        unrecorded.wait_until(lambda: not _awaits_first_image(app), FIRST_IMAGE_TIMEOUT)
    screen.move(screen.width * 0.62, screen.height * 0.75)
    driver = UiDriver(screen, app, record_frame)
    driver.mouse, driver.frame_seconds = (screen.width * 0.62, screen.height * 0.75), 1 / fps
    _play(driver, max(int(seconds * fps), 40))
    imgui.get_io().mouse_draw_cursor = False
    unrecorded.frames(2)  # what a screenshot shows then


def _awaits_first_image(app: App) -> bool:
    canvas = app.views.canvas
    return canvas.result is None and canvas.problem is None


def _play(driver: UiDriver, frames: int) -> None:
    """The script, in shares of all frames."""

    def frames_for(percent: float) -> int:
        return max(int(frames * percent / 100), 1)

    driver.frames(frames_for(10))  # the greeting: it moves by itself
    x, y = driver.center("Canvas")
    drag_length = (ui.ITEM_RECTS["Canvas"][3] - ui.ITEM_RECTS["Canvas"][1]) * 0.3
    driver.move((x - drag_length * 0.7, y - drag_length * 0.5), frames_for(4))
    driver.screen.press()
    driver.frames()
    driver.move((x + drag_length, y - drag_length * 0.1), frames_for(10))
    driver.move((x + drag_length * 0.2, y + drag_length), frames_for(8))
    driver.screen.release()
    driver.frames(frames_for(2))
    driver.drag("Truncation/psi", to=0.3, frames=frames_for(8))
    driver.drag("Truncation/psi", to=0.7, frames=frames_for(6))
    if driver.app.views.model is not None:
        layers = driver.app.views.model.layers
        driver.click(f"Layers/layer {layers[len(layers) // 2].name}")
        driver.frames(frames_for(4))
        driver.click("Layers/Spectrum")
        driver.frames(frames_for(10))
        driver.click("Layers/Spectrum")
        driver.click("Layers/layer Picture")
    model = driver.app.views.model
    if model is not None and model.family == "StyleGAN3-R":  # the others come apart when they are turned
        driver.press("t")
        driver.drag_between((x + drag_length, y), (x + drag_length * 0.7, y - drag_length * 0.8), frames_for(10))
    else:
        driver.press("m")
        driver.drag_between((x, y), (x + drag_length * 0.3, y - drag_length * 0.4), frames_for(10))
    driver.press("m")
    driver.drag_between((x, y), (x - drag_length * 0.5, y + drag_length * 0.3), frames_for(10))
    driver.press("l")
    if not driver.app.scene.model.path:  # bookmarks are of the demo network
        for bookmark in bookmarks()[:1]:
            driver.click(f"Bookmarks/{bookmark.name}")
        driver.move((x + drag_length, y + drag_length * 1.3), frames_for(6))
    driver.frames(frames_for(8))
