"""The window on a network, or, without a display, the same program off-screen with a short demonstration."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cli import COMMANDS
from cli.flags import FieldError, Parser, add_scene_flags, apply_scene_flags, fail
from session import Scene, Session, with_scene
from session.bookmarks import bookmarks
from session.codec import SessionError
from session.codec import load as load_session
from session.timeline import without_motion

DRIFT, SPIN = 0.2, 4.0  # of the greeting: seeds and degrees a second
FIRST_START_PREFERENCES = {
    "drawer": "Bookmarks",
    "drawer_height": 12.0,
}  # preferences of the first start: what there is to see stands open
DEMO_SECONDS, DEMO_FPS = 6.0, 24  # of the film: seconds, frames a second


def main(arguments: Sequence[str]) -> int:
    options = create_parser().parse_args(arguments)
    try:
        if options.offscreen:
            return run_offscreen(options)
        return run_or_demonstrate(options)
    except (FieldError, SessionError) as error:
        return fail(str(error))


def create_parser() -> Parser:
    parser = Parser(
        "visualizer.py",
        description=__doc__,
        epilog=f"Commands: {', '.join(name for name in COMMANDS if name != 'window')} (each has --help).",
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="network, URL, run folder, session or saved picture")
    parser.add_argument("--offscreen", action="store_true", help="no window: a demonstration into --out, then exit")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the demonstration (default out)")
    parser.add_argument("--size", type=parse_size, metavar="WxH", help="of the window or the demonstration (1280x800)")
    parser.add_argument("--capture-dir", metavar="FOLDER", help="where pictures are saved")
    parser.add_argument("--browse-dir", metavar="FOLDER", help="where the file browser opens")
    add_scene_flags(parser)
    return parser


def parse_size(text: str) -> tuple[int, int]:
    """`1280x800` as two numbers of pixels."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and 320 <= int(width) <= 16384 and 240 <= int(height) <= 16384):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 1280x800, from 320x240 on")
    return int(width), int(height)


def run_or_demonstrate(options: argparse.Namespace) -> int:
    """Open the window; without a display, say so in one line and demonstrate off-screen."""
    from gui.backend.base import NoDisplayError, ScreenError
    from gui.platform_dirs import missing_display_reason

    missing = missing_display_reason()
    if not missing:
        try:
            return run_window(options)
        except NoDisplayError as error:
            missing = str(error)
        except ScreenError as error:
            return fail(str(error))
    print(f"{missing} Running off-screen instead, into {options.out}.", flush=True)
    return run_offscreen(options)


def run_window(options: argparse.Namespace) -> int:
    """The program in a window, until it is closed. Raises ScreenError where none can be opened."""
    from gui.app import App
    from gui.backend.window import Window
    from gui.platform_dirs import config_folder, prefers_reduced_motion
    from renderer.client import SubprocessRenderer
    from widgets import PANELS

    folder = config_folder()
    session, greeting = initial_session(options, folder)
    if session is not None and greeting and prefers_reduced_motion():
        session = with_scene(session, without_motion(session.scene))
    client = SubprocessRenderer(wake=Window.wake)  # first, so that the renderer loads while the window opens
    try:
        app = App(PANELS, client, session, folder=folder, start_in_attract_mode=greeting)
        app.prefs = apply_options(replace(app.prefs, **FIRST_START_PREFERENCES) if greeting else app.prefs, options)
        with Window(app.prefs) as shown:
            try:
                open_paths(app, options)
                shown.run(app)
            finally:
                app.close()
    finally:
        client.close()
    return 0


def run_offscreen(options: argparse.Namespace) -> int:
    """The whole program without a display: some seconds of a hand at work, as a film and a screenshot."""
    from gui.app import App
    from gui.backend.base import ScreenError
    from gui.backend.headless import Headless
    from gui.testing.demo_script import demonstrate
    from renderer.client import SubprocessRenderer
    from session.png import save_png
    from video.encode import VideoError, VideoWriter
    from widgets import PANELS

    width, height = options.size or (1280, 800)
    shot, film = options.out / "screenshot.png", options.out / "demo.mp4"
    client = SubprocessRenderer()
    try:
        with tempfile.TemporaryDirectory(prefix="bandlimit-") as folder, Headless(width, height) as screen:
            session, greeting = initial_session(options, Path(folder))
            app = App(PANELS, client, session, folder=Path(folder), start_in_attract_mode=greeting)
            app.prefs = apply_options(replace(app.prefs, **FIRST_START_PREFERENCES) if greeting else app.prefs, options)
            try:
                open_paths(app, options)
                with VideoWriter(film, width, height, fps=DEMO_FPS) as video:
                    demonstrate(screen, app, seconds=DEMO_SECONDS, fps=DEMO_FPS, on_frame=video.write)
                save_png(shot, screen.screenshot())
                problem = app.views.canvas.problem
            finally:
                app.close()
    except (ScreenError, VideoError) as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{error.filename or options.out} cannot be written ({error.strerror}): choose another --out.")
    finally:
        client.close()
    print(f"{shot}\n{film}")
    return fail(problem.message) if problem else 0


def initial_session(options: argparse.Namespace, folder: Path) -> tuple[Session | None, bool]:
    """What to start from (None: what was kept last time), and whether it greets by moving until it is touched."""
    from gui.preferences import SESSION

    kept = folder / SESSION
    flags = any(name.startswith("scene ") for name in vars(options))
    if not flags:
        if kept.exists():
            return None, False
        if options.paths:
            return Session(), False
        return with_scene(Session(), greeting_scene()), True
    try:
        session = load_session(kept) if kept.exists() else Session()
    except SessionError:  # the App sets it aside and says so
        session = Session()
    return with_scene(session, apply_scene_flags(session.scene, options)), False


def greeting_scene() -> Scene:
    """The first bookmark, walking slowly from seed to seed and turning."""
    scene = next((kept.scene for kept in bookmarks()), Scene())
    walking, turning = replace(scene.latent, drift_x=DRIFT), replace(scene.transform, spin=SPIN)
    return replace(scene, latent=walking, transform=turning)


def apply_options(prefs, options: argparse.Namespace):
    """The preferences with what the command line says about window and folders."""
    from gui.platform_dirs import expand_home, working_folder

    if options.size:
        prefs = replace(prefs, width=options.size[0], height=options.size[1])
    if options.capture_dir:
        prefs = replace(prefs, capture_folder=str(working_folder() / expand_home(options.capture_dir)))
    if options.browse_dir:
        prefs = replace(prefs, browse_folder=str(working_folder() / expand_home(options.browse_dir)))
    return prefs


def open_paths(app, options: argparse.Namespace) -> None:
    """Open the first, whatever kind it is, with what the flags say of it; the others go to the recents."""
    from gui import actions
    from gui.platform_dirs import expand_home, working_folder
    from gui.preferences import add_recent

    absolute = [path if "://" in path else str(working_folder() / expand_home(path)) for path in options.paths]
    for path in reversed(absolute[1:]):
        app.prefs = add_recent(app.prefs, path)
    if absolute:
        actions.run(app, "file.drop", absolute[0])
        app.document.edit(apply_scene_flags(app.document.scene, options))
