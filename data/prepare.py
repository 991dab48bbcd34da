"""Prepare a dataset: convert all images of a source to one size and color mode, and report problems."""

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

from data.crop_resize import FILTERS, TRANSFORMS, crop_resize
from data.errors import DatasetError, ImageError
from data.image_decoding import (
    apply_exif_orientation,
    decode,
    describe_mode,
    encode_png,
    exif_orientation,
    is_gray,
    open_image,
    to_rgb,
    translate_errors,
)
from data.labels import Label, Style, empty_classes
from data.parallel_map import WorkerPool
from data.report import Report
from data.sources import Source
from data.writer import DatasetWriter

Progress = Callable[[str, int, int], None]  # name of the stage, done, total
_MIN_FOR_WORKERS = 96  # images; starting processes for up to this many takes longer than converting them here


@dataclass(frozen=True)
class PrepareOptions:
    """How to convert the images of a dataset.

    width, height: None keeps the source's size, which must then be the same for all. transform: see
    `data.crop_resize`. on_problem: "convert" repairs what it can and leaves out the rest, "skip" leaves out every
    image with a problem, "refuse" writes nothing if there is one. any_size: allow sides that are no power of two.
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
class PreparedImage:
    """A worker's result for one image: its PNG (None if there is none) and its problems."""

    index: int
    png: bytes | None
    digest: bytes = b""
    problems: tuple[tuple[str, str], ...] = ()  # kind, detail
    probed: tuple[int, int, bool] | None = field(default=None)  # result of `probe`: width, height, is grayscale


def prepare(source: Source, dest: Path, options: PrepareOptions, progress: Progress | None = None) -> Report:
    """Write the dataset to `dest` and return a report of what was written and of problems.

    Raises DatasetError, without writing anything, for sizes that do not fit, a full disk, or problems to be refused.
    """
    _check_options(options)
    report_progress = progress or (lambda what, done, total: None)
    count = len(source.names) if options.max_images is None else min(options.max_images, len(source.names))
    workers = options.workers or min(os.cpu_count() or 1, 16)
    report = Report(options.on_problem, source.noun)
    for name, problems, usable in source.problems:
        report.accept(name, problems, usable)
    with WorkerPool(source, count, 1 if count <= _MIN_FOR_WORKERS else workers, process) as pool:
        options, channels = _resolve_size(source, pool, options, count, report_progress)
        side = int(options.width or 0)
        _check_disk_space(dest, count * (side * side * channels + 350))
        labels = _write(source, dest, options, channels, pool, report, report_progress, count)
    report.side, report.channels = side, channels
    report.classes = source.classes if labels is not None else ()
    report.label_count = 0 if labels is None else len({label for _, label in labels})
    report.empty_classes = empty_classes(label for _, label in labels or ())
    return report


def _write(
    source: Source,
    dest: Path,
    options: PrepareOptions,
    channels: int,
    pool: WorkerPool[PreparedImage],
    report: Report,
    report_progress: Progress,
    count: int,
) -> list[tuple[str, Label]] | None:
    labels: list[tuple[str, Label | None]] = []
    styles: list[tuple[str, Style]] = []
    digests: dict[bytes, str] = {}
    with DatasetWriter(dest) as writer:
        for done, prepared in enumerate(pool.map_ordered((options, channels)), 1):
            name = str(source.names[prepared.index])
            problems = list(prepared.problems)
            is_duplicate = (
                source.reports_duplicates
                and prepared.png is not None
                and digests.setdefault(prepared.digest, name) != name
            )
            if is_duplicate:
                problems.append(("duplicate", f"as {digests[prepared.digest]}"))
            if report.accept(name, problems, prepared.png is not None) and prepared.png is not None:
                label = source.labels[prepared.index] if source.labels is not None else None
                labels.append((writer.add(prepared.png), label))
                if style := source.styles[prepared.index] if source.styles is not None else None:
                    styles.append((labels[-1][0], style))
            report_progress("pictures", done, count)
        if options.on_problem == "refuse" and report.problems:
            raise PrepareRefused(report)
        if not labels:
            raise DatasetError("No picture was left to write: see what was wrong with them." + report.first_problem())
        labeled = [(name, label) for name, label in labels if label is not None]
        report.unlabeled = len(labels) - len(labeled) if labeled else 0
        result = labeled if len(labeled) == len(labels) else None
        writer.finish(result, source.classes, styles)
        report.written = len(labels)
    return result


class PrepareRefused(DatasetError):
    """Images have problems, and on_problem is "refuse"; `report` lists them."""

    def __init__(self, report: Report) -> None:
        super().__init__("Nothing was written, because odd pictures were to be refused: mend or remove them.")
        self.report = report


# In workers


def probe(source: Source, index: int, payload: Any) -> PreparedImage:
    """Determine the size and color mode of an image from its first bytes."""
    head = getattr(source, "head", None)
    try:
        try:
            image = open_image(payload if payload is not None else head(index) if head else source.read(index, payload))  # type: ignore[arg-type]
        except ImageError:  # its header is longer than its first bytes
            image = open_image(source.read(index, payload))  # type: ignore[arg-type]
    except DatasetError:
        return PreparedImage(index, None)
    turned = exif_orientation(image) >= 5
    width, height = (image.height, image.width) if turned else image.size
    return PreparedImage(index, None, probed=(width, height, is_gray(image)))


def convert(source: Source, index: int, payload: Any, options: PrepareOptions, channels: int) -> PreparedImage:
    """Convert one image and collect its problems."""
    try:
        with translate_errors():
            return _convert(source, index, payload, options, channels)
    except DatasetError as error:
        return PreparedImage(index, None, problems=(("cannot be read", str(error)[:80]),))


