"""One frame of the program: clock, panels, history, request, answer, canvas. Knows no window and no torch.

app = App(PANELS, OtherProcess(), session, folder=config_folder())
screen.frame(app)          # a Window or a Headless draws it as often as it likes
app.close()
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from imgui_bundle import imgui

from gui import actions, preferences
from gui.autosave import Keeper
from gui.canvas import drag_tools, overlays
from gui.canvas.canvas import Canvas
from gui.canvas.views import Client, Pictures, rate
from gui.chrome import docking, error_boundary, file_dialog, menu_bar, shortcuts, status_bar, toasts
from gui.controls import ui
from gui.document import Document
from gui.panel import Now, Panel
from renderer.messages import RendererLost, RenderFailure
from session import Scene, Session, codec

MOVING, RESTING = 1 / 12, 5.0  # seconds between frames of a window to which nothing happens
LONGEST = 0.5  # seconds of the clock that one frame may take: after a pause, motion goes on and does not jump
ARROWS = (imgui.Key.left_arrow, imgui.Key.right_arrow, imgui.Key.up_arrow, imgui.Key.down_arrow)
VERSION = "0.1.0"


class App:
    """The program without its window. The client stays the caller's; everything else is closed by `close`."""

    def __init__(
        self,
        panels: Sequence[Panel],
        client: Client,
        session: Session | None = None,
        *,
        folder: Path,
        first_touch_stops: bool = False,
    ) -> None:
        """`session` None: the one of last time, kept in `folder` with the settings. `first_touch_stops`: the document
        moves by itself until it is touched, and a hint says what can be done."""
        self.prefs, kept, notes = preferences.load(folder)
        self.document = Document(session or kept or Session())
        self.canvas = Canvas()
        self.toasts = toasts.Toasts()
        self.keeper = Keeper(folder, self.prefs, kept, self.toasts.say)
        self.browser = file_dialog.Browser()
        self.pictures = Pictures(client, self._hear)
        self.untouched = first_touch_stops
        if first_touch_stops and not self.prefs.greet:
            self.document.settle()
        self.closing = self.bare = self.window_wanted = False
        self.rebuild_layout = self._fresh = True
        self.showing = ""  # "keys" or "about" while that lies over the window
        self.panels = tuple(panels)
        self._asked: list[tuple[str, tuple[Any, ...]]] = []
        self._frames: deque[float] = deque(maxlen=120)
        self._em = self.prefs.layout_em or 0.0
        self._looked_stale = self._closed = False
        self._held = False  # a hand is at it, and previews are welcome
        self._ahead = 0.0  # seconds of this frame that the document's clock has already gone
        for note in notes:
            self.toasts.say(note, "warning")

    @property
    def theme(self) -> str:
        return self.prefs.theme

    @property
    def scale(self) -> float:
        return self.prefs.scale

    @property
    def title(self) -> str:
        """What the window is called."""
        return f"{self.pictures.model.name} – Bandlimit" if self.pictures.model else "Bandlimit"

    @property
    def scene(self) -> Scene:
        """What the canvas is asked to show."""
        return self.document.scene

    @property
    def interval(self) -> float:
        """Seconds from one frame to the next while neither input nor a picture comes."""
        soon = self.document.moving or self.toasts.shown or self.pictures.progress or self.keeper.writing or self._asked
        soon = soon or self.pictures.finer
        return MOVING if soon else RESTING

    @property
    def waiting(self) -> bool:
        """Whether a picture is due."""
        return self.pictures.waiting

    @property
    def waiting_since(self) -> float | None:
        """Since when a picture is due, by time.perf_counter; None: none is."""
        return self.pictures.waiting_since

    @property
    def answers(self) -> int:
        """How many the renderer has given so far."""
        return self.pictures.answers

    def ask(self, name: str, *arguments: Any) -> None:
        """Ask for a command; it is carried out at the end of the frame."""
        self._asked.append((name, arguments))

    def drop(self, paths: Sequence[str]) -> None:
        """Files were dropped on the window; the first counts."""
        if paths:
            self.ask("file.drop", paths[0])

    def poll(self, seconds: float = 0.0) -> bool:
        """Take what the renderer has; whether anything new is to be drawn.

        `seconds` have passed since the last poll or frame. Where things move by themselves, an answer at once makes
        the next question: the renderer works while the frame is painted.
        """
        before = self._looked_stale
        self._looked_stale = self.pictures.stale
        news = self.pictures.poll() or self._looked_stale != before
        if news and seconds and self.document.moving:
            self._tick(seconds)
            self._ahead += seconds
            self.pictures.show(self.document.scene, self._held)
        if self.keeper.due:
            self._keep()
        return news

    def touched(self) -> None:
        """A person has begun to work: what moved by itself as a greeting stops where it is."""
        if self.untouched:
            self.untouched = False
            self.document.settle()

    def draw(self) -> None:
        """All of one frame."""
        seconds = imgui.get_io().delta_time
        self.poll()
        ui.begin_frame()
        if any(imgui.is_mouse_clicked(button) for button in range(3)) or imgui.get_io().mouse_wheel:
            self.touched()
        self._tick(max(seconds - self._ahead, 0.0))
        self._ahead = 0.0
        now = self._now()
        for name in shortcuts.pressed():
            self.ask(name)
        if shortcuts.left():  # a mode is left, never the program
            self.bare, self.canvas.tool = False, "latent"
        self._windows(now, seconds)
        if not imgui.internal.get_active_id() and not any(imgui.is_key_down(key) for key in ARROWS):
            self.document.end_gesture()
        asked, self._asked = self._asked, []
        for name, arguments in asked:
            actions.run(self, name, *arguments)
        self._held = self.prefs.preview and any(imgui.is_mouse_down(button) for button in range(3))
        self.pictures.show(self.document.scene, moving=self._held)
        self.pictures.forget_unused()
        self.keeper.report()

    def after_drawing(self, read_pixels: Callable[[], np.ndarray]) -> None:
        """The frame is painted: count it, and save it where that was asked for."""
        self._frames.append(time.perf_counter())
        if self.window_wanted:
            self.window_wanted = False
            self.save_png(read_pixels(), None)

    def save_png(self, pixels: np.ndarray, session: Session | None) -> None:
        """Write pixels under the next free number of the capture folder, on another thread; a toast says where."""
        self.keeper.save_png(pixels, session, self.prefs.captures)

    def close(self) -> None:
        """Keep settings and document, free the textures; needs the OpenGL context."""
        if self._closed:
            return
        self._closed = True
        self.keeper.close()
        imgui.get_io().want_save_ini_settings = not self._fresh  # what was moved last is not noted yet
        self._keep(now=True)
        self.keeper.report(_to_terminal)
        self.pictures.close()

    def _tick(self, seconds: float) -> None:
        self.document.tick(min(seconds, LONGEST))

    def _now(self) -> Now:
        pictures, problem = self.pictures, self.pictures.canvas.problem
        return Now(
            session=self.document.session,
            scene=self.document.scene,
            model=pictures.model,
            result=pictures.canvas.result,
            problem=problem.problem if problem else "",
            progress=pictures.progress,
            time=self.document.time,
            playing=self.document.playing,
            pace=pictures.meter.pace(rate(self._frames), pictures.transport),
            settings=self._settings(),
            ask=self.ask,
            view=pictures.view,
        )

    def _settings(self) -> dict[str, Any]:
        settings = codec.plain(self.prefs)
        return {**settings, "capture_folder": str(self.prefs.captures), "last_saved": self.keeper.last_saved}

    def _windows(self, now: Now, seconds: float) -> None:
        ticked = {f"tool.{name}": self.canvas.tool == name for name in drag_tools.TOOLS}
        ticked |= {"view.play": self.document.playing, "view.panels": not self.bare}
        off = {name for name, can in self._possible().items() if not can}
        top = menu_bar.draw(now, [panel.title for panel in self.panels], ticked, off)
        self._host(now, top)
        if not self.bare:
            draw = self._draw_panel(now)
            for side in ("left", "right"):
                self.prefs = docking.column(side, self.panels, self.prefs, draw, self._differs)
            self.prefs = docking.floating(self.panels, self.prefs, draw)
        box = self.canvas.box
        foot = ui.em(5.2) if now.progress else 0.0
        self.toasts.draw(box[:2], (box[0] + box[2], box[1] + box[3] - foot), seconds)
        if (error := error_boundary.caught(self.browser.draw)) is not None:
            self.browser.leave()
            self.went_wrong(error)
        if self.showing == "keys" and not overlays.keys(True):
            self.showing = ""
        if self.showing == "about" and not overlays.about(True, now, VERSION):
            self.showing = ""

    def prepare(self) -> None:
        """Before the first frame: put the windows where they were."""
        if self._fresh:
            self._fresh = False
            self.rebuild_layout = not self.prefs.layout
            if self.prefs.layout:
                imgui.load_ini_settings_from_memory(self.prefs.layout)

    def _host(self, now: Now, top: float) -> None:
        """The ground of the window: docked columns and the canvas, the drawer at the bottom, the status line."""
        view = imgui.get_main_viewport()
        imgui.set_next_window_pos((view.pos.x, view.pos.y + top))
        imgui.set_next_window_size((view.size.x, view.size.y - top))
        imgui.push_style_var(imgui.StyleVar_.window_padding, (0, 0))
        imgui.push_style_var(imgui.StyleVar_.item_spacing, (0, 0))
        flags = imgui.WindowFlags_.no_decoration | imgui.WindowFlags_.no_docking | imgui.WindowFlags_.no_move
        flags |= imgui.WindowFlags_.no_bring_to_front_on_focus | imgui.WindowFlags_.no_saved_settings
        flags |= imgui.WindowFlags_.no_background  # the frame begins with its colour
        imgui.begin("host", None, flags | imgui.WindowFlags_.no_nav_focus)
        imgui.pop_style_var()
        line = imgui.get_font_size() + ui.em(0.4)
        below = line if self.bare else line + docking.drawer_height(self.panels, self.prefs)
        size = (view.size.x, max(view.size.y - top - below, 1.0))
        if self.bare:
            imgui.begin_child("bare", size)
            self._canvas(now)
            imgui.end_child()
        else:
            self._follow_text()
            docking.dock(size, self.rebuild_layout)
            self.rebuild_layout = False
            imgui.pop_style_var()
            self.prefs = docking.drawer(self.panels, self.prefs, self._draw_panel(now), below - line)
            imgui.push_style_var(imgui.StyleVar_.item_spacing, (0, 0))
        imgui.set_cursor_pos((0, size[1] + below - line))
        status_bar.draw(now)
        imgui.pop_style_var()
        imgui.end()
        if not self.bare:
            with docking.canvas_window():
                self._canvas(now)

    def _follow_text(self) -> None:
        """Where text has become larger or smaller (another scale, another display), so do the columns."""
        em = imgui.get_font_size()
        if self._em and em != self._em and not self.rebuild_layout:
            docking.rescale(em / self._em)
        self._em = em

    def _canvas(self, now: Now) -> None:
        ground = "window" if self.bare else "canvas"
        self.canvas.draw(self.pictures.canvas, self.pictures.stale, self.document.scene, self.document.edit, ground)
        shown = now.result.scene if now.result else now.scene
        another = (shown.model, shown.compute) != (now.scene.model, now.scene.compute)
        overlays.waiting(self.canvas.box, now, self.cancel if another else None)
        if self.untouched and now.progress is None:
            overlays.hint(self.canvas.box)
        self.canvas.toolbar(self.ask)

    def _draw_panel(self, now: Now) -> docking.DrawPanel:
        """How a panel is drawn: it gets its slice, and what it returns goes into the document."""

        def draw(panel: Panel) -> None:
            before = self.document.slice_of(panel.edits)

            def inside() -> Any:
                with ui.panel(panel.title):
                    return panel.draw(before, now)

            after = error_boundary.guarded(panel.title, inside, before)
            if after != before:
                self.touched()
                active = imgui.internal.get_active_id()
                held = any(imgui.is_key_down(key) for key in ARROWS)
                gesture = f"{panel.title} {active}" if active else f"{panel.title} arrows" if held else None
                self.document.edit_slice(panel.edits, after, gesture)

        return draw

    def _differs(self, panel: Panel) -> bool:
        return panel.edits is not Scene and self.document.slice_of(panel.edits) != panel.edits()

    def _possible(self) -> dict[str, bool]:
        picture = self.pictures.canvas.result is not None
        return {
            "edit.undo": self.document.can_undo,
            "edit.redo": self.document.can_redo,
            "capture.picture": picture,
            "file.demo": bool(self.scene.model.path),
        }

    def cancel(self) -> None:
        """Give up on a network that is loading: back to the one that is shown, and to what went with it."""
        result, scene = self.pictures.canvas.result, self.document.scene
        if result is not None:
            was = result.scene
            latent = replace(scene.latent, class_index=was.latent.class_index, projected=was.latent.projected)
            mixing = replace(scene.mixing, class_index=was.mixing.class_index)
            scene = replace(scene, model=was.model, compute=was.compute, capture=was.capture)
            self.document.edit(replace(scene, latent=latent, mixing=mixing))

    def went_wrong(self, error: Exception) -> None:
        """Something failed that should not: say so, and let the program go on."""
        said = f"That could not be done ({type(error).__name__}: {error}): copy the details into a report."
        self.toasts.say(said, "error", error_boundary.details(error))

    def _hear(self, answer: RenderFailure | RendererLost) -> None:
        """The renderer has trouble: say so once, quietly where it mends itself."""
        if isinstance(answer, RendererLost):
            self.toasts.say(f"{answer.why} It is being started again; nothing is lost.", "note")
        else:
            self.toasts.say(answer.problem, "error", answer.details)

    def _keep(self, now: bool = False) -> None:
        """Let settings, layout and document be written where they have changed."""
        if imgui.get_io().want_save_ini_settings:
            imgui.get_io().want_save_ini_settings = False
            self.prefs = replace(self.prefs, layout=imgui.save_ini_settings_to_memory(), layout_em=self._em)
        # A greeting that nobody has touched is not kept: the next start greets again.
        self.keeper.keep(self.prefs, None if self.untouched else self.document.present, now=now)


def _to_terminal(text: str, kind: str = "note") -> None:
    """What goes wrong while the window closes is seen there or nowhere."""
    if kind != "note":
        sys.stderr.write(f"{text}\n")
