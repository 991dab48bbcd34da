"""Keeps a panel that raises from taking the window with it: its place shows the error, all others go on."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

from imgui_bundle import imgui

from gui.controls import ui

T = TypeVar("T")


def draw_guarded(title: str, draw: Callable[[], T], fallback: T) -> T:
    """What `draw()` returns; where it raises, its error in its place, and `otherwise`."""
    result = fallback

    def call() -> None:
        nonlocal result
        result = draw()

    error = run_guarded(call)
    if error is not None:
        with ui.panel(title):
            ui.problem(f"{title} could not be drawn: {type(error).__name__}: {error}")
            if ui.button("Copy details", "For a bug report"):
                imgui.set_clipboard_text(format_traceback(error))
    return result


def run_guarded(draw: Callable[[], None]) -> Exception | None:
    """What `draw()` raises, if anything; what it left open (groups, colours, tables) is closed for it."""
    state = imgui.internal.ErrorRecoveryState()
    imgui.internal.error_recovery_store_state(state)
    try:
        draw()
    except Exception as error:  # noqa: BLE001 - it may fail in any way, and nothing may end the program
        io = imgui.get_io()
        io.config_error_recovery_enable_assert = False  # imgui sets it again after an error
        imgui.internal.error_recovery_try_to_recover_state(state)
        return error
    return None


def format_traceback(error: Exception) -> str:
    """For a bug report."""
    return "".join(traceback.format_exception(error))