def _convert(source: Source, index: int, payload: Any, options: PrepareOptions, channels: int) -> PreparedImage:
    problems: list[tuple[str, str]] = []
    encoded = source.read(index, payload)
    if isinstance(encoded, np.ndarray):
        image = Image.fromarray(encoded)
    else:
        image = decode(open_image(encoded))
        problems += _find_problems(image, channels)
        image = apply_exif_orientation(image)
    width, height = options.width or image.width, options.height or image.height
    size = f"{image.width}x{image.height}"
    if options.transform is None and image.width * height != image.height * width:
        problems.append(("stretched", size))
    image = to_rgb(image, channels, options.background)
    if (min(image.size) if options.transform == "center-crop" else image.width) < width or image.height < height:
        problems.append(("too small", size))
    result = crop_resize(image, width, height, options.transform, options.resize_filter)
    if result is None:
        return PreparedImage(index, None, problems=(*problems, *(() if problems else (("too small", size),))))
    data = encode_png(result)
    return PreparedImage(index, data, hashlib.sha256(data).digest()[:16], tuple(problems))


def _find_problems(image: Image.Image, channels: int) -> Iterator[tuple[str, str]]:
    mode = describe_mode(image)
    if mode:
        yield (mode, image.mode)
    elif channels == 3 and is_gray(image):
        yield ("grey among colour", image.mode)
    if exif_orientation(image) != 1:
        yield ("turned upright", "")


def process(source: Source, index: int, payload: Any, args: tuple[PrepareOptions, int] | None) -> PreparedImage:
    """Worker function: `convert` with `args`, or `probe` without."""
    return probe(source, index, payload) if args is None else convert(source, index, payload, *args)


# Checks before writing


def _resolve_size(
    source: Source, pool: WorkerPool[PreparedImage], options: PrepareOptions, count: int, report_progress: Progress
) -> tuple[PrepareOptions, int]:
    """Return options with a size filled in, and the number of channels: 1 if every image is grayscale, else 3."""
    if source.fixed_shape is not None:
        sizes, all_gray = {source.fixed_shape[:2]: count}, source.fixed_shape[2] == 1
    else:
        sizes, all_gray = {}, True
        for done, prepared in enumerate(pool.map_ordered(None), 1):
            if prepared.probed is not None:
                sizes[prepared.probed[:2]] = sizes.get(prepared.probed[:2], 0) + 1
                all_gray = all_gray and prepared.probed[2]
            report_progress("sizes", done, count)
        if not sizes:
            raise DatasetError(f"None of the {count} pictures can be read: is {source.names[0]} one?")
    if options.width is None or options.height is None:
        if len(sizes) > 1:
            most_common = sorted(sizes.items(), key=lambda item: -item[1])[:3]
            listed = ", ".join(f"{number} of {width}x{height}" for (width, height), number in most_common)
            raise DatasetError(
                f"The pictures have {len(sizes)} sizes ({listed}, ...): say which you want, "
                "as in --resolution 256x256 --transform center-crop."
            )
        width, height = next(iter(sizes))
        options = replace(options, width=width, height=height)
    _check_size(options)
    return options, 1 if all_gray else 3


def _check_options(options: PrepareOptions) -> None:
    if options.transform is not None and options.transform not in TRANSFORMS:
        raise DatasetError(f"{options.transform} is no transform: choose {' or '.join(TRANSFORMS)}.")
    if options.resize_filter not in FILTERS:
        raise DatasetError(f"{options.resize_filter} is no filter: choose {' or '.join(FILTERS)}.")
    if options.on_problem not in ("convert", "skip", "refuse"):
        raise DatasetError(f"{options.on_problem} is no way to treat problems: choose convert, skip or refuse.")
    if (options.width is None) != (options.height is None):
        raise DatasetError("Only one of width and height is given: give both, or --resolution WxH.")
    if options.transform is not None and options.width is None:
        raise DatasetError(f"{options.transform} needs a size: give --resolution, as in --resolution 256x256.")
    if options.max_images is not None and options.max_images < 1:
        raise DatasetError(f"--max-images is {options.max_images}, but a dataset needs at least one picture.")
    if options.width is not None:
        _check_size(options)


def _check_size(options: PrepareOptions) -> None:
    width, height = int(options.width or 0), int(options.height or 0)
    if not 1 <= min(width, height) <= max(width, height) <= 16384:
        raise DatasetError(f"Pictures of {width}x{height} cannot be made: choose sides from 1 to 16384.")
    if options.transform == "center-crop-wide":
        if height > width:
            raise DatasetError(
                f"center-crop-wide to {width}x{height} would not be wide: choose a width above the height."
            )
    elif width != height:
        raise DatasetError(
            f"Pictures of {width}x{height} are not square, and training needs squares: "
            "choose a square --resolution with --transform center-crop, or center-crop-wide."
        )
    if width & (width - 1) and not options.any_size:
        lower = 1 << (width.bit_length() - 1)
        raise DatasetError(
            f"{width} is no power of two, which networks need: choose {lower} or {2 * lower}, or add --any-size."
        )


def _check_disk_space(dest: Path, needed: int) -> None:
    """Raise DatasetError if the disk of `dest` has less than `needed` bytes free."""
    try:
        parent = dest.absolute().parent
        while not parent.exists() and parent != parent.parent:
            parent = parent.parent
        free = shutil.disk_usage(parent).free
    except OSError:
        return  # no permission, or a missing drive: writing there reports it
    if needed > free:
        raise DatasetError(
            f"{dest} needs about {needed / 1e9:,.1f} GB, but only {free / 1e9:,.1f} GB are free there: make room."
        )
