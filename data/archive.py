"""Read-only access to the files of a folder or zip, safe from several processes and threads at once."""

from __future__ import annotations

import json
import lzma
import os
import stat
import struct
import threading
import zipfile
import zlib
from pathlib import Path
from typing import Any

from data.errors import DatasetError
from data.image_decoding import is_hidden, is_image_name
from session.bounded_read import NotPlainFileError, check_plain, read_bounded

_MAX_FILE_BYTES = 1 << 28
_MAX_LINKS = 4  # to folders, one within another
# What zipfile raises on damaged files; ValueError for names that cannot be decoded.
_READ_ERRORS = (OSError, ValueError, EOFError, KeyError, IndexError, RuntimeError, NotImplementedError,
            zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)  # fmt: skip


class Archive:
    """Names and contents of the files in a folder (recursively, also behind links) or a zip.

    `images` are the sorted names of image files, with "/" between folders. Each process opens its own handle of a zip.
    Raises DatasetError if something cannot be read, or was changed or removed since it was opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not exists(self.path):
            raise DatasetError(f"{self.path} does not exist: give a folder of pictures or a zip.")
        self.is_zip = not self.path.is_dir()
        self._zips: dict[int, tuple[zipfile.ZipFile, threading.Lock]] = {}
        self._lock = threading.Lock()
        self._file_signature = self._signature()
        sizes = self._zip_sizes() if self.is_zip else self._folder_sizes()
        self.sizes = sizes
        self.images = tuple(sorted(name for name in sizes if is_image_name(name)))

    def read(self, name: str) -> bytes:
        """Return the contents of a file. Raises DatasetError."""
        if self.sizes.get(name, 0) > _MAX_FILE_BYTES:
            raise DatasetError(f"{name} in {self.path} is larger than 256 MB, which no picture is: take it out.")
        if not self.is_zip:
            return self._read_file(name)
        try:
            archive, turn = self._zip_handle()
            with turn:  # ZipFile's count of open readers is not thread-safe
                return archive.read(name)
        except DatasetError:
            raise
        except _READ_ERRORS as error:
            self._check_unchanged()
            raise DatasetError(
                f"{name} in {self.path} cannot be read ({_short_reason(error)}): make the archive again."
            ) from None

    def head(self, name: str, length: int = 1 << 16) -> bytes:
        """Return the first `length` bytes of a file: enough for the size and mode of most images."""
        try:
            if self.is_zip:
                archive, turn = self._zip_handle()
                with turn, archive.open(name) as stream:
                    return stream.read(length)
            check_plain(self.path / name)
            with (self.path / name).open("rb") as stream:
                return stream.read(length)
        except _READ_ERRORS:
            return self.read(name)  # raises the error with its reason

    def json_folder(self) -> str | None:
        """Return the folder of `dataset.json`, with a slash: "" or the one folder that holds all images; else None."""
        if "dataset.json" in self.sizes or not self.images:
            return "" if "dataset.json" in self.sizes else None
        above = os.path.commonprefix([self.images[0], self.images[-1]])  # they are sorted: common to all
        while "/" in above:
            above = above[: above.rindex("/") + 1]
            if above + "dataset.json" in self.sizes:
                return above
            above = above[:-1]
        return None

    def unused_json(self) -> list[str]:
        """Return the names of files called dataset.json that are not used, being in one of several folders."""
        used = self.json_folder()
        names = sorted(name for name in self.sizes if name.endswith("/dataset.json") and not is_hidden(name))
        return [] if used is not None else names

    def json(self) -> Any:
        """Parse `dataset.json`; None if there is none. Raises DatasetError."""
        folder = self.json_folder()
        if folder is None:
            return None
        try:
            return json.loads(self.read(folder + "dataset.json"))
        except (ValueError, RecursionError) as error:
            raise DatasetError(
                f"dataset.json of {self.path} is not JSON ({_short_reason(error)}): mend or remove it."
            ) from None

    def checksums(self) -> list[tuple[str, int, int]]:
        """Return name, length and CRC-32 (0 in a folder) of each image, to detect changes of the data."""
        if not self.is_zip:
            return [(name, self.sizes[name], 0) for name in self.images]
        about = {entry.filename: entry.CRC for entry in self._zip_handle()[0].infolist()}
        return [(name, self.sizes[name], about[name]) for name in self.images]

    def close(self) -> None:
        with self._lock:
            mine = self._zips.pop(os.getpid(), None)
            self._zips.clear()
            if mine is not None:
                mine[0].close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_zips", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _zips={}, _lock=threading.Lock())

    # Helpers

    def _zip_handle(self) -> tuple[zipfile.ZipFile, threading.Lock]:
        """Return this process's handle and its lock. A handle shared by a fork would share its file position."""
        with self._lock:
            entry = self._zips.get(os.getpid())
            if entry is None:
                self._check_unchanged()
                try:
                    handle = zipfile.ZipFile(self.path)
                except (OSError, zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
                    raise DatasetError(
                        f"{self.path} is not a zip that can be read ({_short_reason(error)}): "
                        "give a folder or a whole zip."
                    ) from None
                entry = self._zips[os.getpid()] = (handle, threading.Lock())
            return entry

    def _zip_sizes(self) -> dict[str, int]:
        entries = self._zip_handle()[0].infolist()
        if any(entry.flag_bits & 1 for entry in entries):
            raise DatasetError(f"{self.path} is encrypted: unpack it with its password, and give the folder.")
        return {entry.filename: entry.file_size for entry in entries if entry.filename and not entry.is_dir()}

    def _folder_sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}

        def fail(error: OSError) -> None:
            raise DatasetError(f"{error.filename} cannot be listed ({error.strerror}): check its permissions.")

        top = os.path.realpath(self.path)
        chains: dict[str, tuple[str, ...]] = {
            str(self.path): (top,)
        }  # a folder -> where it and those that its links led through really are
        for folder, folders, names in os.walk(self.path, onerror=fail, followlinks=True):
            followed = []
            chain = chains.pop(folder)
            for name in sorted(folders):
                inner = f"{folder}{os.sep}{name}" if not folder.endswith(os.sep) else folder + name
                if Path(inner).is_symlink():
                    real = os.path.realpath(inner)
                    if _is_within(real, top) or any(_is_within(one, real) for one in chain) or len(chain) > _MAX_LINKS:
                        continue  # a loop, or images that are found in their own place
                    chains[inner] = (*chain, real)
                else:
                    chains[inner] = (*chain[:-1], f"{chain[-1]}{os.sep}{name}")
                followed.append(name)
            folders[:] = followed
            for name in names:
                path = Path(folder, name)
                try:
                    about = path.stat()
                    if stat.S_ISREG(about.st_mode):
                        sizes[path.relative_to(self.path).as_posix()] = about.st_size
                except OSError:
                    continue  # a dangling link, or removed since it was listed
        return sizes

    def _read_file(self, name: str) -> bytes:
        try:
            return read_bounded(self.path / name, _MAX_FILE_BYTES)
        except FileNotFoundError:
            raise DatasetError(f"{name} has gone from {self.path} since it was opened: leave it unchanged.") from None
        except OSError as error:
            raise DatasetError(f"{name} in {self.path} cannot be read ({error.strerror}).") from None

    def _signature(self) -> tuple[int, int] | None:
        if not self.is_zip:
            return None
        try:
            about = self.path.stat()
        except OSError:
            return (-1, -1)
        return (about.st_size, about.st_mtime_ns)

    def _check_unchanged(self) -> None:
        if self._signature() != self._file_signature:
            raise DatasetError(f"{self.path} changed while it was being read: leave it unchanged, and begin again.")


def exists(path: Path) -> bool:
    """Whether a file or folder exists. Raises DatasetError for devices, pipes, sockets and what may not be seen."""
    try:
        if not path.is_dir():
            check_plain(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except NotPlainFileError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): give a folder or a zip.") from None
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be looked at ({_short_reason(error)}): check the path and its permissions."
        ) from None
    return True


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _short_reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__)[:80].strip('"')
