"""The published files give the published pictures also on the canvas, and as they lie in the OpenGL texture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

NETWORKS = Path(__file__).parents[2] / "data" / "networks"


@pytest.mark.parametrize("name", ["sg3t_64_uncond", "sg3r_32_uncond", "sg2_32_uncond"])
def test_a_published_file_opened_by_hand_shows_the_published_pictures(start, name):
    golden = np.load(NETWORKS / f"{name}.npz", allow_pickle=False)
    driver = start()
    driver.fill("Model/path", str(NETWORKS / f"{name}.pkl"))
    for seed, expected in zip(golden["seeds"][:2], golden["img_u8"], strict=False):
        driver.fill("Latent/seed", str(seed))
        driver.wait_for_image()
        difference = np.abs(driver.picture[..., :3].astype(int) - expected.transpose(1, 2, 0))
        assert difference.max() <= 1  # a value on the edge between two levels may round either way
        assert (difference > 0).mean() < 1e-3
        assert np.array_equal(read_texture(driver), driver.picture)


def read_texture(driver) -> np.ndarray:
    """What OpenGL holds of the canvas's picture."""
    from OpenGL import GL

    height, width = driver.picture.shape[:2]
    GL.glBindTexture(GL.GL_TEXTURE_2D, driver.app.views.canvas.texture.name)
    data = GL.glGetTexImage(GL.GL_TEXTURE_2D, 0, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE)
    GL.glBindTexture(GL.GL_TEXTURE_2D, 0)
    return np.frombuffer(bytes(data), np.uint8).reshape(height, width, 4)
