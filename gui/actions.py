"""The handler of each command of gui/commands.py; the app runs them after the panels of a frame are drawn."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gui import platform_dirs, preferences
from gui.canvas import viewport
from gui.chrome import file_dialog
from session import Capture, Model, Scene, Session, codec, own_bookmarks, png
from session.bookmarks import with_bookmark
from session.fields import FieldError, describe, validate
from session.scene import move_latent

if TYPE_CHECKING:
    from gui.app import App

MAX_RANDOM_SEED = 100_000  # random seeds stay below this, short enough to be read out to somebody
PASSIVE_COMMANDS = (
    "help.keys",
    "help.about",
    "capture.picture",
    "capture.window",
)  # commands that do not end attract mode


def run(app: App, name: str, *arguments: Any) -> None:
    """Run a command by its name; an unknown name or a failing command becomes a toast."""
    action = ACTIONS.get(name)
    if action is None:
        app.toasts.show(f"There is no command {name}.", "error")
        return
    if name not in PASSIVE_COMMANDS:
        app.end_attract_mode()
    try:
        action(app, *arguments)
    except Exception as error:  # noqa: BLE001 - a command may fail in any way, and none may end the program
        app.report_exception(error)


def open_network(app: App, path: str = "") -> None:
    """Open a network by path, URL or run folder; without one, show the file dialog."""
    if not path:
        folder = app.prefs.browse_folder
        app.file_dialog.open(
            file_dialog.OPEN_NETWORK, folder, app.prefs.recents, lambda chosen: open_network(app, chosen)
        )
        return
    if "://" not in path:
        path = str(platform_dirs.working_folder() / platform_dirs.expand_home(path))
        app.prefs = replace(app.prefs, browse_folder=str(Path(path).parent))
    app.opening = path
    show_network(app, path)


def show_network(app: App, path: str) -> None:
    """Put another network into the scene; settings that only fit the old network return to their defaults."""
    scene = app.document.scene
    if scene.model.path == path:
        app.views.reload(path)
        return
    app.document.edit(
        replace(
            scene,
            model=Model(path=path),
            latent=replace(scene.latent, class_index=None, projected=""),
            mixing=replace(scene.mixing, class_index=None),
            capture=Capture(),
        )
    )


def open_demo(app: App) -> None:
    show_network(app, "")


def reload(app: App) -> None:
    """Read the network's file again."""
    app.views.reload(app.document.scene.model.path)


def new_session(app: App) -> None:
    app.document.replace(Session())
    app.toasts.show("A new session. Undo brings the old one back.")


def open_session(app: App, path: str = "") -> None:
    """Read a session from a YAML file or from an image saved by this program; without a path, show the file dialog."""
    if not path:
        folder = app.prefs.browse_folder
        app.file_dialog.open(file_dialog.OPEN_SESSION, folder, (), lambda chosen: open_session(app, chosen))
        return
    file = Path(path)
    try:
        session = png.read_session(file) if file.suffix.lower() == ".png" else codec.load(file)
    except codec.SessionError as error:
        app.toasts.show(str(error), "error")
        return
    app.document.replace(session)
    app.prefs = replace(app.prefs, browse_folder=str((platform_dirs.working_folder() / file).parent))
    app.toasts.show(f"Opened {file.name}.")


def save_session(app: App, path: str = "") -> None:
    """Write the session to a file; without a path, show the file dialog."""
    if not path:
        folder = app.prefs.browse_folder
        app.file_dialog.open(file_dialog.SAVE_SESSION, folder, (), lambda chosen: save_session(app, chosen))
        return
    try:
        codec.save(Path(path), app.document.present)
    except OSError as error:
        app.toasts.show(f"{path} cannot be written ({error.strerror}): choose another folder.", "error")
        return
    app.prefs = replace(app.prefs, browse_folder=str(Path(path).parent))
    app.toasts.show(f"Saved {path}.")


def quit_program(app: App) -> None:
    app.closing = True


def undo(app: App) -> None:
    app.document.undo()


def redo(app: App) -> None:
    app.document.redo()


def reset(app: App) -> None:
    scene = app.document.scene
    app.document.edit(Scene(model=scene.model, compute=scene.compute))


def random_latent(app: App) -> None:
    scene = app.document.scene
    latent = replace(scene.latent, seed=random.randrange(MAX_RANDOM_SEED), x=0.0, y=0.0, projected="")
    app.document.edit(replace(scene, latent=latent))


def snap(app: App) -> None:
    scene = app.document.scene
    app.document.edit(replace(scene, latent=replace(move_latent(scene.latent, 0, 0), x=0.0, y=0.0)))


def play(app: App) -> None:
    app.document.playing = not app.document.playing


def theme(app: App) -> None:
    app.prefs = replace(app.prefs, theme="light" if app.prefs.theme == "dark" else "dark")


def layout(app: App) -> None:
    defaults = preferences.Preferences()
    layout_fields = ("closed", "floating", "drawer", "drawer_height", "layout")
    app.prefs = replace(app.prefs, **{name: getattr(defaults, name) for name in layout_fields})
    app.rebuild_layout = True
    app.panels_hidden = False


