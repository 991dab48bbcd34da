"""The renderer as the window sees it: newest first, never in the way, and back again whatever happens to it."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from renderer_driver import Asker, assert_pictures_scene, gone
from small_networks import scene_of

from renderer.client import SubprocessRenderer
from renderer.engine import Engine
from renderer.in_process import InProcessRenderer
from renderer.messages import RendererLost, RenderFailure, RenderProgress, RenderResult
from session import Capture, Inspect, Latent, Picture, Scene, Transform

ROOT = Path(__file__).resolve().parent.parent.parent
SHM = Path("/dev/shm")
posix = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")


@pytest.fixture(scope="module")
def shared() -> Iterator[SubprocessRenderer]:
    """One renderer for the tests that do not hurt it."""
    with SubprocessRenderer(threads=1) as client:
        yield client


@pytest.fixture(scope="module")
def asker(shared: SubprocessRenderer) -> Asker:
    return Asker(shared)


@pytest.fixture
def own() -> Iterator[Asker]:
    """A renderer of the test's own."""
    with SubprocessRenderer(threads=1) as client:
        yield Asker(client)


def test_the_picture_is_that_of_the_engine(asker: Asker, networks: dict[str, Path]) -> None:
    scene = scene_of(networks["R"], latent=Latent(seed=5), transform=Transform(rotate=10, undo=True))
    result = asker.picture(scene)
    assert_pictures_scene(result, Engine())
    assert result.scene == scene
    assert result.model.family == "StyleGAN3-R"
    assert set(result.timing) == {"model", "mapping", "synthesis", "picture", "total"}
    with InProcessRenderer() as client:
        assert_pictures_scene(Asker(client).picture(scene), Engine())


def test_the_newest_request_wins_and_an_older_picture_never_follows(asker: Asker, networks: dict[str, Path]) -> None:
    base = scene_of(networks["T"])
    asker.picture(base)
    asker.answers.clear()
    last = 0
    for seed in range(300):
        last = asker.ask(replace(base, latent=Latent(seed=seed)))
        if seed % 3 == 0:
            asker.poll()
        time.sleep(0.001)
    assert asker.client.is_busy("canvas")
    final = asker.wait(RenderResult, lambda result: result.id == last)
    assert_pictures_scene(final, Engine())
    assert not asker.client.is_busy("canvas")
    ids = [answer.id for answer in asker.answers if isinstance(answer, RenderResult)]
    assert ids == sorted(set(ids))
    assert asker.poll() == []


def test_a_frame_stays_as_it_is_until_the_next_of_its_view_is_taken(asker: Asker, networks: dict[str, Path]) -> None:
    held = asker.picture(scene_of(networks["T"], latent=Latent(seed=1)))
    copy = held.frame.copy()
    for seed in range(20):
        asker.ask(scene_of(networks["T"], latent=Latent(seed=seed)))  # nobody polls the canvas
        asker.ask(scene_of(networks["R"], latent=Latent(seed=seed)), "other")
        time.sleep(0.01)
    assert np.array_equal(held.frame, copy)
    asker.wait(RenderResult, lambda result: result.view == "canvas")


def test_pictures_keep_coming_under_a_stream_of_requests(asker: Asker, networks: dict[str, Path]) -> None:
    base = scene_of(networks["slow"])
    alone = 0.0
    for seed in range(3):
        alone = asker.picture(replace(base, latent=Latent(seed=seed))).timing["total"] / 1000
    asker.answers.clear()
    lasts = max(1.5, 12 * alone)
    end = time.monotonic() + lasts
    last = 0
    while time.monotonic() < end:  # 200 a second, as a fast mouse makes them
        last = asker.ask(replace(base, latent=Latent(x=last % 1000 / 1000)), first=True)
        asker.poll()
        time.sleep(0.005)
    came = [answer for answer in asker.answers if isinstance(answer, RenderResult)]
    assert len(came) >= 3
    assert len(came) >= lasts / alone / 4  # less is lost than would be by never starting over, doubled
    asker.wait(RenderResult, lambda result: result.id == last)


