"""The program without its window: builds each frame from clock, panels, history, renderer and canvas.

app = App(PANELS, SubprocessRenderer(), session, folder=config_folder())
screen.frame(app)          # a Window or a Headless draws it
app.close()

Imports no window library and no torch.
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
from gui.autosave import Autosave
from gui.canvas import drag_tools, overlays
from gui.canvas.canvas import Canvas
from gui.canvas.views import Client, ViewManager, events_per_second
from gui.chrome import docking, error_boundary, file_dialog, menu_bar, shortcuts, status_bar, toasts
from gui.controls import ui
from gui.document import Document, network_of, with_network_of
from gui.panel import Panel, PanelContext
from renderer.messages import RendererLost, RenderFailure
from session import Scene, Session, codec

ACTIVE_INTERVAL, IDLE_INTERVAL = 1 / 12, 5.0  # seconds between frames without input
MAX_TIME_STEP = 0.5  # seconds: the most that the document's clock advances in a frame, also after a pause
ARROW_KEYS = (imgui.Key.left_arrow, imgui.Key.right_arrow, imgui.Key.up_arrow, imgui.Key.down_arrow)
VERSION = "0.1.0"


class App:
    """The state of the program and its frame loop. `close` frees everything but the client, which is the caller's."""

    def __init__(
        self,
        panels: Sequence[Panel],
        client: Client,
        session: Session | None = None,
        *,
        folder: Path,
        start_in_attract_mode: bool = False,
    ) -> None:
        """Load the settings of `folder`; `session` None opens the session that was saved there.

        `start_in_attract_mode`: the document moves by itself until the first input, and a hint explains the mouse.
        """
        self.prefs, last_session, notes = preferences.load(folder)
        self.document = Document(session or last_session or Session())
        self.canvas = Canvas()
        self.toasts = toasts.Toasts()
        self.autosave = Autosave(folder, self.prefs, last_session, self.toasts.show)
        self.file_dialog = file_dialog.FileDialog()
        self.bookmarks_folder = folder / "bookmarks"
        self.views = ViewManager(client, self._on_renderer_problem)
        self.attract_mode = start_in_attract_mode
        if start_in_attract_mode and not self.prefs.greet:
            self.document.stop_motion()
        self.closing = self.panels_hidden = self.screenshot_requested = False
        self.rebuild_layout = self._layout_pending = True
        self.opening: str | None = None  # network that was asked for and has not been shown yet
        self.overlay = ""  # "keys" or "about" while that overlay is open
        self.panels = tuple(panels)
        self._pending_commands: list[tuple[str, tuple[Any, ...]]] = []
        self._frame_times: deque[float] = deque(maxlen=120)
        self._em = self.prefs.layout_em or 0.0
        self._was_outdated = self._closed = False
        self._mouse_down = False  # a mouse button is down: a preview will do
        self._clock_lead = 0.0  # seconds by which `poll` has already advanced the document's clock in this frame
        for note in notes:
            self.toasts.show(note, "warning")

    @property
    def theme(self) -> str:
        return self.prefs.theme

    @property
    def scale(self) -> float:
        return self.prefs.scale

    @property
    def title(self) -> str:
        """The title of the window."""
        return f"{self.views.model.name} – Bandlimit" if self.views.model else "Bandlimit"

    @property
    def scene(self) -> Scene:
        """The scene that the canvas requests."""
        return self.document.scene

    @property
    def interval(self) -> float:
        """Seconds from one frame to the next while there is neither input nor a new image."""
        active = (
            self.document.is_moving
            or self.toasts.shown
            or self.views.progress
            or self.autosave.is_writing
            or self._pending_commands
        )
        active = active or self.views.awaiting_exact
        return ACTIVE_INTERVAL if active else IDLE_INTERVAL

    @property
    def is_waiting(self) -> bool:
        """Whether an answer of the renderer is due."""
        return self.views.is_waiting

    @property
    def waiting_since(self) -> float | None:
        """When the oldest unanswered request was sent, by time.perf_counter; None: all are answered."""
        return self.views.waiting_since

    @property
    def answer_count(self) -> int:
        """Number of answers received from the renderer."""
        return self.views.answer_count

    def post_command(self, name: str, *arguments: Any) -> None:
        """Queue a command of gui/commands.py; it runs at the end of the frame."""
        self._pending_commands.append((name, arguments))

    def drop(self, paths: Sequence[str]) -> None:
        """Open the first of the files that were dropped on the window."""
        if paths:
            self.post_command("file.drop", paths[0])

    def poll(self, seconds: float = 0.0) -> bool:
        """Receive answers of the renderer; return whether a frame is to be drawn for them.

        `seconds` is the time since the last poll or frame. While the document moves by itself, an answer triggers the
        next request at once, so that the renderer works while the frame is painted.
        """
        before = self._was_outdated
        self._was_outdated = self.views.is_outdated
        has_news = self.views.poll() or self._was_outdated != before
        self._note_opened()
        if has_news and seconds and self.document.is_moving:
            self._advance_clock(seconds)
            self._clock_lead += seconds
            self.views.request_canvas(self.document.scene, self._mouse_down)
        if self.autosave.is_due:
            self._save_changed()
        return has_news

    def end_attract_mode(self) -> None:
        """End attract mode at the first input: what moved by itself stops where it is."""
        if self.attract_mode:
            self.attract_mode = False
            self.document.stop_motion()

    def draw(self) -> None:
        """Build one frame."""
        seconds = imgui.get_io().delta_time
        self.poll()
        ui.begin_frame()
        if any(imgui.is_mouse_clicked(button) for button in range(3)) or imgui.get_io().mouse_wheel:
            self.end_attract_mode()
        self._advance_clock(max(seconds - self._clock_lead, 0.0))
        self._clock_lead = 0.0
        context = self._panel_context()
        for name in shortcuts.pressed_commands():
            self.post_command(name)
        if shortcuts.escape_pressed():  # Esc leaves a mode, never the program
            self.panels_hidden, self.canvas.tool = False, "latent"
        self._draw_windows(context, seconds)
        if not imgui.internal.get_active_id() and not any(imgui.is_key_down(key) for key in ARROW_KEYS):
            self.document.end_gesture()
        commands, self._pending_commands = self._pending_commands, []
        for name, arguments in commands:
            actions.run(self, name, *arguments)
        self._mouse_down = self.prefs.preview and any(imgui.is_mouse_down(button) for button in range(3))
        self.views.request_canvas(self.document.scene, self._mouse_down, self.canvas.probe)
        self.views.forget_unused()
        self.autosave.flush_messages()

    def after_drawing(self, read_pixels: Callable[[], np.ndarray]) -> None:
        """Record the time of a painted frame, and save its pixels where a screenshot was requested."""
        self._frame_times.append(time.perf_counter())
        if self.screenshot_requested:
            self.screenshot_requested = False
            self.save_png(read_pixels(), None)

    def save_png(self, pixels: np.ndarray, session: Session | None) -> None:
        """Write an image under the next free number of the capture folder, on another thread; a toast says where."""
        self.autosave.save_png(pixels, session, self.prefs.capture_path)

    def close(self) -> None:
        """Save settings and document and free the textures. Needs the OpenGL context."""
        if self._closed:
            return
        self._closed = True
        self.autosave.close()
        # imgui notes changes of the layout only after a while
        imgui.get_io().want_save_ini_settings = not self._layout_pending
        self._save_changed(wait=True)
        self.autosave.flush_messages(_print_problem)
        self.views.close()

    def _advance_clock(self, seconds: float) -> None:
        self.document.advance(min(seconds, MAX_TIME_STEP))

    def _panel_context(self) -> PanelContext:
        views, problem = self.views, self.views.canvas.problem
        return PanelContext(
            session=self.document.session,
            scene=self.document.scene,
            model=views.model,
            result=views.canvas.result,
            problem=problem.message if problem else "",
            progress=views.progress,
            time=self.document.time,
            playing=self.document.playing,
            performance=views.meter.stats(events_per_second(self._frame_times), views.transport),
            settings=self._settings(),
            post_command=self.post_command,
            request_view=views.request_view,
        )

    def _settings(self) -> dict[str, Any]:
        folders = {"capture_folder": str(self.prefs.capture_path), "bookmarks_folder": self.bookmarks_folder}
        return {**codec.to_dict(self.prefs), **folders, "last_saved": self.autosave.last_saved}

    def _draw_windows(self, context: PanelContext, seconds: float) -> None:
        checked = {f"tool.{name}": self.canvas.tool == name for name in drag_tools.TOOLS}
        checked |= {"view.play": self.document.playing, "view.panels": not self.panels_hidden}
        disabled = {name for name, can in self._enabled_commands().items() if not can}
        top = menu_bar.draw(context, [panel.title for panel in self.panels], checked, disabled)
        self._draw_host_window(context, top)
        if not self.panels_hidden:
            draw = self._panel_drawer(context)
            for side in ("left", "right"):
                self.prefs = docking.draw_column(side, self.panels, self.prefs, draw, self._is_modified)
            self.prefs = docking.draw_floating(self.panels, self.prefs, draw)
        box = self.canvas.box
        bottom_margin = ui.em(5.2) if context.progress else 0.0
        self.toasts.draw(box[:2], (box[0] + box[2], box[1] + box[3] - bottom_margin), seconds)
        if (error := error_boundary.run_guarded(self.file_dialog.draw)) is not None:
            self.file_dialog.cancel()
            self.report_exception(error)
        if self.overlay == "keys" and not overlays.draw_keys(True):
            self.overlay = ""
        if self.overlay == "about" and not overlays.draw_about(True, context, VERSION):
            self.overlay = ""

    def prepare(self) -> None:
        """Restore the layout of the windows, before the first frame."""
        if self._layout_pending:
            self._layout_pending = False
            self.rebuild_layout = not self.prefs.layout
            if self.prefs.layout:
                imgui.load_ini_settings_from_memory(self.prefs.layout)

    def _draw_host_window(self, context: PanelContext, top: float) -> None:
        """Draw the window behind everything: docked columns and canvas, the drawer at the bottom, the status bar."""
        viewport = imgui.get_main_viewport()
        imgui.set_next_window_pos((viewport.pos.x, viewport.pos.y + top))
        imgui.set_next_window_size((viewport.size.x, viewport.size.y - top))
        imgui.push_style_var(imgui.StyleVar_.window_padding, (0, 0))
        imgui.push_style_var(imgui.StyleVar_.item_spacing, (0, 0))
        flags = imgui.WindowFlags_.no_decoration | imgui.WindowFlags_.no_docking | imgui.WindowFlags_.no_move
        flags |= imgui.WindowFlags_.no_bring_to_front_on_focus | imgui.WindowFlags_.no_saved_settings
        flags |= imgui.WindowFlags_.no_background  # the frame is cleared to this color already
        imgui.begin("host", None, flags | imgui.WindowFlags_.no_nav_focus)
        imgui.pop_style_var()
        line = imgui.get_font_size() + ui.em(0.4)
        below = line if self.panels_hidden else line + docking.drawer_height(self.panels, self.prefs)
        size = (viewport.size.x, max(viewport.size.y - top - below, 1.0))
        if self.panels_hidden:
            imgui.begin_child("bare", size)
            self._draw_canvas(context)
            imgui.end_child()
        else:
            self._rescale_docks()
            docking.draw_dock_space(size, self.rebuild_layout)
            self.rebuild_layout = False
            imgui.pop_style_var()
            self.prefs = docking.draw_drawer(self.panels, self.prefs, self._panel_drawer(context), below - line)
            imgui.push_style_var(imgui.StyleVar_.item_spacing, (0, 0))
        imgui.set_cursor_pos((0, size[1] + below - line))
        status_bar.draw(context, self.canvas.probe)
        imgui.pop_style_var()
        imgui.end()
        if not self.panels_hidden:
            with docking.canvas_window():
                self._draw_canvas(context)

    def _rescale_docks(self) -> None:
        """Scale the docked columns with the text where its size has changed (another scale, another display)."""
        em = imgui.get_font_size()
        if self._em and em != self._em and not self.rebuild_layout:
            docking.rescale(em / self._em)
        self._em = em

    def _draw_canvas(self, context: PanelContext) -> None:
        background = "window" if self.panels_hidden else "canvas"
        self.canvas.smooth = self.prefs.smooth
        self.canvas.draw(self.views.canvas, self.views.is_outdated, self.document.scene, self.document.edit, background)
        on_screen = context.result.scene if context.result else context.scene
        another = (on_screen.model, on_screen.compute) != (context.scene.model, context.scene.compute)
        overlays.draw_waiting(self.canvas.box, context, self.cancel if another else None)
        if self.attract_mode and context.progress is None:
            overlays.draw_hint(self.canvas.box)
        self.canvas.toolbar(self.post_command)

    def _panel_drawer(self, context: PanelContext) -> docking.DrawPanel:
        """Return the function that draws a panel: slice of the document in, edited slice out."""

        def draw(panel: Panel) -> None:
            before = self.document.slice_of(panel.part)

            def inside() -> Any:
                with ui.panel(panel.title):
                    return panel.draw(before, context)

            after = error_boundary.draw_guarded(panel.title, inside, before)
            if after != before:
                self.end_attract_mode()
                active = imgui.internal.get_active_id()
                arrow_held = any(imgui.is_key_down(key) for key in ARROW_KEYS)
                gesture = f"{panel.title} {active}" if active else f"{panel.title} arrows" if arrow_held else None
                self.document.edit_slice(panel.part, after, gesture)

        return draw

    def _is_modified(self, panel: Panel) -> bool:
        return panel.part is not Scene and self.document.slice_of(panel.part) != panel.part()

    def _enabled_commands(self) -> dict[str, bool]:
        picture = self.views.canvas.result is not None
        return {
            "edit.undo": self.document.can_undo,
            "edit.redo": self.document.can_redo,
            "capture.picture": picture,
            "file.demo": bool(self.scene.model.path),
        }

    def cancel(self) -> None:
        """Cancel a network that is loading: return to the network on screen and the settings that belong to it."""
        if (result := self.views.canvas.result) is not None:
            self.document.edit(with_network_of(self.document.scene, result.scene))

    def report_exception(self, error: Exception) -> None:
        """Show an unexpected error as a toast; the program goes on."""
        message = f"That could not be done ({type(error).__name__}: {error}): copy the details into a report."
        self.toasts.show(message, "error", error_boundary.format_traceback(error))

    def _on_renderer_problem(self, answer: RenderFailure | RendererLost) -> None:
        """Show a toast for a failed request or a renderer that ended."""
        if isinstance(answer, RendererLost):
            self.toasts.show(f"{answer.reason} It is being started again; nothing is lost.", "note")
        else:
            self.toasts.show(answer.message, "error", answer.details)
            self._withdraw_network(answer.scene)

    def _withdraw_network(self, failed: Scene) -> None:
        """Where another network than the one on screen could not be opened, go on with the one on screen."""
        result = self.views.canvas.result
        if result is None or network_of(failed) == network_of(result.scene):
            return  # something else of the scene cannot be rendered
        if failed.model.path == self.opening:
            self.opening = None
        self.document.withdraw_network(failed, result.scene)
        self.views.canvas.problem = None

    def _note_opened(self) -> None:
        """Remember a network among the recent ones once its first image is there."""
        result = self.views.canvas.result
        if self.opening is not None and result is not None and result.scene.model.path == self.opening:
            self.prefs = preferences.add_recent(self.prefs, self.opening)
            self.opening = None

    def _save_changed(self, wait: bool = False) -> None:
        """Save settings, layout and document where they have changed."""
        if imgui.get_io().want_save_ini_settings:
            imgui.get_io().want_save_ini_settings = False
            self.prefs = replace(self.prefs, layout=imgui.save_ini_settings_to_memory(), layout_em=self._em)
        # A document in attract mode is not saved, so that the next start is in attract mode again; nor is one with a
        # network that may turn out to be unreadable.
        unsure = self.opening is not None and not wait
        session = None if self.attract_mode or unsure else self.document.present
        self.autosave.save_changed(self.prefs, session, wait=wait)


def _print_problem(text: str, kind: str = "note") -> None:
    """Print what goes wrong while the window closes; toasts are no longer visible then."""
    if kind != "note":
        sys.stderr.write(f"{text}\n")
