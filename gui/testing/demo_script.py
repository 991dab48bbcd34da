"""The scripted demo: a few seconds of work in the program, filmed where there is no display.

demonstrate(screen, app, seconds=6, fps=24, on_frame=video.add)
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

FIRST_IMAGE_TIMEOUT = 60.0  # seconds that the first image may take
FRAME_TIMEOUT = 0.5  # seconds that a frame waits for its image, so that the video shows no outdated one


def demonstrate(
    screen: Headless,
    app: App,
    *,
    seconds: float = 6.0,
    fps: int = 24,
    on_frame: Callable[[np.ndarray], None],
    budget: float = 20.0,
) -> None:
    """Drag the latent and psi, look into a layer and its spectrum, move and rotate the image, open a bookmark.

    `on_frame(pixels)` receives each frame, uint8 [H, W, 3], about seconds * fps in all. Frames wait for their images
    until `budget` seconds have passed, then they are taken as they are. Where no image can be made, the video shows
    the window's message.
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
    with contextlib.suppress(TimeoutError):  # the frames then show what is loading
        unrecorded.wait_until(lambda: not _awaits_first_image(app), FIRST_IMAGE_TIMEOUT)
    screen.move(screen.width * 0.62, screen.height * 0.75)
    driver = UiDriver(screen, app, record_frame)
    driver.mouse, driver.frame_seconds = (screen.width * 0.62, screen.height * 0.75), 1 / fps
    _play(driver, max(int(seconds * fps), 40))
    imgui.get_io().mouse_draw_cursor = False
    unrecorded.frames(2)  # a screenshot taken afterwards has no cursor in it


def _awaits_first_image(app: App) -> bool:
    canvas = app.views.canvas
    return canvas.result is None and canvas.problem is None


def _play(driver: UiDriver, frames: int) -> None:
    """Play the script; each part takes a percentage of all frames. What a small window has no room for is left out."""

    def frames_for(percent: float) -> int:
        return max(int(frames * percent / 100), 1)

    driver.frames(frames_for(10))  # attract mode: the image moves by itself
    x, y = driver.center("Canvas")
    drag_length = (ui.ITEM_RECTS["Canvas"][3] - ui.ITEM_RECTS["Canvas"][1]) * 0.3
    driver.move((x - drag_length * 0.7, y - drag_length * 0.5), frames_for(4))
    driver.screen.press()
    driver.frames()
    driver.move((x + drag_length, y - drag_length * 0.1), frames_for(10))
    driver.move((x + drag_length * 0.2, y + drag_length), frames_for(8))
    driver.screen.release()
    driver.frames(frames_for(2))
    with contextlib.suppress(LookupError):
        driver.drag("Truncation/psi", to=0.3, frames=frames_for(8))
        driver.drag("Truncation/psi", to=0.7, frames=frames_for(6))
    if driver.app.views.model is not None:
        layers = driver.app.views.model.layers
        with contextlib.suppress(LookupError):
            driver.click(f"Layers/layer {layers[len(layers) // 2].name}")
            driver.frames(frames_for(4))
        with contextlib.suppress(LookupError):
            driver.click("Layers/Spectrum")
            driver.frames(frames_for(10))
            driver.click("Layers/Spectrum")
        with contextlib.suppress(LookupError):
            driver.click("Layers/layer Picture")
    model = driver.app.views.model
    if model is not None and model.family == "StyleGAN3-R":  # images of the other families break when they are rotated
        driver.press("t")
        driver.drag_between((x + drag_length, y), (x + drag_length * 0.7, y - drag_length * 0.8), frames_for(10))
    else:
        driver.press("m")
        driver.drag_between((x, y), (x + drag_length * 0.3, y - drag_length * 0.4), frames_for(10))
    driver.press("m")
    driver.drag_between((x, y), (x - drag_length * 0.5, y + drag_length * 0.3), frames_for(10))
    driver.press("l")
    if not driver.app.scene.model.path:  # bookmarks belong to the demo network
        for bookmark in bookmarks()[:1]:
            with contextlib.suppress(LookupError):
                driver.click(f"Bookmarks/{bookmark.name}")
        driver.move((x + drag_length, y + drag_length * 1.3), frames_for(6))
    driver.frames(frames_for(8))
