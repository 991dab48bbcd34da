"""Takes the manual's screenshots of the window, off-screen: `python tools/screenshots.py --dest docs/images`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gui.app import App
from gui.backend.headless import Headless
from gui.testing.driver import UiDriver
from renderer.client import SubprocessRenderer
from session import Capture, Inspect, Picture, Scene, Session
from session.bookmarks import bookmarks
from session.png import save_png
from widgets import PANELS

VIRIDIS = Picture(colormap="viridis", normalize=True)
LAYER_DEPTH = 0.65  # relative depth of the layer that is shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dest", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    start = bookmarks()[0].scene
    client = SubprocessRenderer()
    try:
        take_screenshot(client, start, options.dest / "window.png", open_bookmarks)
        take_screenshot(client, start, options.dest / "layers.png", open_layer, height=1060)
    finally:
        client.close()


def open_bookmarks(driver: UiDriver) -> None:
    """Open the Bookmarks drawer and wait until all of its images are rendered."""
    driver.app.prefs = replace(driver.app.prefs, drawer="Bookmarks", drawer_height=12.0)
    driver.frames(2)
    for number, kept in enumerate(bookmarks()):
        driver.wait_until(
            lambda at=number, scene=kept.scene: driver.app.views.request_view(f"bookmark {at}", scene) is not None
        )


def open_layer(driver: UiDriver) -> None:
    """Show one layer on the canvas, and its spectrum in the Layers panel."""
    app = driver.app
    assert app.views.model is not None
    layers = app.views.model.layers
    capture = Capture(layer=layers[int(LAYER_DEPTH * len(layers))].name, rgb=False)
    app.document.edit(replace(app.scene, capture=capture, inspect=Inspect(picture=VIRIDIS)))
    driver.wait_for_image()
    driver.click("Layers/Spectrum")
    driver.wait_until(lambda: app.views.request_view("spectrum", spectrum(app.scene)) is not None)


def spectrum(scene: Scene) -> Scene:
    """Return the scene with the spectrum of its layer, as the Layers panel requests it."""
    return replace(scene, inspect=replace(scene.inspect, show="spectrum"))


def take_screenshot(
    client: SubprocessRenderer, scene: Scene, path: Path, arrange: Callable[[UiDriver], None], height: int = 800
) -> None:
    """Open the window on a scene, call `arrange`, and save a PNG."""
    with tempfile.TemporaryDirectory() as folder, Headless(1280, height) as screen:
        app = App(PANELS, client, Session(scenes=(scene,)), folder=Path(folder))
        driver = UiDriver(screen, app)
        driver.wait_for_image()
        arrange(driver)
        driver.move((screen.width * 0.5, screen.height - 12))
        driver.frames(20)
        save_png(path, screen.screenshot())
        app.close()


if __name__ == "__main__":
    main()
