"""The renderer as the window sees it: newest first, never blocking, restarted whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from renderer_driver import RenderDriver, assert_matches_engine, has_exited
from small_networks import scene_of

from renderer.client import SubprocessRenderer
from renderer.engine import Engine
from renderer.in_process import InProcessRenderer
from renderer.messages import RendererLost, RenderFailure, RenderResult
from session import Capture, Inspect, Latent, Picture, Scene, Transform

ROOT = Path(__file__).resolve().parent.parent.parent


SHM = Path("/dev/shm")


posix = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")


@pytest.fixture
def own_driver() -> Iterator[RenderDriver]:
    """A renderer of the test's own."""
    with SubprocessRenderer(threads=1) as client:
        yield RenderDriver(client)


def test_the_image_is_that_of_the_engine(driver: RenderDriver, networks: dict[str, Path]) -> None:
    scene = scene_of(networks["R"], latent=Latent(seed=5), transform=Transform(rotate=10, undo=True))
    result = driver.render(scene)
    assert_matches_engine(result, Engine())
    assert result.scene == scene
    assert result.model.family == "StyleGAN3-R"
    assert set(result.timing) == {"model", "mapping", "synthesis", "picture", "total"}
    with InProcessRenderer() as client:
        assert_matches_engine(RenderDriver(client).render(scene), Engine())


def test_the_newest_request_wins_and_no_older_image_follows(driver: RenderDriver, networks: dict[str, Path]) -> None:
    base = scene_of(networks["T"])
    driver.render(base)
    driver.answers.clear()
    last = 0
    for seed in range(300):
        last = driver.submit(replace(base, latent=Latent(seed=seed)))
        if seed % 3 == 0:
            driver.poll()
        time.sleep(0.001)
    assert driver.client.is_busy("canvas")
    final = driver.wait(RenderResult, lambda result: result.id == last)
    assert_matches_engine(final, Engine())
    assert not driver.client.is_busy("canvas")
    ids = [answer.id for answer in driver.answers if isinstance(answer, RenderResult)]
    assert ids == sorted(set(ids))
    assert driver.poll() == []


def test_a_frame_stays_unchanged_until_the_next_of_its_view(driver: RenderDriver, networks: dict[str, Path]) -> None:
    held = driver.render(scene_of(networks["T"], latent=Latent(seed=1)))
    copy = held.frame.copy()
    for seed in range(20):
        driver.submit(scene_of(networks["T"], latent=Latent(seed=seed)))  # nobody polls the canvas
        driver.submit(scene_of(networks["R"], latent=Latent(seed=seed)), "other")
        time.sleep(0.01)
    assert np.array_equal(held.frame, copy)
    driver.wait(RenderResult, lambda result: result.view == "canvas")


def test_a_failure_is_an_answer_and_the_next_image_comes(driver: RenderDriver, networks: dict[str, Path]) -> None:
    pid = driver.client.pid
    for scene in (
        scene_of("/no/such/network.pkl"),
        scene_of(networks["T"], capture=Capture("nowhere")),
        scene_of(networks["classes"], latent=Latent(class_index=99)),
    ):
        driver.submit(scene)
        failure = driver.wait(RenderFailure)
        assert failure.message.endswith(".")
        assert "\n" not in failure.message
        assert "Traceback" in failure.details
        assert driver.render(scene_of(networks["T"])).frame.shape == (16, 16, 4)
    assert driver.client.pid == pid