def test_a_stale_picture_is_given_up_between_layers(asker: Asker, networks: dict[str, Path]) -> None:
    base = scene_of(networks["slow"])
    for seed in range(3):
        asker.picture(replace(base, latent=Latent(seed=seed)))
    stale = asker.ask(replace(base, latent=Latent(seed=100)))
    time.sleep(0.01)
    wanted = asker.ask(replace(base, latent=Latent(seed=101)))
    asker.wait(RenderResult, lambda result: result.id == wanted)
    assert not any(isinstance(answer, RenderResult) and answer.id == stale for answer in asker.answers)


def test_every_view_is_served_while_one_is_dragged(asker: Asker, networks: dict[str, Path]) -> None:
    base = scene_of(networks["slow"])
    asker.picture(base)
    asker.answers.clear()
    side = asker.ask(replace(base, latent=Latent(seed=50)), "side")
    end = time.monotonic() + 30
    seed = 0
    while time.monotonic() < end and not any(
        isinstance(answer, RenderResult) and answer.id == side for answer in asker.answers
    ):
        seed += 1
        asker.ask(replace(base, latent=Latent(seed=seed)), first=True)
        asker.poll()
        time.sleep(0.005)
    views = [answer.view for answer in asker.answers if isinstance(answer, RenderResult)]
    assert "side" in views
    assert views.index("side") >= 1  # the view under the hand came first


def test_a_failure_is_an_answer_and_the_next_picture_comes(asker: Asker, networks: dict[str, Path]) -> None:
    pid = asker.client.pid
    for scene in (
        scene_of("/no/such/network.pkl"),
        scene_of(networks["T"], capture=Capture("nowhere")),
        scene_of(networks["classes"], latent=Latent(class_index=99)),
    ):
        asker.ask(scene)
        failure = asker.wait(RenderFailure)
        assert failure.message.endswith(".")
        assert "\n" not in failure.message
        assert "Traceback" in failure.details
        assert asker.picture(scene_of(networks["T"])).frame.shape == (16, 16, 4)
    assert asker.client.pid == pid


