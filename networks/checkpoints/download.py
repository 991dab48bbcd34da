"""Downloads network files into a cache, with progress, and resumes interrupted downloads."""

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

Progress = Callable[[int, int | None], None]  # (bytes done, total bytes or None if the server does not say)

TIMEOUT = 30.0  # seconds without receiving a byte
_MAX_ATTEMPTS = 4
_CHUNK = 1 << 18
_STALE_SECONDS = 2 * TIMEOUT  # a .busy file not written to for this long is of a process that died


def is_url(text: str) -> bool:
    """Whether `fetch` can read this URL: http, https or file."""
    return re.match(r"(?:https?|file)://", text, re.IGNORECASE) is not None


def cache_folder() -> Path:
    """Return the download cache: $BANDLIMIT_CACHE, or $DNNLIB_CACHE_DIR/downloads, or ~/.cache/bandlimit.

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
    """Return the local file of a URL, downloading it unless it is cached.

    A checksum may follow the URL as `#sha256=...`. `progress` is called with (bytes done, total bytes or None). An
    interrupted download is resumed after `pause` seconds, up to four attempts, and then by the next call. Raises
    CheckpointError (download).
    """
    address, _, fragment = url.partition("#")
    checksum = _checksum(fragment)
    try:
        urllib.parse.urlsplit(address)
    except ValueError as error:
        raise _download_error(address, f"is no address that can be fetched ({sanitize(str(error), 80)})") from None
    if address.lower().startswith("file:"):
        path = Path(urllib.request.url2pathname(urllib.parse.urlsplit(address).path))
        _verify(path, checksum, url, keep=True)
        return path
    target = cache_folder() / _cache_name(address)
    for cached in (target, *_dnnlib_cache(address)):
        if cached.is_file() and (checksum is None or _digest(cached) == checksum):
            return cached
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = _PartialFile(target, address, timeout, resumable=checksum is not None)
        for attempt in range(_MAX_ATTEMPTS):
            if attempt:
                time.sleep(pause)
            if part.download(progress):
                break
        else:
            raise part.interrupted_error()
        _verify(part.path, checksum, url, keep=False)
        part.path.replace(target)
    except OSError as error:
        raise _download_error(address, f"could not be saved in {target.parent} ({error.strerror or error})") from None
    return target


def discard_damaged(source: str | Path, problem: CheckpointError) -> None:
    """Delete the cached download of `source` if `problem` says it is damaged, so that the next try fetches it again.

    Local files, and files in dnnlib's cache, are never deleted.
    """
    address = str(source).partition("#")[0]
    if problem.kind in ("broken", "foreign") and re.match(r"https?://", address, re.IGNORECASE):
        with suppress(OSError):
            (cache_folder() / _cache_name(address)).unlink(missing_ok=True)


class _PartialFile:
    """A file being downloaded. Its name ends in .busy while a process writes to it, else in .part.

    The name contains a tag of the server's version of the file, so that parts of two versions are never joined.
    """

    def __init__(self, target: Path, address: str, timeout: float, resumable: bool) -> None:
        self.target, self.address, self.timeout = target, address, timeout
        self.resumable = resumable  # even if the server identifies no version, as a checksum follows
        self.done = 0
        self.total: int | None = None
        self.reason = "no answer"
        self.path = self._find_existing()

    def download(self, progress: Progress | None) -> bool:
        """Make one attempt; return whether it completed. Raises CheckpointError where another attempt is no use."""
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
        existing = busy.stat().st_size if busy.exists() else 0
        headers = {"User-Agent": "bandlimit", "Accept-Encoding": "identity"}
        if existing:
            headers["Range"] = f"bytes={existing}-"
        try:
            with urllib.request.urlopen(  # noqa: S310  (is_url admits http, https and file only)
                urllib.request.Request(self.address, headers=headers), timeout=self.timeout
            ) as response:
                _refuse_web_page(self.address, response.headers)
                version = _RemoteVersion.from_headers(response.headers, existing if response.status == 206 else 0)
                resumes = response.status == 206 and version.start == existing and self._matches(version)
                if existing and not resumes:
                    busy.unlink()
                    if response.status == 206:
                        return False  # the middle of another version; the next attempt starts over
                self.path = self.target.with_name(f"{self.target.name}.{version.tag}.part")
                self.done, self.total = existing if resumes else 0, version.total
                with busy.open("ab" if resumes else "wb", buffering=0) as file:
                    while chunk := response.read1(_CHUNK):  # read1: returns what has arrived, for smooth progress
                        if self.done == 0:
                            _refuse_html(self.address, chunk)
                        file.write(chunk)
                        self.done += len(chunk)
                        if progress is not None:
                            progress(self.done, self.total)
                    os.fsync(file.fileno())  # else a power cut may leave an empty file under the final name
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 416 and busy.exists():  # Range Not Satisfiable: the file is another version
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
        """Return the part of an earlier attempt, or of a process that died; else the path of a new part."""
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
    """The version of the file that a server is sending, from its response headers."""

    start: int
    total: int | None
    tag: str
    certain: bool  # the server sends a strong ETag or a Last-Modified, which change when the file does

    @classmethod
    def from_headers(cls, headers: Message, start: int) -> _RemoteVersion:
        length = _parse_int(headers.get("Content-Length"))
        total = None if length is None else start + length
        if match := re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", "")):
            start, total = int(match[1]), int(match[2])
        validator = headers.get("ETag") or headers.get("Last-Modified") or ""
        tag = hashlib.sha256(f"{validator}|{total}".encode()).hexdigest()[:10]
        return cls(start, total, tag, bool(validator) and not validator.startswith("W/"))


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


def _verify(path: Path, checksum: str | None, url: str, keep: bool) -> None:
    """Raise CheckpointError if the file has another SHA-256 than `checksum`; unless `keep`, delete it first."""
    if checksum is None or _digest(path) == checksum:
        return
    if not keep:
        path.unlink(missing_ok=True)
    raise _download_error(
        url.partition("#")[0], "has another checksum than the one given; fetch it again or correct the sum"
    )


def _digest(path: Path) -> str:
    if path.exists() and not path.is_file():  # a pipe would block, a device may never end
        raise CheckpointError(f"{path} is no file; choose a network file.", "foreign")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened ({error.strerror}); check the address.", "download") from None


def _cache_name(address: str) -> str:
    """Return a readable file name that is different for each address."""
    last = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rpartition("/")[2])
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", last)[-80:].lstrip(".") or "network"
    return f"{hashlib.sha256(address.encode()).hexdigest()[:12]}-{safe}"


def _dnnlib_cache(address: str) -> list[Path]:
    """Return what NVIDIA's programs have downloaded: DNNLIB_CACHE_DIR/downloads/<md5 of the address>_<name>."""
    folder = os.environ.get("DNNLIB_CACHE_DIR")
    if not folder:
        return []
    md5 = hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()
    return sorted((Path(folder) / "downloads").glob(f"{md5}_*"))


def _parse_int(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _escape_glob(name: str) -> str:
    return re.sub(r"([\[\]*?])", r"[\1]", name)
