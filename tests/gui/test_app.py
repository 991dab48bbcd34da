"""What the window must withstand: a killed renderer, damaged files, a panel that fails, no display."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gui.commands import COMMANDS
from gui.panel import Panel
from session import Model, Scene, Session, Truncation, codec
from widgets import PANELS

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_renderer_costs_nothing_but_a_moment(app, renderer):
    app.drag("Truncation/psi", to=0.3)
    app.wait_for_image()
    session, before = app.app.document.session, app.picture
    x, y = app.center("Picture")
    app.move((x, y))
    app.screen.press()
    app.move((x + 80, y + 20), 3)
    dragged = app.scene
    os.kill(renderer.pid, signal.SIGKILL)
    frames, end = 0, time.monotonic() + 1
    while time.monotonic() < end:
        app.frames()
        frames += 1
    assert frames > 5, "the window goes on while the renderer is away"
    app.screen.release()
    app.wait_for_image()
    assert app.scene == dragged
    assert app.app.views.canvas.result.scene == dragged
    app.press("ctrl+z")
    app.wait_for_image()
    assert app.app.document.session == session
    assert np.array_equal(app.picture, before)


def test_a_panel_that_raises_leaves_the_others_usable(start, network):
    from imgui_bundle import imgui

    def broken(value, now):
        imgui.begin_group()
        imgui.push_id("left open")
        imgui.begin_disabled()
        raise ValueError("no such thing")

    panels = (Panel("Broken", Truncation, broken), *PANELS)
    app = start(Session((Scene(model=Model(path=str(network))),)), panels=panels)
    app.frames(5)
    app.drag("Truncation/psi", to=0.4)
    assert app.scene.truncation.psi == pytest.approx(0.4, abs=0.02)
    app.click("Broken/Copy details")
    assert "ValueError: no such thing" in imgui.get_clipboard_text()


def test_a_panel_in_a_window_of_its_own_is_there_again_at_the_next_start(start):
    from imgui_bundle import imgui

    first = start()
    first.app.prefs = replace(first.app.prefs, floating=("Truncation",))
    first.frames(3)
    window = imgui.internal.find_window_by_name("Truncation###float Truncation")
    first.drag_between((window.pos.x + 60, window.pos.y + 8), (window.pos.x + 460, window.pos.y + 208))
    placed = (window.pos.x, window.pos.y)
    first.app.close()
    second = start()
    window = imgui.internal.find_window_by_name("Truncation###float Truncation")
    assert (window.pos.x, window.pos.y) == placed
    second.drag("Truncation/psi", to=0.5)
    assert second.scene.truncation.psi == pytest.approx(0.5, abs=0.03)


def test_every_command_can_be_asked_for(app):
    for command in COMMANDS:
        app.app.post_command(command.name)
        app.frames(2)
        app.press("esc")
        app.press("esc")
    assert app.app.closing
    assert not [text for text in app.messages if "no command" in text]


def test_undo_takes_back_a_new_session_and_a_reset(app):
    app.drag("Truncation/psi", to=0.3)
    before = app.scene
    for command in ("file.new", "edit.reset"):
        app.app.post_command(command)
        app.frames(2)
        assert app.scene.truncation == Truncation()
        app.press("ctrl+z")
        assert app.scene == before


def test_panels_can_be_hidden_folded_and_floated_and_the_layout_comes_back(app):
    app.press("tab")
    assert app.app.panels_hidden
    app.press("tab")
    assert not app.app.panels_hidden
    app.click("Menu/View")
    app.click("Menu/Panels in windows of their own")
    app.click("Menu/apart Truncation")
    app.press("esc")
    app.press("esc")
    assert app.app.prefs.floating == ("Truncation",)
    app.drag("Truncation/psi", to=0.5)
    assert app.scene.truncation.psi == pytest.approx(0.5, abs=0.03)
    app.app.post_command("view.layout")
    app.frames(3)
    assert app.app.prefs.floating == ()


def test_a_small_window_and_a_large_scale_still_work(start, network):
    app = start(Session((Scene(model=Model(path=str(network))),)), width=640, height=480)
    app.app.prefs = replace(app.app.prefs, scale=2.0)
    app.wait_for_image()
    app.screen.resize(1600, 900)
    app.frames(3)
    app.drag("Truncation/psi", to=0.5)
    assert app.scene.truncation.psi == pytest.approx(0.5, abs=0.03)


def test_closing_while_a_network_loads_is_quick(start, network):
    app = start(Session((Scene(model=Model(path=str(network))),)))
    began = time.monotonic()
    app.app.close()
    assert time.monotonic() - began < 2


def test_without_a_display_the_window_says_what_is_needed(tmp_path):
    code = (
        "from gui.preferences import Preferences; from gui.backend.window import Window\n"
        "from gui.backend.base import ScreenError\n"
        "try: Window(Preferences())\n"
        "except ScreenError as error: print(error)"
    )
    hidden = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=hidden, capture_output=True, text=True)
    assert "no display" in done.stdout, done.stderr


def test_a_session_from_the_hand_of_a_person_opens(app, tmp_path):
    (tmp_path / "hand.yaml").write_text("bandlimit: 1\nscenes:\n- truncation: {psi: 0.25}\n")
    app.app.drop([str(tmp_path / "hand.yaml")])
    app.frames(2)
    assert app.scene.truncation.psi == 0.25
    (tmp_path / "wrong.yaml").write_text("bandlimit: 1\nscenes:\n- truncation: {psi: 9}\n")
    app.app.drop([str(tmp_path / "wrong.yaml")])
    app.frames(2)
    assert "psi" in app.messages[-1]
    assert app.scene.truncation.psi == 0.25
    assert codec.from_yaml(codec.to_yaml(app.app.document.session)) == app.app.document.session
