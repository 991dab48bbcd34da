"""Fetches network files from the internet into a cache, with progress, going on where an earlier attempt broke off."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from networks.errors import CheckpointError, sanitize

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where the server says

TIMEOUT = 30.0  # seconds without a byte
_MAX_ATTEMPTS = 4
_CHUNK = 1 << 18
_STALE_SECONDS = 2 * TIMEOUT  # a part that nobody wrote to for this long has lost its writer


def is_url(text: str) -> bool:
    """Whether this is a URL that `fetch` reads: http, https or file."""
    return re.match(r"(?:https?|file)://", text, re.IGNORECASE) is not None


def cache_folder() -> Path:
    """Where downloads are kept: $BANDLIMIT_CACHE, or $DNNLIB_CACHE_DIR/downloads, or ~/.cache/bandlimit.

    Raises CheckpointError (download) where there is no home folder.
    """
    if own := os.environ.get("BANDLIMIT_CACHE"):
        return Path(own)
    if published := os.environ.get("DNNLIB_CACHE_DIR"):
        return Path(published) / "downloads"
    try:
        return Path.home() / ".cache" / "bandlimit"
    except RuntimeError:
        what = "There is no home folder to keep downloads in; set BANDLIMIT_CACHE to a folder."
        raise CheckpointError(what, "download") from None


def fetch(url: str, *, progress: Progress | None = None, timeout: float = TIMEOUT, pause: float = 1.0) -> Path:
    """The local file of a URL, downloaded unless the cache has it.

    A checksum may follow the URL as `#sha256=...`. `progress` gets (bytes done, bytes in all or None). A download that
    breaks off is taken up again where it stopped, `pause` seconds later, and after four attempts by the next call.
    Raises CheckpointError (download).
    """
    address, _, fragment = url.partition("#")
    wanted = _checksum(fragment)
    try:
        urllib.parse.urlsplit(address)
    except ValueError as error:
        raise _download_error(address, f"is no address that can be fetched ({sanitize(str(error), 80)})") from None
    if address.lower().startswith("file:"):
        path = Path(urllib.request.url2pathname(urllib.parse.urlsplit(address).path))
        _verify(path, wanted, url, keep=True)
        return path
    target = cache_folder() / _cache_name(address)
    for known in (target, *_dnnlib_cache(address)):
        if known.is_file() and (wanted is None or _digest(known) == wanted):
            return known
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = _PartialFile(target, address, timeout, resumable=wanted is not None)
        for attempt in range(_MAX_ATTEMPTS):
            if attempt:
                time.sleep(pause)
            if part.download(progress):
                break
        else:
            raise part.interrupted_error()
        _verify(part.path, wanted, url, keep=False)
        part.path.replace(target)
    except OSError as error:
        raise _download_error(address, f"could not be saved in {target.parent} ({error.strerror or error})") from None
    return target


def discard_damaged(source: str | Path, problem: CheckpointError) -> None:
    """After a problem in reading what `fetch` gave: drop a file that is damaged, so that the next try fetches it again.

    Files of this machine, and those that the published programs have fetched, stay.
    """
    address = str(source).partition("#")[0]
    if problem.kind in ("broken", "foreign") and re.match(r"https?://", address, re.IGNORECASE):
        with suppress(OSError):
            (cache_folder() / _cache_name(address)).unlink(missing_ok=True)


class _PartialFile:
    """The file under way. While somebody writes to it its name ends in .busy, after that in .part.

    The name also holds a tag of the server's version of the file, so that parts of two versions are never joined.
    """

    def __init__(self, target: Path, address: str, timeout: float, resumable: bool) -> None:
        self.target, self.address, self.timeout = target, address, timeout
        self.resumable = resumable  # whatever the server says: a checksum will tell
        self.done = 0
        self.total: int | None = None
        self.reason = "no answer"
        self.path = self._find_existing()

    def download(self, progress: Progress | None) -> bool:
        """One attempt. False where it broke off; CheckpointError where another attempt is no use."""
        busy = self._busy_path()
        try:
            if self.path.exists():
                self.path.replace(busy)
            return self._transfer(busy, progress)
        finally:
            if busy.exists():
                busy.replace(self.path)

    def interrupted_error(self) -> CheckpointError:
        if self.done == 0:
            return _download_error(self.address, f"sent nothing ({self.reason})")
        of = f" of {self.total}" if self.total else ""
        return _download_error(
            self.address, f"broke off after {self.done}{of} bytes; try again and it goes on from there"
        )

    def _transfer(self, busy: Path, progress: Progress | None) -> bool:
        have = busy.stat().st_size if busy.exists() else 0
        headers = {"User-Agent": "bandlimit", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            with urllib.request.urlopen(  # noqa: S310  (is_url admits http, https and file only)
                urllib.request.Request(self.address, headers=headers), timeout=self.timeout
            ) as answer:
                _refuse_web_page(self.address, answer.headers)
                version = _RemoteVersion.from_headers(answer.headers, have if answer.status == 206 else 0)
                joined = answer.status == 206 and version.start == have and self._matches(version)
                if have and not joined:
                    busy.unlink()
                    if answer.status == 206:
                        return False  # the middle of another version; the next attempt starts over
                self.path = self.target.with_name(f"{self.target.name}.{version.tag}.part")
                self.done, self.total = have if joined else 0, version.total
                with busy.open("ab" if joined else "wb", buffering=0) as file:
                    while piece := answer.read1(_CHUNK):  # what has come, so that progress is told and can stop it
                        if self.done == 0:
                            _refuse_html(self.address, piece)
                        file.write(piece)
                        self.done += len(piece)
                        if progress is not None:
                            progress(self.done, self.total)
                    os.fsync(file.fileno())  # else a power cut may leave a whole name on an empty file
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 416 and busy.exists():  # nothing lies behind what we have: it is another version
                    busy.unlink()
                    return False
                self.reason = f"{error.code} {sanitize(str(error.reason), 40)}"
                if error.code in (408, 429, 500, 502, 503, 504):
                    return False
                raise _download_error(self.address, f"was answered with {self.reason}") from None
        except urllib.error.URLError as error:
            self.reason = sanitize(str(getattr(error.reason, "strerror", None) or error.reason), 80)
            if isinstance(error.reason, TimeoutError | ConnectionResetError):
                return False
            raise _download_error(self.address, f"cannot be reached ({self.reason})") from None
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            self.reason = sanitize(str(error), 80)
            return False
        except ValueError as error:
            raise _download_error(
                self.address, f"is no address that can be fetched ({sanitize(str(error), 80)})"
            ) from None
        return self.total is None or self.done == self.total

    def _find_existing(self) -> Path:
        """The part of an earlier attempt, or of a program that died, if there is one."""
        folder, name = self.target.parent, self.target.name
        for path in folder.glob(f"{_escape_glob(name)}.*.part"):
            return path
        for path in folder.glob(f"{_escape_glob(name)}.*.busy"):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                part = path.with_name(path.name.rsplit(".", 2)[0] + ".part")
                path.replace(part)
                return part
        return self.target.with_name(f"{name}.new.part")

    def _busy_path(self) -> Path:
        tag = self.path.name.removesuffix(".part")
        return self.path.with_name(f"{tag}.{os.getpid()}-{id(self)}.busy")

    def _matches(self, version: _RemoteVersion) -> bool:
        tag = self.path.name.removesuffix(".part").rpartition(".")[2]
        return tag == version.tag and (version.certain or self.resumable)


@dataclass(frozen=True)
class _RemoteVersion:
    """Which version of the file a server is sending, from its headers."""

    start: int
    total: int | None
    tag: str
    certain: bool  # the server says something that changes when the file does

    @classmethod
    def from_headers(cls, headers: Message, start: int) -> _RemoteVersion:
        length = _parse_int(headers.get("Content-Length"))
        total = None if length is None else start + length
        if match := re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", "")):
            start, total = int(match[1]), int(match[2])
        mark = headers.get("ETag") or headers.get("Last-Modified") or ""
        tag = hashlib.sha256(f"{mark}|{total}".encode()).hexdigest()[:10]
        return cls(start, total, tag, bool(mark) and not mark.startswith("W/"))


def _refuse_web_page(address: str, headers: Message) -> None:
    if headers.get_content_type() == "text/html":
        raise _web_page_error(address)


def _refuse_html(address: str, start: bytes) -> None:
    if re.match(rb"\s*<(?:!doctype html|html|head)", start[:64], re.IGNORECASE):
        raise _web_page_error(address)


def _web_page_error(address: str) -> CheckpointError:
    return _download_error(
        address, "was answered with a web page, not a file; use the address behind the download button"
    )


def _download_error(address: str, what: str) -> CheckpointError:
    if ";" not in what:
        what += "; check the address and the connection"
    return CheckpointError(f"{sanitize(address, 120)} {what}.", "download")


def _checksum(fragment: str) -> str | None:
    match = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    return match[1].lower() if match else None


def _verify(path: Path, wanted: str | None, url: str, keep: bool) -> None:
    """Raise where the file has another checksum; a download that does is thrown away unless `keep`."""
    if wanted is None or _digest(path) == wanted:
        return
    if not keep:
        path.unlink(missing_ok=True)
    raise _download_error(
        url.partition("#")[0], "has another checksum than the one given; fetch it again or correct the sum"
    )


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened ({error.strerror}); check the address.", "download") from None


def _cache_name(address: str) -> str:
    """Readable, and different for each address."""
    last = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rpartition("/")[2])
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", last)[-80:].lstrip(".") or "network"
    return f"{hashlib.sha256(address.encode()).hexdigest()[:12]}-{safe}"


def _dnnlib_cache(address: str) -> list[Path]:
    """What the published programs have already fetched: DNNLIB_CACHE_DIR/downloads/<md5 of the address>_<name>."""
    folder = os.environ.get("DNNLIB_CACHE_DIR")
    if not folder:
        return []
    mark = hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()
    return sorted((Path(folder) / "downloads").glob(f"{mark}_*"))


def _parse_int(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _escape_glob(name: str) -> str:
    return re.sub(r"([\[\]*?])", r"[\1]", name)
