"""What CONTRIBUTING promises: a panel is two places, an inspector three, and both work in the window at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

SETTINGS = '''

@dataclass(frozen=True)
class Energy(Inspector):
    """Root mean square over channels."""

    title: ClassVar[str] = "Energy"
    gain_db: Annotated[float, Range(-40, 40, "dB"), "Brightens or darkens"] = 0.0
    inverted: Annotated[bool, "Large values are dark"] = False
    steps: Annotated[int, Range(2, 256), "Number of gray levels"] = 256
    colormap: Annotated[str, COLORMAPS, "Colors"] = "magma"
'''
ARITHMETIC = '''"""Root mean square of a feature map over its channels."""

from renderer.inspectors import picture
from renderer.inspectors.colormaps import apply_colormap


def show(settings, selection):
    energy = selection.feature_map.square().mean(0).sqrt() * 10 ** (settings.gain_db / 20)
    energy = (energy.clamp(0, 1) * (settings.steps - 1)).round() / (settings.steps - 1)
    return picture.InspectorOutput(apply_colormap(1 - energy if settings.inverted else energy, settings.colormap))
'''
PANEL = '''"""Device: where the network runs."""

from gui.controls import ui
from gui.panel import Panel, PanelContext
from session import Compute


def draw(value: Compute, context: PanelContext) -> Compute:
    return ui.combo(value, "precision")


panel = Panel("Device", Compute, draw)
'''
SCRIPT = """
import sys
from pathlib import Path

import numpy as np

from gui.app import App
from gui.backend.headless import Headless
from gui.testing.driver import UiDriver
from renderer.client import SubprocessRenderer
from session import Model, Scene, Session
from widgets import PANELS

network, folder = sys.argv[1:]
with SubprocessRenderer(threads=1) as client, Headless(1280, 800) as screen:
    app = App(PANELS, client, Session((Scene(model=Model(path=network)),)), folder=Path(folder))
    driver = UiDriver(screen, app)
    driver.wait_for_image(60)
    before = app.views.canvas.pixels

    driver.click("Device/precision")
    driver.click("Device/precision float32")
    assert app.scene.compute.precision == "float32"
    driver.wait_for_image(60)

    driver.click("Layers/Energy")
    driver.drag("Layers/energy.gain_db", by=(-40, 0))
    driver.click("Layers/energy.inverted")
    driver.drag("Layers/energy.steps", by=(-30, 0))
    energy = app.scene.inspect.energy
    assert energy.gain_db < 0 and energy.inverted and energy.steps < 256, energy

    driver.click("Layers/show energy")
    assert app.scene.inspect.show == "energy"
    driver.wait_for_image(60)
    assert app.views.canvas.problem is None
    assert not np.array_equal(app.views.canvas.pixels, before)

    driver.click("Layers/rgb")
    driver.drag("Layers/picture.gain_db", by=(30, 0))
    driver.click("Layers/Spectrum")
    driver.click("Layers/show spectrum")
    driver.click("Layers/show spectrum")
    inspect = app.scene.inspect
    assert inspect.show == "picture" and inspect.picture.gain_db > 0
    assert inspect.energy == energy, inspect
    driver.click("Layers/energy.inverted", button=1)
    assert app.scene.inspect.energy.inverted is False
    app.close()
"""


def add(path: Path, *changes: tuple[str, str]) -> None:
    """Insert text behind the first occurrence of another."""
    text = path.read_text(encoding="utf-8")
    for anchor, addition in changes:
        assert anchor in text, f"{path.name} has no {anchor!r} any more"
        text = text.replace(anchor, anchor + addition, 1)
    path.write_text(text, encoding="utf-8")


def test_a_new_panel_and_a_new_inspector_work_in_the_window_from_their_places_alone(
    tmp_path: Path, home: Path, network: Path
) -> None:
    house = tmp_path / "house"
    for package in ("session", "renderer", "widgets"):
        shutil.copytree(ROOT / package, house / package, ignore=shutil.ignore_patterns("__pycache__"))

    add(
        house / "session" / "inspect.py",
        ('"The map\'s spectrum"] = Spectrum()', '\n    energy: Annotated[Energy, "The map\'s energy"] = Energy()'),
        ('Choice("picture", "spectrum"', ', "energy"'),
        ('"Colours of the plane"] = "viridis"\n', SETTINGS),
    )
    (house / "renderer" / "inspectors" / "energy.py").write_text(ARITHMETIC, encoding="utf-8")
    add(
        house / "renderer" / "inspectors" / "__init__.py",
        ("from renderer.inspectors import ", "energy, "),
        ("from session import ", "Energy, "),
        ("    Spectrum: spectrum.show,\n", "    Energy: energy.show,\n"),
    )
    init = house / "renderer" / "inspectors" / "__init__.py"
    init.write_text(
        init.read_text(encoding="utf-8").replace(
            "from session import Energy, ", "from session.inspect import Energy\nfrom session import "
        ),
        encoding="utf-8",
    )

    (house / "widgets" / "device.py").write_text(PANEL, encoding="utf-8")
    add(
        house / "widgets" / "__init__.py",
        ("from widgets.bookmarks import panel as bookmarks\n", "from widgets.device import panel as device\n"),
        ("    model,\n", "    device,\n"),
    )

    (house / "drive.py").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(house / "drive.py"), str(network), str(home)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
