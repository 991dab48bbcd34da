"""Downloads are cached, complete and resumed where they were interrupted; errors are one sentence."""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoint_writers import TINY3, generate, random_net, tiny_safetensors

from networks import CheckpointError, inspect_checkpoint, load_network
from networks.checkpoints.download import cache_folder, fetch

CONTENT = os.urandom(300_000)


class Server(http.server.ThreadingHTTPServer):
    """A local server whose behavior a test sets; it records the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag: str | None = '"one"'
        self.ranges = True
        self.break_after: list[int] = []  # for each request to come: bytes until the connection breaks
        self.stall = 0.0
        self.kind = "application/octet-stream"
        self.length = True
        self.statuses: list[int] = []
        self.requests: list[str | None] = []  # the Range header of each

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/nets/x.safetensors"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.requests.append(wanted)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        body, start = server.content, 0
        if wanted and server.ranges:
            match = re.fullmatch(r"bytes=(\d+)-", wanted)
            assert match
            start = int(match[1])
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", server.kind)
        if server.length:
            self.send_header("Content-Length", str(len(body) - start))
        self.send_header("Connection", "close")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        body = body[start:]
        if server.break_after:
            body = body[: server.break_after.pop(0)]
        time.sleep(server.stall)
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("BANDLIMIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DNNLIB_CACHE_DIR", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def files_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def test_a_url_is_downloaded_once_with_progress_and_then_cached(server, cache):
    seen: list[tuple[int, int | None]] = []
    path = fetch(server.url, progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert path.name.endswith("x.safetensors")
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert fetch(server.url) == path
    assert len(server.requests) == 1
    assert files_in(cache) == [path.name]


def test_a_network_opens_from_a_url(server, tmp_path):
    server.content = tiny_safetensors(tmp_path).read_bytes()
    net = load_network(server.url)
    assert (generate(net.G_ema) == generate(random_net(TINY3, 3))).all()
    assert load_network((tmp_path / "ours.safetensors").as_uri()).path == tmp_path / "ours.safetensors"


@pytest.mark.parametrize("damage", ["no network", "cut off"])
def test_a_damaged_download_is_fetched_again_by_the_next_try(damage, server, cache, tmp_path):
    whole = tiny_safetensors(tmp_path).read_bytes()
    server.content = b"no network at all" if damage == "no network" else whole[:-100]
    for read in (load_network, inspect_checkpoint):
        with pytest.raises(CheckpointError):
            read(server.url)
        assert files_in(cache) == []
    server.content = whole
    assert load_network(server.url).G_ema is not None
    assert len(server.requests) == 3
    assert len(files_in(cache)) == 1


def test_a_damaged_local_file_is_not_deleted(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"no network at all")
    with pytest.raises(CheckpointError):
        load_network((tmp_path / "x.pkl").as_uri())
    assert (tmp_path / "x.pkl").exists()


def test_an_interrupted_download_resumes_where_it_stopped(server):
    server.break_after = [100_000, 50_000]
    assert fetch(server.url, pause=0).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_call_resumes_after_too_many_interruptions(server, cache):
    server.break_after = [1000, 1000, 1000, 1000]
    with pytest.raises(CheckpointError, match=r"broke off after 4000 of 300000 bytes; try again") as caught:
        fetch(server.url, pause=0)
    assert caught.value.kind == "download"
    assert [name.rpartition(".")[2] for name in files_in(cache)] == ["part"]
    assert fetch(server.url, pause=0).read_bytes() == CONTENT
    assert server.requests[-1] == "bytes=4000-"
    assert len(files_in(cache)) == 1


def test_parts_of_two_versions_are_never_joined(server):
    server.break_after = [1000, 1000, 1000, 1000]
    with pytest.raises(CheckpointError):
        fetch(server.url, pause=0)
    server.etag, server.content = '"two"', CONTENT[::-1]
    assert fetch(server.url, pause=0).read_bytes() == CONTENT[::-1]


def test_a_part_longer_than_the_new_version_is_discarded(server):
    server.break_after = [100_000] * 4
    server.ranges = False
    with pytest.raises(CheckpointError):
        fetch(server.url, pause=0)
    server.etag, server.content, server.ranges = '"two"', CONTENT[:5000], True
    assert fetch(server.url, pause=0).read_bytes() == CONTENT[:5000]


def test_a_server_that_cannot_resume_or_names_no_version_starts_over(server):
    server.break_after, server.ranges = [1000], False
    assert fetch(server.url, pause=0).read_bytes() == CONTENT
    other = server.url.replace("nets", "other")
    server.break_after, server.ranges, server.etag = [1000], True, None
    assert fetch(other, pause=0).read_bytes() == CONTENT


def test_a_part_left_by_a_dead_process_is_resumed(server, cache):
    server.break_after = [1000] * 4
    with pytest.raises(CheckpointError):
        fetch(server.url, pause=0)
    (part,) = cache.iterdir()
    busy = part.with_name(part.name.removesuffix("part") + "12345-1.busy")
    part.rename(busy)
    hour_ago = time.time() - 3600
    os.utime(busy, (hour_ago, hour_ago))
    assert fetch(server.url, pause=0).read_bytes() == CONTENT
    assert server.requests[-1] == "bytes=4000-"
    assert len(files_in(cache)) == 1


def test_a_cancelled_download_resumes_next_time(server, cache):
    def cancel(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(server.url, progress=cancel)
    assert [name.rpartition(".")[2] for name in files_in(cache)] == ["part"]
    assert fetch(server.url).read_bytes() == CONTENT
    assert server.requests[-1] is not None


def test_a_checksum_is_verified(server):
    right = hashlib.sha256(CONTENT).hexdigest()
    path = fetch(f"{server.url}#sha256={right}")
    assert path.read_bytes() == CONTENT
    with pytest.raises(CheckpointError, match="another checksum") as caught:
        fetch(f"{server.url}#sha256={'0' * 64}")
    assert caught.value.kind == "download"
    path.write_bytes(b"damaged in the cache")
    assert fetch(f"{server.url}#sha256={right}").read_bytes() == CONTENT
    with pytest.raises(CheckpointError, match="another checksum"):
        fetch(f"{path.as_uri()}#sha256={'0' * 64}")
    assert path.exists()


def test_a_web_page_instead_of_the_file_is_refused(server, cache):
    server.kind, server.content = "text/html; charset=utf-8", b"<html>Sign in</html>"
    with pytest.raises(CheckpointError, match="answered with a web page"):
        fetch(server.url)
    server.kind = "application/octet-stream"
    with pytest.raises(CheckpointError, match="answered with a web page"):
        fetch(server.url)
    assert not [name for name in files_in(cache) if not name.endswith(".part")]


@pytest.mark.parametrize("status", [403, 404])
def test_an_http_error_is_reported(server, status):
    server.statuses = [status]
    with pytest.raises(CheckpointError, match=f"was answered with {status}"):
        fetch(server.url)


def test_a_busy_server_is_retried(server):
    server.statuses = [503, 429]
    assert fetch(server.url, pause=0).read_bytes() == CONTENT


def test_a_silent_server_times_out(server):
    server.stall = 1.0
    start = time.monotonic()
    with pytest.raises(CheckpointError, match=r"sent nothing \(timed out\)"):
        fetch(server.url, pause=0, timeout=0.05)
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x.pkl", "http://no.such.host.invalid/x.pkl", "http://[/x.pkl", "https://"]
)
def test_an_unreachable_url_is_reported_in_one_sentence(url):
    with pytest.raises(CheckpointError) as caught:
        fetch(url, pause=0, timeout=5)
    assert caught.value.kind == "download"
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).endswith(".")


def test_a_response_without_a_length_is_read(server):
    server.length = False
    assert fetch(server.url).read_bytes() == CONTENT


def test_concurrent_downloads_of_one_url_do_not_interfere(server, cache):
    server.stall = 0.1
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(fetch(server.url))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in paths] == [CONTENT] * 3
    assert len(files_in(cache)) == 1


def test_files_in_dnnlibs_cache_are_not_downloaded_again(server, tmp_path, monkeypatch):
    monkeypatch.delenv("BANDLIMIT_CACHE")
    monkeypatch.setenv("DNNLIB_CACHE_DIR", str(tmp_path / "dnnlib"))
    assert cache_folder() == tmp_path / "dnnlib" / "downloads"
    known = cache_folder() / f"{hashlib.md5(server.url.encode()).hexdigest()}_x.pkl"
    known.parent.mkdir(parents=True)
    known.write_bytes(b"known")
    assert fetch(server.url) == known
    assert server.requests == []


def test_a_missing_home_folder_is_reported(server, monkeypatch):
    monkeypatch.delenv("BANDLIMIT_CACHE")
    monkeypatch.setenv("HOME", "~")
    monkeypatch.setenv("USERPROFILE", "~")
    with pytest.raises(CheckpointError, match="set BANDLIMIT_CACHE"):
        fetch(server.url)


def test_an_unwritable_cache_is_reported(server, cache):
    cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(CheckpointError, match="could not be saved"):
        fetch(server.url)
