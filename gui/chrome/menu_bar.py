"""The menu bar: every command, and at the right what the canvas shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imgui_bundle import imgui

from gui.chrome.shortcuts import key_label
from gui.commands import BY_NAME
from gui.controls import ui
from gui.panel import PanelContext
from gui.style import theme

MENUS: dict[str, tuple[str, ...]] = {
    "File": (
        "file.open", "recents", "file.demo", "file.reload", "-",
        "file.new", "file.open_session", "file.save_session", "-",
        "capture.picture", "capture.window", "-", "file.quit",
    ),
    "Edit": ("edit.undo", "edit.redo", "-", "edit.random", "edit.snap", "-", "edit.reset"),
    "View": (
        "view.play", "-", "view.fit", "view.actual", "view.zoom_in", "view.zoom_out", "-",
        "tool.latent", "tool.move", "tool.turn", "tool.pan", "-",
        "view.panels", "panels", "view.layout", "-", "view.theme", "scale", "smooth", "greet",
    ),
    "Help": ("help.keys", "help.about"),
}  # fmt: skip
SCALES = (0.85, 1.0, 1.25, 1.5, 2.0)


def draw(context: PanelContext, titles: Sequence[str], checked: dict[str, bool], disabled: set[str]) -> float:
    """Draw the menu bar and return its height.

    `titles` are those of the panels, `checked` maps toggling commands to their state, `disabled` are command names.
    """
    if not imgui.begin_main_menu_bar():
        return 0.0
    for title, names in MENUS.items():
        opened = imgui.begin_menu(title)
        ui.register_item(f"Menu/{title}")
        if opened:
            for name in names:
                _entry(name, context, titles, checked, disabled)
            imgui.end_menu()
    _draw_title(context)
    height = imgui.get_window_size().y
    imgui.end_main_menu_bar()
    return height


def title_text(context: PanelContext) -> str:
    """What the canvas shows: "demo · lava · 128 × 128", or "class 2" where the classes have no names."""
    model, result = context.model, context.result
    if model is None or result is None:
        return ""
    parts = [model.name]
    if result.shown_class is not None:
        parts.append(model.class_name(result.shown_class))
    if result.scene.capture.layer:
        parts.append(result.scene.capture.layer)
    parts.append(f"{model.resolution} × {model.resolution}")
    return " · ".join(parts)


def _draw_title(context: PanelContext) -> None:
    text = title_text(context)
    max_width = imgui.get_window_width() - imgui.get_cursor_pos_x() - ui.em(1.8)
    text_shown = ui.elide_middle(text, max_width)
    imgui.same_line(imgui.get_window_width() - imgui.calc_text_size(text_shown).x - ui.em(0.9))
    imgui.text_colored(theme.color_vec("dim"), text_shown)
    ui.register_item("Menu/heading")
    if text_shown != text:
        ui.tooltip(text)


def _entry(
    name: str, context: PanelContext, titles: Sequence[str], checked: dict[str, bool], disabled: set[str]
) -> None:
    if name == "-":
        imgui.separator()
    elif name == "recents":
        _recents_menu(context)
    elif name == "panels":
        _floating_menu(context, titles)
    elif name == "scale":
        _scale_menu(context)
    elif name == "greet":
        _preference(context, name, "Move at the start", "The demo network moves gently until the first touch")
    elif name == "smooth":
        _preference(context, name, "Smooth large pixels", "Blends pixels above 200 %; off: each is a crisp square")
    else:
        command = BY_NAME[name]
        keys = key_label(command.keys) if command.keys else ""
        if imgui.menu_item_simple(command.title, keys, checked.get(name, False), name not in disabled):
            context.post_command(name)
        ui.register_item(f"Menu/{command.title}")
        ui.tooltip(command.meaning)


def _preference(context: PanelContext, name: str, title: str, meaning: str) -> None:
    """Draw the entry that switches a preference on and off."""
    value = bool(context.settings[name])
    if imgui.menu_item_simple(title, "", value):
        context.post_command("settings.set", name, not value)
    ui.register_item(f"Menu/{title}")
    ui.tooltip(meaning)


def _recents_menu(context: PanelContext) -> None:
    recents = context.settings.get("recents") or ()
    if imgui.begin_menu("Open recent", bool(recents)):
        for path in recents:
            if imgui.menu_item_simple(f"{Path(path).name}##{path}"):
                context.post_command("file.open", path)
            ui.tooltip(path)
        imgui.end_menu()


def _floating_menu(context: PanelContext, titles: Sequence[str]) -> None:
    """Draw the submenu that floats panels and docks them again."""
    floating = tuple(context.settings.get("floating") or ())
    if imgui.begin_menu("Panels in windows of their own"):
        for title in titles:
            if imgui.menu_item_simple(title, "", title in floating):
                others = tuple(other for other in floating if other != title)
                context.post_command("settings.set", "floating", others if title in floating else (*floating, title))
            ui.register_item(f"Menu/apart {title}")
        imgui.end_menu()
    ui.register_item("Menu/Panels in windows of their own")


def _scale_menu(context: PanelContext) -> None:
    if imgui.begin_menu("Size of the interface"):
        for scale in SCALES:
            if imgui.menu_item_simple(f"{scale:.0%}", "", context.settings.get("scale") == scale):
                context.post_command("settings.set", "scale", scale)
        imgui.end_menu()