def test_a_reloaded_file_makes_its_pictures_anew(asker: Asker, networks: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(networks["T"].read_bytes())
    first = asker.picture(scene_of(path)).frame.copy()
    path.write_bytes(networks["R"].read_bytes())
    asker.client.reload(str(path))
    assert asker.client.is_busy("canvas")
    again = asker.wait(RenderResult)
    assert again.model.family == "StyleGAN3-R"
    assert not np.array_equal(again.frame, first)


@posix
def test_asking_never_waits_for_a_renderer_that_hangs(asker: Asker, networks: dict[str, Path]) -> None:
    base = scene_of(networks["T"])
    asker.picture(base)
    pid = asker.client.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        asker.slowest_call = 0
        last = 0
        for number in range(3000):
            last = asker.ask(replace(base, latent=Latent(seed=number), inspect=Inspect(picture=Picture(gain_db=1))))
            asker.poll()
        assert asker.slowest_call < 0.5
    finally:
        os.kill(pid, signal.SIGCONT)
    assert asker.wait(RenderResult, lambda result: result.id == last).scene.latent.seed == 2999


@posix
def test_ctrl_c_in_the_terminal_is_not_for_the_renderer(asker: Asker, networks: dict[str, Path]) -> None:
    pid = asker.client.pid
    assert pid is not None
    os.kill(pid, signal.SIGINT)
    asker.picture(scene_of(networks["T"], latent=Latent(seed=77)))
    assert asker.client.pid == pid
    assert os.getpgid(pid) != os.getpgid(0)


@posix
def test_a_killed_renderer_is_back_with_the_picture(own: Asker, networks: dict[str, Path]) -> None:
    """Five kills, with a picture in flight and without; what is measured is printed by pytest -s."""
    base = scene_of(networks["slow"])
    before = set(SHM.iterdir()) if SHM.is_dir() else set()
    own.picture(scene_of(networks["T"]), "closed")
    own.client.remove_view("closed")
    shown = own.picture(base)
    own.answers.clear()
    times, pids = [], []
    for number in range(5):
        pid = own.client.pid
        assert pid is not None
        pids.append(pid)
        scene = replace(base, latent=Latent(seed=number))
        copy = shown.frame.copy()
        if number % 2 == 0:
            wanted = own.ask(scene)
            time.sleep(0.02)  # the picture is being made
        else:
            shown = own.picture(scene)
            wanted, copy = shown.id, shown.frame.copy()
        own.slowest_call = 0
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        lost = own.wait(RendererLost)
        assert "killed" in lost.reason
        assert own.client.is_busy("canvas")
        assert np.array_equal(shown.frame, copy)  # what is on the screen stays there
        shown = own.wait(RenderResult, lambda result, wanted=wanted: result.id == wanted)
        times.append(time.monotonic() - began)
        assert shown.scene == scene
        assert own.slowest_call < 0.25
        assert not own.client.is_busy("canvas")
    assert not any(isinstance(answer, RenderResult) and answer.view == "closed" for answer in own.answers)
    print("seconds until the picture was back:", ", ".join(f"{seconds:.2f}" for seconds in times))
    assert max(times) < 20  # 3 on a machine that is not busy
    assert_pictures_scene(shown, Engine())
    own.client.close()
    assert all(gone(pid) for pid in [*pids, own.client.pid or pids[0]])
    assert (set(SHM.iterdir()) if SHM.is_dir() else set()) <= before


@posix
def test_a_picture_that_kills_the_renderer_again_and_again_is_given_up_in_one_sentence(
    own: Asker, networks: dict[str, Path]
) -> None:
    number = own.ask(scene_of(networks["slow"]))
    for _ in range(3):
        own.under_way(number)
        pid = own.client.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        own.wait(RendererLost)
    failure = own.wait(RenderFailure)
    assert failure.id == number
    assert "ended 3 times on this picture" in failure.message
    assert not own.client.is_busy("canvas")
    assert isinstance(own.client, SubprocessRenderer)
    own.wait_until(lambda: own.client.is_alive)
    own.client.restart()
    own.wait(RendererLost)
    assert not own.client.is_busy("canvas")  # it stays given up, until something changes
    assert own.picture(scene_of(networks["T"])).frame.shape == (16, 16, 4)


def test_a_renderer_that_cannot_start_is_one_sentence_and_is_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: dict[str, Path]
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('this torch is broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with SubprocessRenderer() as client:
        asker = Asker(client)
        asker.ask(scene_of(networks["T"]))
        failure = asker.wait(RenderFailure)
        assert "this torch is broken" in failure.message
        assert "ended 3 times while it started" in failure.message
        assert sum(isinstance(answer, RendererLost) for answer in asker.answers) == 3
        time.sleep(0.3)
        assert not client.is_alive
        monkeypatch.delenv("PYTHONPATH")
        assert asker.picture(scene_of(networks["T"])).frame.shape == (16, 16, 4)


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
        assert gone(pid, within=3)
        assert window.stderr is not None
        assert window.stderr.read() == ""
    assert (set(SHM.iterdir()) if SHM.is_dir() else set()) <= before


class Trickle(http.server.BaseHTTPRequestHandler):
    """A server that sends half a network, and the rest so slowly that it never arrives."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        try:
            self.wfile.write(b"\x80" * 600_000)
            while True:
                self.wfile.write(b"\x80" * 64)
                time.sleep(0.02)
        except OSError:
            pass

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def trickle() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Trickle)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/network.pkl"
    server.shutdown()
    server.server_close()


@posix
def test_closing_while_a_network_loads_is_quick_and_leaves_nothing(
    trickle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANDLIMIT_CACHE", str(tmp_path / "cache"))
    with SubprocessRenderer(threads=1) as client:
        asker = Asker(client)
        number = asker.ask(scene_of(trickle))
        progress = asker.wait(RenderProgress, lambda news: news.fraction is not None)
        assert progress.id == number
        assert "Downloading network" in progress.message
        pid = client.pid
        assert pid is not None
        began = time.monotonic()
        client.close()
        assert time.monotonic() - began < 1
        assert gone(pid)
    assert not list((tmp_path / "cache").glob("*.busy"))


def test_another_network_is_not_kept_waiting_by_a_download(
    trickle: str, networks: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANDLIMIT_CACHE", str(tmp_path / "cache"))
    with SubprocessRenderer(threads=1) as client:
        asker = Asker(client)
        asker.ask(scene_of(trickle))
        asker.wait(RenderProgress, lambda news: news.fraction is not None)
        assert asker.picture(scene_of(networks["T"])).frame.shape == (16, 16, 4)


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
        failed = Asker(client)
        failed.ask(Scene(latent=Latent(projected="/missing.npz")))
        assert "cannot be read" in failed.wait(RenderFailure).message
