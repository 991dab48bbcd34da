"""Images, folders and zips for tests: good ones and any kind of odd one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

import cli


def picture(mode: str = "RGB", size: tuple[int, int] = (16, 16), seed: int = 0, kind: str = "png") -> bytes:
    channels = {"RGB": 3, "L": 1, "RGBA": 4, "CMYK": 4, "P": 1, "I;16": 1, "1": 1, "LA": 2}[mode]
    noise = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], channels)).astype(np.uint8)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    elif mode in ("P", "1"):
        image = Image.fromarray(noise[..., 0]).convert("RGB").convert(mode)
    else:
        image = Image.fromarray(noise.squeeze(), mode=None) if mode != "CMYK" else Image.fromarray(noise, mode="CMYK")
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def folder(path: Path, files: Mapping[str, bytes | str]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zipped(path: Path, files: Mapping[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make(source: Path, dest: Path, *arguments: object) -> int:
    return cli.run("dataset", ["--source", str(source), "--dest", str(dest), *(str(word) for word in arguments)])


def contents(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)
