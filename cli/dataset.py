"""A dataset for training, from pictures you have, from letters of your fonts, or from the built-in planets.

visualizer.py dataset --source photos/ --dest faces.zip --resolution 256x256 --transform center-crop
visualizer.py dataset letters --source fonts/ --dest letters.zip --resolution 64x64 --characters A-Z
visualizer.py dataset planets --dest planets.zip --resolution 64x64 --max-images 20000 --seed 0
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cli.flags import Parser, fail, is_same_file


def main(arguments: Sequence[str]) -> int:
    options = create_parser().parse_args(arguments)
    if (options.what == "planets") == (options.source is not None):
        if options.what == "letters":
            return fail("Give the folder of your fonts with --source.")
        return fail("Give --source with your pictures, or the word planets for the built-in ones, and not both.")
    if options.resolution and (options.width or options.height):
        return fail("Give --resolution, or --width and --height, and not both.")
    from data.errors import DatasetError
    from data.prepare import PrepareOptions, PrepareRefused, prepare
    from data.sources import open_source

    width, height = options.resolution or (options.width, options.height)
    prepare_options = PrepareOptions(
        width=width,
        height=height,
        transform=options.transform,
        resize_filter=options.resize_filter,
        on_problem=options.on_problem,
        background=options.background,
        any_size=options.any_size,
        max_images=options.max_images,
        workers=options.workers,
    )
    start = time.monotonic()
    progress = Progress()
    try:
        if options.what == "planets":
            source = open_planets(options, width or 64, height or 64)
        elif is_same_file(options.source, options.dest):
            return fail(f"{options.dest} is the source itself; choose another --dest.")
        elif options.what == "letters":
            source = open_letters(options, width or 64, height or 64, progress)
        else:
            source = open_source(options.source, options.labels)
        report = prepare(source, options.dest, prepare_options, progress)
    except PrepareRefused as error:
        progress.end()
        print(error.report.table())
        return fail(str(error))
    except DatasetError as error:
        progress.end()
        return fail(str(error))
    except KeyboardInterrupt:
        progress.end()
        print("Stopped; nothing was written.", file=sys.stderr)
        return 130
    progress.end()
    if table := report.table():
        print(table)
    labels = f", {report.label_count} classes" if report.classes else ", with labels" if report.label_count else ""
    labels += f" ({', '.join(report.classes)})" if 0 < len(report.classes) <= 10 else ""
    kind = "grey" if report.channels == 1 else "RGB"
    seconds = time.monotonic() - start
    print(
        f"{report.written} pictures of {report.side}x{report.side}, {kind}{labels} -> {options.dest} ({seconds:.1f} s)"
    )
    return 0


def open_planets(options: argparse.Namespace, width: int, height: int):
    from data.errors import DatasetError
    from data.planets.source import Planets

    if width != height:
        raise DatasetError(f"Planets are drawn on squares, not {width}x{height}: choose a square --resolution.")
    return Planets(options.max_images or 10_000, width, options.seed)


def open_letters(options: argparse.Namespace, width: int, height: int, progress: Progress):
    from data.errors import DatasetError
    from data.letters import Letters, characters_of

    if width != height:
        raise DatasetError(f"Letters are drawn on squares, not {width}x{height}: choose a square --resolution.")
    return Letters(
        options.source,
        width,
        characters_of(options.characters),
        options.max_styles,
        workers=options.workers,
        strict=options.on_problem == "skip",
        progress=progress,
    )


def create_parser() -> Parser:
    parser = Parser("visualizer.py dataset", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", nargs="?", choices=["planets", "letters"], help="built-in pictures, or letters of fonts"
    )
    parser.add_argument(
        "--source",
        type=Path,
        help="folder (recursive), zip, LMDB folder, cifar-10-python.tar.gz or train-images-idx3-ubyte.gz; "
        "letters: folder of fonts",
    )
    parser.add_argument("--dest", type=Path, required=True, help="the .zip or empty folder to write")
    parser.add_argument(
        "--resolution", type=parse_size, metavar="WxH", help="size of the pictures; without it, the source's own"
    )
    parser.add_argument("--width", type=int, help="as --resolution, in two options")
    parser.add_argument("--height", type=int, help=argparse.SUPPRESS)
    parser.add_argument(
        "--transform",
        choices=["center-crop", "center-crop-wide"],
        help="cut the middle square out, or lay a wide middle part on black; without it pictures are stretched",
    )
    parser.add_argument("--resize-filter", choices=["lanczos", "box"], default="lanczos", help="(lanczos)")
    parser.add_argument("--max-images", type=int, help="only the first so many; planets: how many (10000)")
    parser.add_argument(
        "--labels",
        choices=["auto", "folders", "json", "none"],
        default="auto",
        help="from the source's dataset.json, or from class folders; auto: whichever there is (auto)",
    )
    parser.add_argument(
        "--on-problem",
        choices=["convert", "skip", "refuse"],
        default="convert",
        help="odd pictures: mend what can be mended, leave them out, or write nothing (convert)",
    )
    parser.add_argument(
        "--background", type=parse_color, default=(255, 255, 255), metavar="RRGGBB", help="below transparency (ffffff)"
    )
    parser.add_argument("--any-size", action="store_true", help="allow sides that are no power of two")
    parser.add_argument("--characters", default="A-Z", help="of letters, as in A-Za-z0-9: a class each (A-Z)")
    parser.add_argument("--max-styles", type=int, default=6, help="of letters: styles of one family, as bold (6)")
    parser.add_argument("--seed", type=int, default=0, help="of the planets (0)")
    parser.add_argument("--workers", type=int, help="processes (one for each core)")
    return parser


def parse_size(text: str) -> tuple[int, int]:
    """Parse `256x128` or `256` into width and height. Raises ArgumentTypeError."""
    match = re.fullmatch(r"(\d{1,6})(?:[xX](\d{1,6}))?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 256x256")
    return int(match[1]), int(match[2] or match[1])


def parse_color(text: str) -> tuple[int, int, int]:
    """Parse `ff8000` into red, green, blue (0 to 255). Raises ArgumentTypeError."""
    match = re.fullmatch(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a colour like ffffff")
    red, green, blue = (int(part, 16) for part in match.groups())
    return red, green, blue


class Progress:
    """Prints progress: one updated line on a terminal, else a line every ten per cent."""

    def __init__(self) -> None:
        self.last_print = 0.0
        self.last_tenth = -1
        self.open = False

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if sys.stderr.isatty():
            if now - self.last_print > 0.1 or done == total:
                print(f"\r{what}: {done} of {total} ", end="", file=sys.stderr, flush=True)
                self.last_print, self.open = now, True
        elif total >= 1000 and done * 10 // total != self.last_tenth:
            self.last_tenth = done * 10 // total
            print(f"{what}: {done} of {total}", file=sys.stderr)

    def end(self) -> None:
        if self.open:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