def panels(app: App) -> None:
    app.panels_hidden = not app.panels_hidden


def tool(name: str) -> Callable[[App], None]:
    def choose(app: App) -> None:
        app.canvas.tool = name

    return choose


def save_picture(app: App) -> None:
    """Save the canvas's image at its own size, with the session in it, under the next free number."""
    result = app.views.canvas.result
    if result is None:
        app.toasts.show("There is no picture yet.", "warning")
        return
    if result.preview:
        app.toasts.show("This is a preview; the exact picture is on its way.", "warning")
        return
    session = replace(app.document.session, scenes=(result.scene,), active=0)
    app.save_png(app.views.canvas.pixels, session)


def save_window(app: App) -> None:
    app.screenshot_requested = True


def keys(app: App) -> None:
    app.overlay = "" if app.overlay == "keys" else "keys"


def about(app: App) -> None:
    app.overlay = "about"


def add_bookmark(app: App) -> None:
    """Keep the scene on the canvas among the user's own bookmarks, named after its class or seed."""
    scene, model = app.document.present.scene, app.views.model
    shown = app.views.canvas.result.shown_class if app.views.canvas.result else None
    class_name = f"{model.class_name(shown)} " if model is not None and shown is not None and model.classes else ""
    path = own_bookmarks.add(app.bookmarks_folder, f"{class_name}seed {scene.latent.seed}", scene)
    app.toasts.show(f"Kept as {own_bookmarks.name_of(path)}; right-click it to rename or move it.")


def go_to_bookmark(number: int) -> Callable[[App], None]:
    def go(app: App) -> None:
        entries, _ = own_bookmarks.own_bookmarks(app.bookmarks_folder)
        if number > len(entries):
            app.toasts.show(f"There is no bookmark {number} yet: B keeps this scene as one.", "warning")
            return
        app.document.edit(with_bookmark(app.document.scene, entries[number - 1].scene))

    return go


def rename_bookmark(app: App, path: Path, name: str) -> None:
    own_bookmarks.rename(path, name)


def reorder_bookmark(app: App, path: Path, steps: int) -> None:
    own_bookmarks.reorder(app.bookmarks_folder, path, steps)


def delete_bookmark(app: App, path: Path) -> None:
    """Move a bookmark to the deleted ones."""
    target = own_bookmarks.delete(path)
    app.toasts.show(f"Deleted {own_bookmarks.name_of(path)}. It is still at {target}.")


def set_preference(app: App, name: str, value: Any) -> None:
    """Set one preference by name."""
    known = describe(preferences.Preferences)
    try:
        app.prefs = replace(app.prefs, **{name: validate(known[name], value, name)})
    except (KeyError, FieldError) as error:
        app.toasts.show(f"The setting {name} was not changed: {error}", "error")


def open_dropped(app: App, path: str) -> None:
    """Open a file that was dropped on the window."""
    file, suffix = Path(path), Path(path).suffix.lower()
    if "://" in path or platform_dirs.is_folder(file) or suffix in file_dialog.NETWORKS:
        open_network(app, path)
    elif suffix in file_dialog.SESSIONS:
        open_session(app, path)
    elif suffix in (".npz", ".npy"):
        scene = app.document.scene
        latent = replace(scene.latent, projected=str(platform_dirs.working_folder() / file), projected_index=0)
        app.document.edit(replace(scene, latent=latent))
    else:
        app.toasts.show(
            f"{file.name} is nothing that can be opened here: drop a network (.pkl, .pth, .safetensors), "
            "a run folder, a session (.yaml), a picture saved here (.png) or a projected w (.npz, .npy).",
            "warning",
        )


def _zoom(factor: float) -> Callable[[App], None]:
    return lambda app: app.canvas.zoom_by(factor)


ACTIONS: dict[str, Callable[..., None]] = {
    "file.open": open_network,
    "file.demo": open_demo,
    "file.reload": reload,
    "file.new": new_session,
    "file.open_session": open_session,
    "file.save_session": save_session,
    "file.quit": quit_program,
    "edit.undo": undo,
    "edit.redo": redo,
    "edit.reset": reset,
    "edit.random": random_latent,
    "edit.snap": snap,
    "view.play": play,
    "view.fit": lambda app: app.canvas.fit(),
    "view.actual": lambda app: app.canvas.show_actual_size(),
    "view.zoom_in": _zoom(viewport.ZOOM_STEP),
    "view.zoom_out": _zoom(1 / viewport.ZOOM_STEP),
    "view.layout": layout,
    "view.theme": theme,
    "view.panels": panels,
    **{f"tool.{name}": tool(name) for name in ("latent", "move", "turn", "pan")},
    "capture.picture": save_picture,
    "capture.window": save_window,
    "bookmark.add": add_bookmark,
    "bookmark.rename": rename_bookmark,
    "bookmark.reorder": reorder_bookmark,
    "bookmark.delete": delete_bookmark,
    **{f"bookmark.go_{number}": go_to_bookmark(number) for number in range(1, 10)},
    "help.keys": keys,
    "help.about": about,
    "settings.set": set_preference,
    "file.drop": open_dropped,
}
