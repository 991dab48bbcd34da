"""Every command of the window: its name, title, key and a line of help. gui/actions.py holds their handlers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command that a menu, a button or a key can post."""

    name: str
    title: str
    keys: str = ""  # as in "ctrl+shift+s"; "": no key
    meaning: str = ""


COMMANDS: tuple[Command, ...] = (
    Command("file.open", "Open network…", "ctrl+o", "Open a network file, a URL or a run folder"),
    Command("file.demo", "Open the demo network", "", "Go back to the network that comes with the program"),
    Command("file.reload", "Reload network", "ctrl+r", "Read the file again; of a run folder, its newest snapshot"),
    Command("file.new", "New session", "ctrl+n", "Start from the defaults; undo brings the old one back"),
    Command("file.open_session", "Open session…", "ctrl+shift+o", "Read a saved session"),
    Command("file.save_session", "Save session as…", "ctrl+shift+s", "Write everything you set to a YAML file"),
    Command("file.quit", "Quit", "ctrl+q", "The session is kept"),
    Command("edit.undo", "Undo", "ctrl+z", "One gesture back"),
    Command("edit.redo", "Redo", "ctrl+shift+z", "One gesture forward"),
    Command("edit.reset", "Reset all settings", "", "Everything but the network to its default; one undo step"),
    Command("edit.random", "Random latent", "r", "Jump to another seed"),
    Command("edit.snap", "Snap to seed", "s", "Move to the nearest whole seed"),
    Command("view.play", "Play / pause", "space", "Let drifts run, or hold them"),
    Command("view.fit", "Fit picture", "f", "Show the whole picture"),
    Command("view.actual", "Actual size", "1", "One picture pixel is one screen pixel"),
    Command("view.zoom_in", "Zoom in", "+", ""),
    Command("view.zoom_out", "Zoom out", "-", ""),
    Command("view.layout", "Reset layout", "", "All panels where they were at the first start"),
    Command("view.theme", "Light or dark", "", "Switch the theme"),
    Command("view.panels", "Hide or show panels", "tab", "The picture alone"),
    Command("tool.latent", "Drag the latent", "l", "Dragging on the picture moves on the seed plane"),
    Command("tool.move", "Drag the position", "m", "Dragging on the picture translates it"),
    Command("tool.turn", "Drag rotation and scale", "t", "Dragging around the picture's centre turns and scales it"),
    Command("tool.pan", "Drag the canvas", "h", "Dragging moves the view, not the picture"),
    Command("capture.picture", "Save picture", "ctrl+s", "The picture at its own size as PNG"),
    Command("capture.window", "Save window", "ctrl+shift+p", "The whole window as PNG"),
    Command("bookmark.add", "Bookmark this", "b", "Keep this scene among your own bookmarks"),
    *(
        Command(f"bookmark.go_{number}", f"Go to bookmark {number}", f"ctrl+{number}", "Of your own bookmarks")
        for number in range(1, 10)
    ),
    Command("help.keys", "Keys", "f1", "All commands and their keys"),
    Command("help.about", "About", "", "Version, licence and what runs"),
)
BY_NAME = {command.name: command for command in COMMANDS}
