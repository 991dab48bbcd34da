"""Which request is rendered next, and which render is cancelled."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from renderer_driver import RenderDriver
from small_networks import scene_of

from renderer.messages import RenderResult
from session import Latent


def test_images_keep_coming_under_a_stream_of_requests(driver: RenderDriver, networks: dict[str, Path]) -> None:
    base = scene_of(networks["slow"])
    alone = 0.0
    for seed in range(3):
        alone = driver.render(replace(base, latent=Latent(seed=seed))).timing["total"] / 1000
    driver.answers.clear()
    lasts = max(1.5, 12 * alone)
    end = time.monotonic() + lasts
    last = 0
    while time.monotonic() < end:  # 200 a second, as a fast mouse makes them
        last = driver.submit(replace(base, latent=Latent(x=last % 1000 / 1000)), active=True)
        driver.poll()
        time.sleep(0.005)
    came = [answer for answer in driver.answers if isinstance(answer, RenderResult)]
    assert len(came) >= 3
    assert len(came) >= lasts / alone / 4  # less is lost than would be by never starting over, doubled
    driver.wait(RenderResult, lambda result: result.id == last)


def test_a_stale_render_is_cancelled_between_layers(driver: RenderDriver, networks: dict[str, Path]) -> None:
    base = scene_of(networks["slow"])
    for seed in range(3):
        driver.render(replace(base, latent=Latent(seed=seed)))
    stale = driver.submit(replace(base, latent=Latent(seed=100)))
    time.sleep(0.01)
    wanted = driver.submit(replace(base, latent=Latent(seed=101)))
    driver.wait(RenderResult, lambda result: result.id == wanted)
    assert not any(isinstance(answer, RenderResult) and answer.id == stale for answer in driver.answers)


def test_every_view_is_served_while_one_is_dragged(driver: RenderDriver, networks: dict[str, Path]) -> None:
    base = scene_of(networks["slow"])
    driver.render(base)
    driver.answers.clear()
    side = driver.submit(replace(base, latent=Latent(seed=50)), "side")
    end = time.monotonic() + 30
    seed = 0
    while time.monotonic() < end and not any(
        isinstance(answer, RenderResult) and answer.id == side for answer in driver.answers
    ):
        seed += 1
        driver.submit(replace(base, latent=Latent(seed=seed)), active=True)
        driver.poll()
        time.sleep(0.005)
    views = [answer.view for answer in driver.answers if isinstance(answer, RenderResult)]
    assert "side" in views
    assert views.index("side") >= 1  # the view under the hand came first
