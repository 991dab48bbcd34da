"""Shows the error of a panel that raises in the panel's place, so that the rest of the window goes on."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

from imgui_bundle import imgui

from gui.controls import ui

T = TypeVar("T")


def draw_guarded(title: str, draw: Callable[[], T], fallback: T) -> T:
    """Return what `draw()` returns; if it raises, show the error and return `fallback`."""
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
    """Call `draw()` and return what it raises, if anything; imgui's stacks (groups, colors, tables) are restored."""
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
    """The traceback as text, for a bug report."""
    return "".join(traceback.format_exception(error))
