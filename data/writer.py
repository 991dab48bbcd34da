"""Write a dataset as a zip or folder, moved into place when complete; equal images give equal bytes."""

from __future__ import annotations

import contextlib
import errno
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from data.errors import DatasetError
from data.labels import Label, Style
from session.atomic_write import commit, discard, new_part


class DatasetWriter:
    """Writes PNGs under the names of StyleGAN's dataset tool: `00012/img00012345.png`, then `dataset.json`.

    A context manager: if it is left without `finish`, nothing is written, and what was at `dest` stays.
    """

    def __init__(self, dest: Path) -> None:
        self.dest = dest
        self.count = 0
        self.is_zip = dest.suffix.lower() == ".zip"
        self._part = new_part(dest)
        self._file: IO[bytes] | None = None
        self._zip: zipfile.ZipFile | None = None
        self._finished = False

    def __enter__(self) -> DatasetWriter:
        try:
            if self.is_zip and self.dest.is_dir():
                raise DatasetError(f"{self.dest} is a folder, but a zip should be written there: choose another name.")
            if not self.is_zip and self.dest.suffix and not self.dest.is_dir():
                raise DatasetError(f"{self.dest} should end in .zip, or be a folder.")
            if not self.is_zip and self.dest.exists() and (not self.dest.is_dir() or any(self.dest.iterdir())):
                raise DatasetError(f"{self.dest} is not empty: choose another folder.")
            self.dest.parent.mkdir(parents=True, exist_ok=True)
            if self.is_zip:
                self._file = self._part.open("wb")
                self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED)
            else:
                self._part.mkdir()
        except OSError as error:
            raise self._write_error(error) from None
        return self

    def add(self, png: bytes) -> str:
        """Write the next image and return its name."""
        number = f"{self.count:08d}"
        name = f"{number[:5]}/img{number}.png"
        self._write(name, png)
        self.count += 1
        return name

    def finish(
        self,
        labels: Sequence[tuple[str, Label]] | None,
        classes: Sequence[str] = (),
        styles: Sequence[tuple[str, Style]] = (),
    ) -> None:
        """Write dataset.json and move the dataset into place."""
        listed = None if labels is None else [[name, list(x) if isinstance(x, tuple) else x] for name, x in labels]
        document: dict[str, object] = {"labels": listed}
        if labels is not None and classes:
            document["classes"] = list(classes)
        if styles:
            document["styles"] = [[name, *style] for name, style in styles]
        self._write("dataset.json", json.dumps(document).encode())
        try:
            if self._zip is not None and self._file is not None:
                self._zip.close()
                self._file.close()
            if not self.is_zip and self.dest.exists():
                self.dest.rmdir()
            commit(self._part, self.dest)
        except OSError as error:
            raise self._write_error(error) from None
        self._finished = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._finished:
            return
        for open_one in (self._zip, self._file):
            if open_one is not None:
                with contextlib.suppress(OSError, ValueError):  # a full disk also fails at closing
                    open_one.close()
        discard(self._part)

    def _write(self, name: str, data: bytes) -> None:
        try:
            if self._zip is not None:
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # a fixed date, for equal bytes
                entry.external_attr = 0o644 << 16
                self._zip.writestr(entry, data)
            else:
                path = self._part / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
        except OSError as error:
            raise self._write_error(error) from None

    def _write_error(self, error: OSError) -> DatasetError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        why = "the disk is full: make room" if full else f"{error.strerror}: check the place"
        return DatasetError(f"{self.dest} cannot be written, {why}, or choose another place; nothing was left there.")
