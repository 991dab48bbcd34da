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

DRIFT, SPIN = 0.2, 4.0  # of the opening motion: seeds and degrees per second
FIRST_START_PREFERENCES = {
    "drawer": "Bookmarks",
    "drawer_height": 12.0,
}  # the bookmarks are open
DEMO_SECONDS, DEMO_FPS = 6.0, 24  # length in seconds, frames per second


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
    """Parse `1280x800` into width and height in pixels. Raises ArgumentTypeError."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and 320 <= int(width) <= 16384 and 240 <= int(height) <= 16384):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 1280x800, from 320x240 on")
    return int(width), int(height)


def run_or_demonstrate(options: argparse.Namespace) -> int:
    """Open the window; without a display, say so and run the off-screen demonstration."""
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
    """Run the program in a window until it is closed. Raises ScreenError if none can be opened."""
    from gui.app import App
    from gui.backend.window import Window
    from gui.platform_dirs import config_folder, prefers_reduced_motion
    from renderer.client import SubprocessRenderer
    from widgets import PANELS

    folder = config_folder()
    session, greeting = initial_session(options, folder)
    if session is not None and greeting and prefers_reduced_motion():
        session = with_scene(session, without_motion(session.scene))
    client = SubprocessRenderer(wake=Window.wake)  # started first, so that it loads while the window opens
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
    """Run the program off-screen: a short demonstration, saved as a video and a screenshot."""
    from gui.app import App
    from gui.backend.base import ScreenError
    from gui.backend.headless import Headless
    from gui.testing.demo_script import demonstrate
    from renderer.client import SubprocessRenderer
    from session.png import save_png
    from video.encode import VideoError, VideoWriter
    from widgets import PANELS

    width, height = options.size or (1280, 800)
    screenshot, video_path = options.out / "screenshot.png", options.out / "demo.mp4"
    client = SubprocessRenderer()
    try:
        with tempfile.TemporaryDirectory(prefix="bandlimit-") as folder, Headless(width, height) as screen:
            session, greeting = initial_session(options, Path(folder))
            app = App(PANELS, client, session, folder=Path(folder), start_in_attract_mode=greeting)
            app.prefs = apply_options(replace(app.prefs, **FIRST_START_PREFERENCES) if greeting else app.prefs, options)
            try:
                open_paths(app, options)
                with VideoWriter(video_path, width, height, fps=DEMO_FPS) as video:
                    demonstrate(screen, app, seconds=DEMO_SECONDS, fps=DEMO_FPS, on_frame=video.write)
                save_png(screenshot, screen.screenshot())
                problem = app.views.canvas.problem
            finally:
                app.close()
    except (ScreenError, VideoError) as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{error.filename or options.out} cannot be written ({error.strerror}): choose another --out.")
    finally:
        client.close()
    print(f"{screenshot}\n{video_path}")
    return fail(problem.message) if problem else 0


def initial_session(options: argparse.Namespace, folder: Path) -> tuple[Session | None, bool]:
    """Return the session to start with (None: the last one), and whether it moves until the first input."""
    from gui.preferences import SESSION

    saved = folder / SESSION
    flags = any(name.startswith("scene ") for name in vars(options))
    if not flags:
        if saved.exists():
            return None, False
        if options.paths:
            return Session(), False
        return with_scene(Session(), greeting_scene()), True
    try:
        session = load_session(saved) if saved.exists() else Session()
    except SessionError:  # the App sets it aside and says so
        session = Session()
    return with_scene(session, apply_scene_flags(session.scene, options)), False


def greeting_scene() -> Scene:
    """Return the first bookmark, drifting slowly from seed to seed and rotating."""
    scene = next((bookmark.scene for bookmark in bookmarks()), Scene())
    walking, turning = replace(scene.latent, drift_x=DRIFT), replace(scene.transform, spin=SPIN)
    return replace(scene, latent=walking, transform=turning)


def apply_options(prefs, options: argparse.Namespace):
    """Return the preferences with the command line's window size and folders."""
    from gui.platform_dirs import expand_home, working_folder

    if options.size:
        prefs = replace(prefs, width=options.size[0], height=options.size[1])
    if options.capture_dir:
        prefs = replace(prefs, capture_folder=str(working_folder() / expand_home(options.capture_dir)))
    if options.browse_dir:
        prefs = replace(prefs, browse_folder=str(working_folder() / expand_home(options.browse_dir)))
    return prefs


def open_paths(app, options: argparse.Namespace) -> None:
    """Open the first path, of whatever kind, and apply the flags to it; add the others to the recent files."""
    from gui import actions
    from gui.platform_dirs import expand_home, working_folder
    from gui.preferences import add_recent

    absolute = [path if "://" in path else str(working_folder() / expand_home(path)) for path in options.paths]
    for path in reversed(absolute[1:]):
        app.prefs = add_recent(app.prefs, path)
    if absolute:
        actions.run(app, "file.drop", absolute[0])
        app.document.edit(apply_scene_flags(app.document.scene, options))
