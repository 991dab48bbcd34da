"""The README's pictures, made by the program itself: `python tools/screenshots.py --dest docs/images`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gui.app import App
from gui.hand import Hand
from gui.headless import Headless
from renderer.client import OtherProcess
from session import Capture, Inspect, Latent, Picture, Scene, Session
from session.png import save_png
from widgets import PANELS

VIRIDIS = Picture(colormap="viridis", gain_db=-8)


def spectrum(scene: Scene) -> Scene:
    """The same layer as its spectrum, as the Layers panel asks for it."""
    return replace(scene, inspect=replace(scene.inspect, show="spectrum"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dest", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    start = Scene(latent=Latent(seed=1, x=0.35, y=-0.3))
    layer = replace(start, capture=Capture(layer="L9_148_64", rgb=False), inspect=Inspect(picture=VIRIDIS))
    client = OtherProcess()
    try:
        shoot(client, start, options.dest / "window.png")
        shoot(client, layer, options.dest / "layers.png", unfolded="Layers/Spectrum", height=1060)
    finally:
        client.close()


def shoot(client: OtherProcess, scene: Scene, path: Path, unfolded: str = "", height: int = 800) -> None:
    """The window on a scene, with one section unfolded, as a PNG."""
    with tempfile.TemporaryDirectory() as folder, Headless(1280, height) as screen:
        app = App(PANELS, client, Session(scenes=(scene,)), folder=Path(folder))
        hand = Hand(screen, app)
        hand.wait_picture()
        if unfolded:
            hand.click(unfolded)
            hand.wait_until(lambda: app.pictures.view("spectrum", spectrum(app.scene)) is not None)
        hand.move((screen.width * 0.5, screen.height - 12))
        hand.frames(20)
        save_png(path, screen.screenshot())
        app.close()


if __name__ == "__main__":
    main()
