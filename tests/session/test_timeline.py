"""Motion is a function of time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from session import Latent, Mixing, Noise, Scene, Session, Transform
from session.field_paths import get_path
from session.scene import NUM_SEEDS
from session.timeline import is_moving, scene_after, scene_at, without_motion

MOVING = replace(
    Scene(),
    latent=Latent(seed=NUM_SEEDS - 1, drift_x=1.3, drift_y=-0.4),
    mixing=Mixing(layers=(1,), drift=0.7),
    noise=Noise(mode="random", rate=3),
    transform=Transform(drift_x=0.3, drift_y=-0.2, spin=50, growth=0.4),
)


def test_playing_on_from_a_pause_is_playing_without_one() -> None:
    whole = scene_after(MOVING, 7.25)
    pieces = scene_after(scene_after(MOVING, 3.0), 4.25)
    for place in ("latent.x", "latent.y", "transform.translate_x", "transform.translate_y", "transform.rotate"):
        assert get_path(pieces, place) == pytest.approx(get_path(whole, place), abs=1e-9)
    assert pieces.transform.scale == pytest.approx(whole.transform.scale)
    assert (pieces.latent.seed, pieces.mixing.seed) == (whole.latent.seed, whole.mixing.seed)


def test_drift_stays_within_what_the_fields_allow_however_long() -> None:
    for t in np.linspace(0, 1e5, 500):
        scene = scene_at(Session(scenes=(MOVING,)), float(t))  # every Part checks its bounds
        assert abs(scene.transform.translate_x) <= 0.5 + 1e-9
    assert is_moving(MOVING) and not is_moving(without_motion(MOVING))
    assert scene_after(without_motion(MOVING), 9) == without_motion(MOVING)
