"""Keyboard shortcuts: "ctrl+shift+s" as an imgui key chord, and which commands were pressed in this frame."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache

from imgui_bundle import imgui

from gui.commands import COMMANDS

NAMES = {
    "+": imgui.Key.equal,  # where plus needs Shift, the key without Shift works too
    "-": imgui.Key.minus,
    "esc": imgui.Key.escape,
    **{str(digit): imgui.Key(int(imgui.Key._0) + digit) for digit in range(10)},
}
MODIFIERS = {"ctrl": imgui.Key.mod_ctrl, "shift": imgui.Key.mod_shift, "alt": imgui.Key.mod_alt}
EXTRA_KEYS = {
    "view.zoom_in": ("shift+equal", "keypad_add"),
    "view.zoom_out": ("keypad_subtract",),
    "edit.redo": ("ctrl+y",),
}
CLAIMED_KEYS = (
    imgui.Key.tab,
    imgui.Key.space,
)  # otherwise imgui navigates with Tab and presses buttons with Space
REPEATING_COMMANDS = ("edit.undo", "edit.redo", "view.zoom_in", "view.zoom_out")  # while the key is held


@cache
def chord(keys: str) -> int:
    """The imgui key chord of a text such as "ctrl+shift+s", "space", "+" or "f1". Raises KeyError."""
    *modifiers, last = _split_keys(keys)
    value = int(NAMES[last] if last in NAMES else imgui.Key[last])
    for modifier in modifiers:
        value |= int(MODIFIERS[modifier])
    return value


def key_label(keys: str) -> str:
    """A shortcut as shown to the user: "Ctrl+Shift+S"; with Cmd on a Mac, where imgui treats Cmd as Ctrl."""
    control = "Cmd" if sys.platform == "darwin" else "Ctrl"
    return "+".join(control if part == "ctrl" else part.capitalize() for part in _split_keys(keys))


def pressed_commands() -> Iterator[str]:
    """Names of the commands whose keys were pressed in this frame; none while typing, dragging or in a popup."""
    if not _accepts_shortcuts():
        return
    for key in CLAIMED_KEYS:
        imgui.internal.set_key_owner(key, imgui.get_id("keys"))
    dragging = imgui.is_any_item_active() and any(imgui.is_mouse_down(button) for button in range(3))
    if dragging:
        return
    for command in COMMANDS:
        texts = (command.keys, *EXTRA_KEYS.get(command.name, ())) if command.keys else ()
        if any(_is_pressed(text, command.name in REPEATING_COMMANDS) for text in texts):
            yield command.name


def escape_pressed() -> bool:
    """Whether Esc was pressed and no text field or dialog takes it."""
    return _accepts_shortcuts() and not imgui.is_any_item_active() and imgui.is_key_pressed(imgui.Key.escape, False)


def _accepts_shortcuts() -> bool:
    return not imgui.get_io().want_text_input and not imgui.is_popup_open("", imgui.PopupFlags_.any_popup)


def _split_keys(keys: str) -> list[str]:
    return [keys] if keys == "+" else keys.split("+")


def _is_pressed(keys: str, repeat: bool) -> bool:
    combined, modifiers = chord(keys), int(imgui.Key.mod_mask_)
    modifiers_held = int(imgui.get_io().key_mods)
    return modifiers_held == combined & modifiers and imgui.is_key_pressed(imgui.Key(combined & ~modifiers), repeat)