def test_a_reloaded_file_is_rendered_again(driver: RenderDriver, networks: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(networks["T"].read_bytes())
    first = driver.render(scene_of(path)).frame.copy()
    path.write_bytes(networks["R"].read_bytes())
    driver.client.reload(str(path))
    assert driver.client.is_busy("canvas")
    again = driver.wait(RenderResult)
    assert again.model.family == "StyleGAN3-R"
    assert not np.array_equal(again.frame, first)


@posix
def test_submitting_never_waits_for_a_renderer_that_hangs(driver: RenderDriver, networks: dict[str, Path]) -> None:
    base = scene_of(networks["T"])
    driver.render(base)
    pid = driver.client.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        driver.slowest_call = 0
        last = 0
        for number in range(3000):
            last = driver.submit(replace(base, latent=Latent(seed=number), inspect=Inspect(picture=Picture(gain_db=1))))
            driver.poll()
        assert driver.slowest_call < 0.5
    finally:
        os.kill(pid, signal.SIGCONT)
    assert driver.wait(RenderResult, lambda result: result.id == last).scene.latent.seed == 2999


@posix
def test_ctrl_c_in_the_terminal_does_not_reach_the_renderer(driver: RenderDriver, networks: dict[str, Path]) -> None:
    pid = driver.client.pid
    assert pid is not None
    os.kill(pid, signal.SIGINT)
    driver.render(scene_of(networks["T"], latent=Latent(seed=77)))
    assert driver.client.pid == pid
    assert os.getpgid(pid) != os.getpgid(0)


@posix
def test_a_killed_renderer_is_back_with_the_image(own_driver: RenderDriver, networks: dict[str, Path]) -> None:
    """Five kills, with a picture in flight and without; what is measured is printed by pytest -s."""
    base = scene_of(networks["slow"])
    before = set(SHM.iterdir()) if SHM.is_dir() else set()
    own_driver.render(scene_of(networks["T"]), "closed")
    own_driver.client.remove_view("closed")
    shown = own_driver.render(base)
    own_driver.answers.clear()
    times, pids = [], []
    for number in range(5):
        pid = own_driver.client.pid
        assert pid is not None
        pids.append(pid)
        scene = replace(base, latent=Latent(seed=number))
        copy = shown.frame.copy()
        if number % 2 == 0:
            wanted = own_driver.submit(scene)
            time.sleep(0.02)  # the picture is being made
        else:
            shown = own_driver.render(scene)
            wanted, copy = shown.id, shown.frame.copy()
        own_driver.slowest_call = 0
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        lost = own_driver.wait(RendererLost)
        assert "killed" in lost.reason
        assert own_driver.client.is_busy("canvas")
        assert np.array_equal(shown.frame, copy)  # what is on the screen stays there
        shown = own_driver.wait(RenderResult, lambda result, wanted=wanted: result.id == wanted)
        times.append(time.monotonic() - began)
        assert shown.scene == scene
        assert own_driver.slowest_call < 0.25
        assert not own_driver.client.is_busy("canvas")
    assert not any(isinstance(answer, RenderResult) and answer.view == "closed" for answer in own_driver.answers)
    print("seconds until the picture was back:", ", ".join(f"{seconds:.2f}" for seconds in times))
    assert max(times) < 20  # 3 on a machine that is not busy
    assert_matches_engine(shown, Engine())
    own_driver.client.close()
    assert all(has_exited(pid) for pid in [*pids, own_driver.client.pid or pids[0]])
    assert (set(SHM.iterdir()) if SHM.is_dir() else set()) <= before


@posix
def test_an_image_that_crashes_the_renderer_repeatedly_fails_in_one_sentence(
    own_driver: RenderDriver, networks: dict[str, Path]
) -> None:
    number = own_driver.submit(scene_of(networks["slow"]))
    for _ in range(3):
        own_driver.wait_until_started(number)
        pid = own_driver.client.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        own_driver.wait(RendererLost)
    failure = own_driver.wait(RenderFailure)
    assert failure.id == number
    assert "ended 3 times on this picture" in failure.message
    assert not own_driver.client.is_busy("canvas")
    assert isinstance(own_driver.client, SubprocessRenderer)
    own_driver.wait_until(lambda: own_driver.client.is_alive)
    own_driver.client.restart()
    own_driver.wait(RendererLost)
    assert not own_driver.client.is_busy("canvas")  # it stays given up, until something changes
    assert own_driver.render(scene_of(networks["T"])).frame.shape == (16, 16, 4)


def test_a_renderer_that_cannot_start_is_one_sentence_and_is_not_restarted_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: dict[str, Path]
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('this torch is broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with SubprocessRenderer() as client:
        driver = RenderDriver(client)
        driver.submit(scene_of(networks["T"]))
        failure = driver.wait(RenderFailure)
        assert "this torch is broken" in failure.message
        assert "ended 3 times while it started" in failure.message
        assert sum(isinstance(answer, RendererLost) for answer in driver.answers) == 3
        time.sleep(0.3)
        assert not client.is_alive
        monkeypatch.delenv("PYTHONPATH")
        assert driver.render(scene_of(networks["T"])).frame.shape == (16, 16, 4)


WINDOW = """
import sys, time
from renderer.client import SubprocessRenderer
from renderer.messages import RenderProgress, RenderRequest, RenderResult
from session import Latent, Model, Scene
client = SubprocessRenderer(threads=1)
scene = Scene(model=Model(path=sys.argv[1]))
client.submit(RenderRequest("canvas", 0, scene))
while not any(isinstance(answer, RenderResult) for answer in client.poll()):
    time.sleep(0.01)
assert "torch" not in sys.modules
print(client.pid, flush=True)
number = 0
while True:
    if sys.argv[2] == "busy":
        number += 1
        client.submit(RenderRequest("canvas", number, Scene(model=Model(path=sys.argv[1]), latent=Latent(seed=number))))
        client.poll()
    time.sleep(0.02)
"""


@posix
@pytest.mark.parametrize(
    ("what", "how"), [("busy", signal.SIGKILL), ("idle", signal.SIGKILL), ("busy", signal.SIGTERM)]
)
def test_when_the_window_dies_the_renderer_goes_too(what: str, how: int, networks: dict[str, Path]) -> None:
    before = set(SHM.iterdir()) if SHM.is_dir() else set()
    command = [sys.executable, "-c", WINDOW, str(networks["slow"]), what]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as window:
        assert window.stdout is not None
        pid = int(window.stdout.readline())
        time.sleep(0.1)
        window.send_signal(how)
        window.wait()
        assert has_exited(pid, within=3)
        assert window.stderr is not None
        assert window.stderr.read() == ""
    assert (set(SHM.iterdir()) if SHM.is_dir() else set()) <= before


def test_closing_at_once_is_quick() -> None:
    began = time.monotonic()
    client = SubprocessRenderer()
    client.close()
    client.close()
    assert time.monotonic() - began < 2
    assert not client.is_alive
    assert client.pid is None


def test_a_scene_that_nobody_has_asked_for_is_not_busy() -> None:
    with InProcessRenderer() as client:
        assert not client.is_busy("canvas")
        assert client.poll() == []
        failed = RenderDriver(client)
        failed.submit(Scene(latent=Latent(projected="/missing.npz")))
        assert "cannot be read" in failed.wait(RenderFailure).message
