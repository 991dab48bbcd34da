"""The file dialog: opens networks, run folders and sessions, and names the file that a session is saved to."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imgui_bundle import imgui

from gui import platform_dirs
from gui.chrome import directory_listing
from gui.controls import ui
from gui.style import theme

NETWORKS = (".pkl", ".pth", ".pt", ".safetensors")
SESSIONS = (".yaml", ".yml", ".png")


@dataclass(frozen=True)
class DialogKind:
    """One use of the dialog."""

    title: str
    suffixes: tuple[str, ...]
    verb: str  # label of its button
    hint: str  # shown in the empty path field
    saves: bool = False
    runs: bool = False  # a run folder may be chosen


OPEN_NETWORK = DialogKind("Open network", NETWORKS, "Open", "Path, URL or run folder", runs=True)
OPEN_SESSION = DialogKind("Open session", SESSIONS, "Open", "A session, or a picture saved here")
SAVE_SESSION = DialogKind("Save session", (".yaml", ".yml"), "Save", "Name of the file", saves=True)


class FileDialog:
    """A modal dialog that calls back with the chosen path."""

    def __init__(self) -> None:
        self.kind: DialogKind | None = None
        self.folder = platform_dirs.working_folder()
        self._on_choice: Callable[[str], None] = lambda _path: None
        self._recents: Sequence[str] = ()
        self._entries: tuple[directory_listing.Entry, ...] = ()
        self._path_text = self._filter = self._problem = self._snapshot = ""
        self._selected: directory_listing.Entry | None = None
        self._confirm_replace = self._focus_path = False

    def open(self, kind: DialogKind, folder: str, recents: Sequence[str], choose: Callable[[str], None]) -> None:
        """Show the dialog; `choose(path)` is called once if a path is chosen."""
        self.kind, self._on_choice, self._recents = kind, choose, recents if kind.runs else ()
        self._path_text = "session.yaml" if kind.saves else ""
        start = platform_dirs.expand_home(folder)
        self._open_folder(start if folder and platform_dirs.is_folder(start) else platform_dirs.working_folder())

    def cancel(self) -> None:
        """Close it without a choice, also after an error while it was drawn."""
        self.kind = None
        imgui.internal.close_popup_to_level(0, True)

    def draw(self) -> None:
        """Draw the dialog while it is open."""
        kind = self.kind
        if kind is None:
            return
        name = f"{kind.title}###browser"
        if not imgui.is_popup_open(name):
            imgui.open_popup(name)
            self._focus_path = True
        view = imgui.get_main_viewport()
        imgui.set_next_window_pos(view.get_center(), imgui.Cond_.always, (0.5, 0.5))
        size = (min(ui.em(58), view.work_size.x * 0.94), min(ui.em(36), view.work_size.y * 0.9))
        imgui.set_next_window_size(size)
        imgui.push_style_var(imgui.StyleVar_.window_padding, (ui.em(0.9), ui.em(0.75)))
        flags = imgui.WindowFlags_.no_resize | imgui.WindowFlags_.no_move | imgui.WindowFlags_.no_saved_settings
        is_visible = imgui.begin_popup_modal(name, None, flags)[0]
        imgui.pop_style_var()
        if not is_visible:
            return
        with ui.panel("Browser"):
            chosen = self._contents(kind)
        if chosen is not None:
            self.kind = None
            imgui.close_current_popup()
        imgui.end_popup()
        if chosen:
            self._on_choice(chosen)

    def _contents(self, kind: DialogKind) -> str | None:
        """Draw the contents; return the chosen path, "" after Cancel, None while it stays open."""
        entered = self._path_row(kind)
        foot = imgui.get_frame_height() + ui.em(0.9)
        imgui.begin_child("places", (ui.em(13), -foot))
        self._places()
        imgui.end_child()
        imgui.same_line()
        imgui.push_style_color(imgui.Col_.child_bg, theme.color_vec("panel"))
        imgui.begin_child("files", (0, -foot), imgui.ChildFlags_.always_use_window_padding)
        picked = self._files(kind)
        imgui.end_child()
        imgui.pop_style_color()
        imgui.dummy((0, ui.em(0.1)))
        chosen = self._buttons(kind, entered or picked)
        self._focus_path = self._focus_path or (entered and chosen is None)  # keep the focus in the path field
        return chosen

    def _path_row(self, kind: DialogKind) -> bool:
        if ui.button("Up", "The folder above"):
            self._open_folder(self.folder.parent)
        imgui.same_line()
        imgui.set_next_item_width(imgui.get_content_region_avail().x - ui.em(12))
        if self._focus_path:
            imgui.set_keyboard_focus_here()
            self._focus_path = False
        hint = f"{kind.hint}  (in {self.folder})"
        flags = imgui.InputTextFlags_.enter_returns_true | imgui.InputTextFlags_.auto_select_all
        entered, typed = imgui.input_text_with_hint("##path", hint, self._path_text, flags)
        ui.register_item("path")
        if typed != self._path_text:
            self._path_text, self._selected, self._confirm_replace, self._problem = typed, None, False, ""
        imgui.same_line()
        imgui.set_next_item_width(-1)
        _, self._filter = imgui.input_text_with_hint("##filter", "Filter", self._filter)
        ui.register_item("filter")
        return entered

    def _places(self) -> None:
        _heading("Places")
        for name, folder in platform_dirs.starting_folders():
            if imgui.selectable(f"{name}##place", folder == self.folder)[0]:
                self._open_folder(folder)
            ui.register_item(f"place {name}")
            ui.tooltip(str(folder))
        if not self._recents:
            return
        imgui.dummy((0, ui.em(0.4)))
        _heading("Recent")
        for path in self._recents:
            name = ui.elide_middle(path.rstrip("/").replace("\\", "/").rpartition("/")[2], ui.em(12))
            if imgui.selectable(f"{name}##{path}", path == self._path_text)[0]:
                self._path_text, self._selected, self._problem = path, None, ""
            ui.tooltip(path)

    def _files(self, kind: DialogKind) -> bool:
        """Draw the listing; return whether a file was chosen by double click."""
        if self._problem:
            ui.problem(self._problem)
        filter_text = self._filter.lower()
        entries = [entry for entry in self._entries if filter_text in entry.name.lower()]
        if not entries and not self._problem:
            ui.hint("Nothing here that could be opened." if not filter_text else "Nothing here has that in its name.")
        self._move_selection(entries)
        picked = False
        for entry in entries:
            selected = self._selected is not None and entry.path == self._selected.path
            label = f"{entry.name}{'/' if entry.is_folder else ''}"
            flags = imgui.SelectableFlags_.allow_double_click | imgui.SelectableFlags_.span_all_columns
            if imgui.selectable(label, selected, flags)[0]:
                self._select(entry)
                if imgui.is_mouse_double_clicked(0):
                    if entry.is_folder:
                        self._open_folder(entry.path)
                        break
                    picked = True
            ui.register_item(entry.name)
            if not entry.is_folder:
                date = datetime.datetime.fromtimestamp(entry.modified).strftime("%Y-%m-%d %H:%M")
                _right_aligned(date, 0.0)
                _right_aligned(directory_listing.format_size(entry.size), 9.0)
        return picked

    def _move_selection(self, entries: Sequence[directory_listing.Entry]) -> None:
        step = imgui.is_key_pressed(imgui.Key.down_arrow) - imgui.is_key_pressed(imgui.Key.up_arrow)
        if step and entries:
            paths = [entry.path for entry in entries]
            index = paths.index(self._selected.path) if self._selected and self._selected.path in paths else -1
            self._select(entries[min(max(index + step, 0), len(entries) - 1)])

    def _buttons(self, kind: DialogKind, decided: bool) -> str | None:
        run = kind.runs and (self._snapshot or "")
        verb = f"Open newest snapshot ({run})" if run else "Replace" if self._confirm_replace else kind.verb
        width = imgui.calc_text_size(verb).x + ui.em(2)
        imgui.set_cursor_pos_x(imgui.get_window_width() - width - ui.em(7) - imgui.get_style().window_padding.x)
        if imgui.button("Cancel", (ui.em(6), 0)) or _is_escape_pressed():
            return ""
        ui.register_item("Cancel")
        imgui.same_line()
        imgui.push_style_color(imgui.Col_.button, theme.color_vec("accent"))
        imgui.push_style_color(imgui.Col_.button_hovered, theme.color_vec("accent", 0.9))
        imgui.push_style_color(imgui.Col_.text, theme.color_vec("on_accent"))
        pressed = imgui.button(f"{verb}###decide", (width, 0))
        imgui.pop_style_color(3)
        ui.register_item("decide")
        return self._resolve(kind, pressed) if pressed or decided else None

    def _resolve(self, kind: DialogKind, pressed: bool) -> str | None:
        """Return the typed path, or None where the dialog stays open: a folder was entered, or there is a problem."""
        typed = self._path_text.strip()
        if "://" in typed and kind.runs:
            return typed
        path = self.folder / platform_dirs.expand_home(typed)
        if platform_dirs.is_folder(path):
            if kind.runs and pressed and directory_listing.newest_snapshot(path):
                return str(path)
            self._open_folder(path)
            self._path_text = ""
            return None
        if kind.saves:
            path = path if path.suffix.lower() in kind.suffixes else path.with_name(path.name + ".yaml")
            if platform_dirs.exists(path) and not self._confirm_replace:
                self._confirm_replace, self._problem = (
                    True,
                    f"{path.name} exists already: press Replace to write over it.",
                )
                return None
            return str(path)
        if not platform_dirs.exists(path):
            self._problem = f"There is no {path}, or it may not be read: check the path."
            return None
        return str(path)

    def _select(self, entry: directory_listing.Entry) -> None:
        self._selected, self._problem, self._confirm_replace = entry, "", False
        self._snapshot = directory_listing.newest_snapshot(entry.path) if entry.is_folder else ""
        if not entry.is_folder or not (self.kind and self.kind.saves):
            self._path_text = str(entry.path)

    def _open_folder(self, folder: Path) -> None:
        """Show another folder; where it cannot be read, show the problem and stay."""
        self._confirm_replace = False  # the warning was about a file of the other folder
        suffixes = self.kind.suffixes if self.kind else ()
        try:
            self._entries = directory_listing.list_entries(folder.resolve(), suffixes)
        except OSError as error:
            self._problem = f"{folder} cannot be read ({error.strerror}): choose another folder."
            return
        self.folder, self._selected, self._problem, self._filter = folder.resolve(), None, "", ""
        self._snapshot = directory_listing.newest_snapshot(self.folder)
        if self.kind is not None and not self.kind.saves:
            self._path_text = ""


def _is_escape_pressed() -> bool:
    return imgui.is_key_pressed(imgui.Key.escape) and not imgui.is_window_appearing()


def _heading(text: str) -> None:
    imgui.text_colored(theme.color_vec("faint"), text)


def _right_aligned(text: str, back: float) -> None:
    """Draw dim text on the line of the last item, right-aligned `back` em from the edge."""
    right = imgui.get_window_width() - imgui.get_style().window_padding.x - ui.em(back)
    imgui.same_line(right - imgui.calc_text_size(text).x)
    imgui.text_colored(theme.color_vec("faint"), text)
