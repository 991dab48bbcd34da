"""Downloads of networks block neither other scenes nor closing."""

from __future__ import annotations

import http.server
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from renderer_driver import RenderDriver, has_exited
from small_networks import scene_of

from renderer.client import SubprocessRenderer
from renderer.messages import RenderProgress

posix = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")


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
        driver = RenderDriver(client)
        number = driver.submit(scene_of(trickle))
        progress = driver.wait(RenderProgress, lambda news: news.fraction is not None)
        assert progress.id == number
        assert "Downloading network" in progress.message
        pid = client.pid
        assert pid is not None
        began = time.monotonic()
        client.close()
        assert time.monotonic() - began < 1
        assert has_exited(pid)
    assert not list((tmp_path / "cache").glob("*.busy"))


def test_another_network_is_not_kept_waiting_by_a_download(
    trickle: str, networks: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANDLIMIT_CACHE", str(tmp_path / "cache"))
    with SubprocessRenderer(threads=1) as client:
        driver = RenderDriver(client)
        driver.submit(scene_of(trickle))
        driver.wait(RenderProgress, lambda news: news.fraction is not None)
        assert driver.render(scene_of(networks["T"])).frame.shape == (16, 16, 4)
