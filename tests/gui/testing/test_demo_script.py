"""Where there is no display, a scripted hand shows the program; what it leaves is worth looking at."""

from __future__ import annotations

import numpy as np

from gui.testing.demo_script import demonstrate
from session import Latent, Model, Scene, Session, Transform


def test_the_demonstration_shows_a_picture_that_moves(start, network):
    scene = Scene(model=Model(path=str(network)), latent=Latent(drift_x=0.2))
    app = start(Session((scene,)), start_in_attract_mode=True)
    frames: list[np.ndarray] = []
    demonstrate(app.screen, app.app, seconds=1, fps=12, on_frame=lambda pixels: frames.append(pixels[::8, ::8]))
    assert len(frames) > 40
    middle = [frame[30:70, 50:110].astype(int) for frame in frames]
    changes = [np.abs(after - before).max() for before, after in zip(middle, middle[1:], strict=False)]
    assert np.mean([change > 4 for change in changes]) > 0.3, "the picture moves in a good part of the frames"
    assert app.scene.transform != Transform()
    assert app.app.views.canvas.problem is None


def test_the_demonstration_ends_also_where_the_network_is_broken(start, tmp_path):
    broken = tmp_path / "broken.pkl"
    broken.write_bytes(b"nothing")
    app = start(Session((Scene(model=Model(path=str(broken))),)))
    frames: list[int] = []
    demonstrate(app.screen, app.app, seconds=1, fps=12, on_frame=lambda pixels: frames.append(pixels.size))
    assert len(frames) > 30
    assert app.app.views.canvas.problem is not None
