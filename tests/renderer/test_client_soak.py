"""A hundred kills at random moments: nothing is lost and nothing is left behind. `make soak` runs it."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from renderer_driver import RenderDriver, assert_matches_engine, has_exited
from small_networks import scene_of
from soak_report import record

from renderer.client import SubprocessRenderer
from renderer.engine import Engine
from renderer.messages import RendererLost, RenderResult
from session import Capture, Latent, Mixing, Scene, Transform

KILLS = 100
SEED = 2
SHM = Path("/dev/shm")


def any_scene(dice: random.Random, networks: dict[str, Path]) -> Scene:
    return scene_of(
        networks[dice.choice(("T", "R", "SG2", "slow"))],
        latent=Latent(seed=dice.randrange(1000), x=dice.random()),
        mixing=Mixing(layers=(dice.randrange(6),)),
        transform=Transform(rotate=dice.choice((0.0, dice.uniform(-90, 90))), undo=dice.random() < 0.3),
        capture=Capture(rgb=dice.random() < 0.8),
    )


@pytest.mark.soak
def test_a_hundred_kills_lose_nothing_and_leave_nothing(networks: dict[str, Path]) -> None:
    dice = random.Random(SEED)
    before = set(SHM.iterdir())
    times: list[float] = []
    pids: set[int] = set()
    in_flight = starting = 0
    engine = Engine()
    with SubprocessRenderer(threads=1) as client:
        driver = RenderDriver(client)
        driver.render(scene_of(networks["T"]))
        for _ in range(KILLS):
            scene = any_scene(dice, networks)
            wanted = driver.submit(scene)
            time.sleep(dice.choice((0, 0.005, 0.05, 0.3)))
            in_flight += driver.client.is_busy("canvas")
            pid = client.pid
            assert pid is not None
            pids.add(pid)
            began = time.monotonic()
            os.kill(pid, dice.choice((signal.SIGKILL, signal.SIGTERM)))
            driver.wait(RendererLost)
            if dice.random() < 0.15:  # and once more while it starts
                driver.wait_until(lambda: client.is_alive)
                time.sleep(dice.uniform(0, 0.6))
                pid = client.pid
                assert pid is not None
                pids.add(pid)
                starting += driver.client.is_busy("canvas")
                os.kill(pid, signal.SIGKILL)
                driver.wait(RendererLost)
            shown = driver.wait(RenderResult, lambda result, wanted=wanted: result.id == wanted)
            times.append(time.monotonic() - began)
            assert shown.scene == scene
            assert_matches_engine(shown, engine)
        assert client.pid is not None
        pids.add(client.pid)
    left = [pid for pid in pids if not has_exited(pid)]
    assert left == []
    assert set(SHM.iterdir()) == before
    record(
        "Kills of the renderer",
        SEED,
        {
            "kills": len(pids) - 1,
            "with a picture in flight": in_flight,
            "while it was starting": starting,
            "pictures lost": 0,
            "processes left": len(left),
            "shared-memory blocks left": 0,
            "seconds until the picture was back, median": f"{np.median(times):.2f}",
            "seconds until the picture was back, longest": f"{max(times):.2f}",
            "slowest call of the window, milliseconds": f"{driver.slowest_call * 1000:.1f}",
        },
    )
