"""Making a dataset: every picture of a source brought to one size and colour, and odd ones reported."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.crop_resize import FILTERS, TRANSFORMS, shaped
from data.errors import DatasetError, PictureError
from data.image_decoding import decoded, explained, flattened, is_grey, odd_mode, opened, orientation, png, upright
from data.labels import Label, Style
from data.parallel_map import Crew
from data.report import Report
from data.sources import Source
from data.writer import Writer

Progress = Callable[[str, int, int], None]  # what is done, how many, of how many
_FEW = 96  # pictures: starting processes takes longer than doing them here


@dataclass(frozen=True)
class Wish:
    """How the pictures of a dataset should be.

    width, height: None keeps the source's size, which must then be one. transform: see `data.shape`.
    on_problem: "convert" mends what can be mended and leaves out the rest, "skip" leaves out every odd picture,
    "refuse" writes nothing if there is one. any_size: allow sides that are no power of two.
    """

    width: int | None = None
    height: int | None = None
    transform: str | None = None
    resize_filter: str = "lanczos"
    on_problem: str = "convert"
    background: tuple[int, int, int] = (255, 255, 255)
    any_size: bool = False
    max_images: int | None = None
    workers: int | None = None


@dataclass(frozen=True)
class Made:
    """One picture as a worker hands it back: its PNG (None where there is none) and what was odd about it."""

    index: int
    picture: bytes | None
    digest: bytes = b""
    problems: tuple[tuple[str, str], ...] = ()  # kind, detail
    seen: tuple[int, int, bool] | None = field(default=None)  # when only looked at: width, height, grey


def prepare(source: Source, dest: Path, wish: Wish, progress: Progress | None = None) -> Report:
    """Write the dataset; returns what was written and what was odd.

    Raises DatasetError (nothing is written then): for sizes that do not fit, a full disk, or problems to be refused.
    """
    _check(wish)
    tell = progress or (lambda what, done, total: None)
    count = len(source.names) if wish.max_images is None else min(wish.max_images, len(source.names))
    workers = wish.workers or min(os.cpu_count() or 1, 16)
    report = Report(wish.on_problem, source.noun)
    for name, problems, usable in source.problems:
        report.takes(name, problems, usable)
    with Crew(source, count, 1 if count <= _FEW else workers, work) as crew:
        wish, channels = _settled(source, crew, wish, count, tell)
        side = int(wish.width or 0)
        _check_room(dest, count * (side * side * channels + 350))
        labels = _write(source, dest, wish, channels, crew, report, tell, count)
    report.side, report.channels = side, channels
    report.classes = source.classes if labels is not None else ()
    report.label_count = 0 if labels is None else len({label for _, label in labels})
    return report


def _write(
    source: Source,
    dest: Path,
    wish: Wish,
    channels: int,
    crew: Crew,
    report: Report,
    tell: Progress,
    count: int,
) -> list[tuple[str, Label]] | None:
    labels: list[tuple[str, Label | None]] = []
    styles: list[tuple[str, Style]] = []
    digests: dict[bytes, str] = {}
    with Writer(dest) as writer:
        for done, made in enumerate(crew.each((wish, channels)), 1):
            name = str(source.names[made.index])
            problems = list(made.problems)
            doubled = (
                source.tells_doubles and made.picture is not None and digests.setdefault(made.digest, name) != name
            )
            if doubled:
                problems.append(("duplicate", f"as {digests[made.digest]}"))
            if report.takes(name, problems, made.picture is not None) and made.picture is not None:
                label = source.labels[made.index] if source.labels is not None else None
                labels.append((writer.add(made.picture), label))
                if style := source.styles[made.index] if source.styles is not None else None:
                    styles.append((labels[-1][0], style))
            tell("pictures", done, count)
        if wish.on_problem == "refuse" and report.problems:
            raise Refused(report)
        if not labels:
            raise DatasetError("No picture was left to write: see what was wrong with them." + report.first())
        whole = [(name, label) for name, label in labels if label is not None]
        report.unlabelled = len(labels) - len(whole) if whole else 0
        kept = whole if len(whole) == len(labels) else None
        writer.finish(kept, source.classes, styles)
        report.written = len(labels)
    return kept


class Refused(DatasetError):
    """Odd pictures were found, and they were to be refused; `report` lists them."""

    def __init__(self, report: Report) -> None:
        super().__init__("Nothing was written, because odd pictures were to be refused: mend or remove them.")
        self.report = report


# What a worker does


def look(source: Source, index: int, parcel: Any) -> Made:
    """Only the size and kind of a picture, from its first bytes."""
    head = getattr(source, "head", None)
    try:
        try:
            image = opened(parcel if parcel is not None else head(index) if head else source.read(index, parcel))  # type: ignore[arg-type]
        except PictureError:  # a header longer than its first bytes
            image = opened(source.read(index, parcel))  # type: ignore[arg-type]
    except DatasetError:
        return Made(index, None)
    turned = orientation(image) >= 5
    width, height = (image.height, image.width) if turned else image.size
    return Made(index, None, seen=(width, height, is_grey(image)))


def make(source: Source, index: int, parcel: Any, wish: Wish, channels: int) -> Made:
    """One picture as it should be, and what was odd about it."""
    try:
        with explained():
            return _made(source, index, parcel, wish, channels)
    except DatasetError as error:
        return Made(index, None, problems=(("cannot be read", str(error)[:80]),))


def _made(source: Source, index: int, parcel: Any, wish: Wish, channels: int) -> Made:
    problems: list[tuple[str, str]] = []
    found = source.read(index, parcel)
    if isinstance(found, np.ndarray):
        image = Image.fromarray(found)
    else:
        image = decoded(opened(found))
        problems += _oddities(image, channels)
        image = upright(image)
    width, height = wish.width or image.width, wish.height or image.height
    size = f"{image.width}x{image.height}"
    if wish.transform is None and image.width * height != image.height * width:
        problems.append(("stretched", size))
    image = flattened(image, channels, wish.background)
    if (min(image.size) if wish.transform == "center-crop" else image.width) < width or image.height < height:
        problems.append(("too small", size))
    result = shaped(image, width, height, wish.transform, wish.resize_filter)
    if result is None:
        return Made(index, None, problems=(*problems, *(() if problems else (("too small", size),))))
    data = png(result)
    return Made(index, data, hashlib.sha256(data).digest()[:16], tuple(problems))


def _oddities(image: Image.Image, channels: int) -> Iterator[tuple[str, str]]:
    mode = odd_mode(image)
    if mode:
        yield (mode, image.mode)
    elif channels == 3 and is_grey(image):
        yield ("grey among colour", image.mode)
    if orientation(image) != 1:
        yield ("turned upright", "")


def work(source: Source, index: int, parcel: Any, task: tuple[Wish, int] | None) -> Made:
    """Make a picture, or only look at it where there is no task."""
    return look(source, index, parcel) if task is None else make(source, index, parcel, *task)


# Settling what was left open


def _settled(source: Source, crew: Crew, wish: Wish, count: int, tell: Progress) -> tuple[Wish, int]:
    """The wish with a size, and the number of channels: 1 where every picture is grey."""
    if source.known is not None:
        sizes, grey = {source.known[:2]: count}, source.known[2] == 1
    else:
        sizes, grey = {}, True
        for done, made in enumerate(crew.each(None), 1):
            if made.seen is not None:
                sizes[made.seen[:2]] = sizes.get(made.seen[:2], 0) + 1
                grey = grey and made.seen[2]
            tell("sizes", done, count)
        if not sizes:
            raise DatasetError(f"None of the {count} pictures can be read: is {source.names[0]} one?")
    if wish.width is None or wish.height is None:
        if len(sizes) > 1:
            most = sorted(sizes.items(), key=lambda item: -item[1])[:3]
            listed = ", ".join(f"{number} of {width}x{height}" for (width, height), number in most)
            raise DatasetError(
                f"The pictures have {len(sizes)} sizes ({listed}, ...): say which you want, "
                "as in --resolution 256x256 --transform center-crop."
            )
        width, height = next(iter(sizes))
        wish = replace(wish, width=width, height=height)
    _check_side(wish)
    return wish, 1 if grey else 3


def _check(wish: Wish) -> None:
    if wish.transform is not None and wish.transform not in TRANSFORMS:
        raise DatasetError(f"{wish.transform} is no transform: choose {' or '.join(TRANSFORMS)}.")
    if wish.resize_filter not in FILTERS:
        raise DatasetError(f"{wish.resize_filter} is no filter: choose {' or '.join(FILTERS)}.")
    if wish.on_problem not in ("convert", "skip", "refuse"):
        raise DatasetError(f"{wish.on_problem} is no way to treat problems: choose convert, skip or refuse.")
    if (wish.width is None) != (wish.height is None):
        raise DatasetError("Only one of width and height is given: give both, or --resolution WxH.")
    if wish.transform is not None and wish.width is None:
        raise DatasetError(f"{wish.transform} needs a size: give --resolution, as in --resolution 256x256.")
    if wish.max_images is not None and wish.max_images < 1:
        raise DatasetError(f"--max-images is {wish.max_images}, but a dataset needs at least one picture.")
    if wish.width is not None:
        _check_side(wish)


def _check_side(wish: Wish) -> None:
    width, height = int(wish.width or 0), int(wish.height or 0)
    if not 1 <= min(width, height) <= max(width, height) <= 16384:
        raise DatasetError(f"Pictures of {width}x{height} cannot be made: choose sides from 1 to 16384.")
    if wish.transform == "center-crop-wide":
        if height > width:
            raise DatasetError(
                f"center-crop-wide to {width}x{height} would not be wide: choose a width above the height."
            )
    elif width != height:
        raise DatasetError(
            f"Pictures of {width}x{height} are not square, and training needs squares: "
            "choose a square --resolution with --transform center-crop, or center-crop-wide."
        )
    if width & (width - 1) and not wish.any_size:
        lower = 1 << (width.bit_length() - 1)
        raise DatasetError(
            f"{width} is no power of two, which networks need: choose {lower} or {2 * lower}, or add --any-size."
        )


def _check_room(dest: Path, needed: int) -> None:
    """Say before the work that a disk has no room for it."""
    try:
        parent = dest.absolute().parent
        while not parent.exists() and parent != parent.parent:
            parent = parent.parent
        free = shutil.disk_usage(parent).free
    except OSError:
        return  # a place that may not be looked at, or a drive that is missing: writing there will say so
    if needed > free:
        raise DatasetError(
            f"{dest} needs about {needed / 1e9:,.1f} GB, but only {free / 1e9:,.1f} GB are free there: make room."
        )
