"""The layout of panels: sections of a left and a right column, tabs of a drawer at the bottom, floating windows.

Columns and floating panels can be docked anywhere; which panels are folded, floating or open is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from imgui_bundle import imgui

from gui.controls import ui
from gui.panel import Panel
from gui.preferences import Preferences
from gui.style import fonts, theme

WINDOWS = {"left": "Controls###left", "right": "Look inside###right"}
CANVAS = "Picture###canvas"
LEFT, RIGHT = 21.5, 21.5  # em: widths of the columns at the first start
HANDLE = 4.0  # pixels of the line that resizes the drawer

DrawPanel = Callable[[Panel], None]


def draw_dock_space(size: tuple[float, float], rebuild: bool) -> None:
    """Draw the dock space of columns and canvas; `rebuild` restores the first layout."""
    flags = imgui.DockNodeFlags_.auto_hide_tab_bar
    name = imgui.get_id("space")
    if rebuild or imgui.internal.dock_builder_get_node(name) is None:
        _build(name, size)
    imgui.dock_space(name, size, flags)


def rescale(ratio: float) -> None:
    """Scale the width of the columns with the text."""
    for title in WINDOWS.values():
        window = imgui.internal.find_window_by_name(title)
        node = window.dock_node if window is not None else None
        if node is not None:
            imgui.internal.dock_builder_set_node_size(node.id_, (node.size.x * ratio, node.size.y))


def draw_column(
    side: str, panels: Sequence[Panel], prefs: Preferences, draw: DrawPanel, is_modified: Callable[[Panel], bool]
) -> Preferences:
    """Draw one column of foldable sections; return the changed preferences."""
    imgui.begin(WINDOWS[side], None, imgui.WindowFlags_.no_collapse)
    for panel in panels:
        if panel.dock == side and panel.title not in prefs.floating:
            open_now = panel.title not in prefs.closed
            folded, prefs = _header(panel, open_now, is_modified(panel), prefs)
            if open_now:
                draw(panel)
                imgui.dummy((0, ui.em(0.35)))
            if folded:
                prefs = replace(prefs, closed=_toggle(prefs.closed, panel.title))
    imgui.end()
    return prefs


def draw_floating(panels: Sequence[Panel], prefs: Preferences, draw: DrawPanel) -> Preferences:
    """Draw the floating panels; closing one returns it to its column."""
    for panel in panels:
        if panel.title in prefs.floating:
            imgui.set_next_window_size((ui.em(22), ui.em(24)), imgui.Cond_.first_use_ever)
            is_visible, stays_open = imgui.begin(
                f"{panel.title}###float {panel.title}", True, imgui.WindowFlags_.no_collapse
            )
            if is_visible:
                draw(panel)
            imgui.end()
            if not stays_open:
                prefs = replace(prefs, floating=_toggle(prefs.floating, panel.title))
    return prefs


def drawer_height(panels: Sequence[Panel], prefs: Preferences) -> float:
    """The drawer's height in pixels: the line of tabs, and the open panel."""
    line = imgui.get_frame_height() + HANDLE
    return line + (ui.em(prefs.drawer_height) if _open_panel(panels, prefs) else 0)


def draw_drawer(panels: Sequence[Panel], prefs: Preferences, draw: DrawPanel, height: float) -> Preferences:
    """Draw the drawer, `height` pixels high: a click on a tab opens its panel, another click closes it."""
    open_panel = _open_panel(panels, prefs)
    corner, width = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail().x
    imgui.get_window_draw_list().add_line(corner, (corner.x + width, corner.y), theme.color("line"))
    imgui.invisible_button("handle", (width, HANDLE))
    if open_panel is not None:
        if imgui.is_item_hovered() or imgui.is_item_active():
            imgui.set_mouse_cursor(imgui.MouseCursor_.resize_ns)
        if imgui.is_item_active():
            em = prefs.drawer_height - imgui.get_io().mouse_delta.y / imgui.get_font_size()
            prefs = replace(prefs, drawer_height=min(max(em, 6.0), 40.0))
    imgui.set_cursor_pos((imgui.get_style().item_inner_spacing.x / 2, corner.y - imgui.get_window_pos().y + HANDLE))
    tabs = [panel for panel in panels if panel.dock == "bottom" and panel.title not in prefs.floating]
    for index, panel in enumerate(tabs):
        if index:
            imgui.same_line(0, ui.em(0.25))
        if _tab(panel, panel is open_panel):
            prefs = replace(prefs, drawer="" if panel is open_panel else panel.title)
    if open_panel is not None:
        line = HANDLE + imgui.get_frame_height()
        imgui.set_cursor_screen_pos((corner.x, corner.y + line))
        imgui.push_style_color(imgui.Col_.child_bg, theme.color_vec("panel"))
        imgui.push_style_var(imgui.StyleVar_.window_padding, (ui.em(0.75), ui.em(0.5)))
        imgui.begin_child("drawer", (width, height - line), imgui.ChildFlags_.always_use_window_padding)
        draw(open_panel)
        imgui.end_child()
        imgui.pop_style_var()
        imgui.pop_style_color()
    return prefs


@contextmanager
def canvas_window() -> Iterator[None]:
    """The docked window of the canvas; it has no tab."""
    kind = imgui.WindowClass()
    kind.dock_node_flags_override_set = int(imgui.internal.DockNodeFlagsPrivate_.no_tab_bar)
    imgui.set_next_window_class(kind)
    imgui.push_style_var(imgui.StyleVar_.window_padding, (0, 0))
    flags = imgui.WindowFlags_.no_scrollbar | imgui.WindowFlags_.no_scroll_with_mouse | imgui.WindowFlags_.no_collapse
    imgui.begin(CANVAS, None, flags | imgui.WindowFlags_.no_background)  # the canvas paints its own background, once
    imgui.pop_style_var()
    try:
        yield
    finally:
        imgui.end()


def _open_panel(panels: Sequence[Panel], prefs: Preferences) -> Panel | None:
    known = (panel for panel in panels if panel.dock == "bottom" and panel.title not in prefs.floating)
    return next((panel for panel in known if panel.title == prefs.drawer), None)


def _tab(panel: Panel, active: bool) -> bool:
    imgui.push_style_color(imgui.Col_.button, theme.color_vec("panel") if active else (0, 0, 0, 0))
    imgui.push_style_color(imgui.Col_.text, theme.color_vec("text" if active else "dim"))
    pressed = imgui.button(f"{panel.title}##tab")
    imgui.pop_style_color(2)
    ui.register_item(f"Tabs/{panel.title}")
    ui.tooltip(panel.meaning)
    return pressed


def _header(panel: Panel, open_now: bool, is_modified: bool, prefs: Preferences) -> tuple[bool, Preferences]:
    """Draw the header of a section; return whether it was clicked, and the preferences after its context menu."""
    imgui.push_id(f"header {panel.title}")
    width, height = imgui.get_content_region_avail().x, imgui.get_frame_height()
    corner, draw = imgui.get_cursor_screen_pos(), imgui.get_window_draw_list()
    clicked = imgui.invisible_button("fold", (width, height))
    hovered = imgui.is_item_hovered()
    ui.register_item(f"{panel.title}/")
    ui.tooltip(panel.meaning)
    if imgui.begin_popup_context_item("menu"):
        if imgui.menu_item_simple("Open in a window of its own"):
            prefs = replace(prefs, floating=_toggle(prefs.floating, panel.title))
        imgui.end_popup()
    edge = imgui.get_style().window_padding.x
    if hovered:
        low, high = (corner.x - edge, corner.y), (corner.x + width + edge, corner.y + height)
        draw.add_rect_filled(low, high, theme.color("text", 0.04))
    ui.disclosure_triangle((corner.x + ui.em(0.4), corner.y + height / 2), open_now, "faint")
    text = (corner.x + ui.em(1.1), corner.y + (height - imgui.get_font_size()) / 2)
    fonts.push_bold()
    draw.add_text(text, theme.color("text"), panel.title)
    dot_x = text[0] + imgui.calc_text_size(panel.title).x + ui.em(0.6)
    imgui.pop_font()
    if is_modified and not open_now:
        draw.add_circle_filled((dot_x, corner.y + height / 2), ui.em() * 0.18, theme.color("accent"))
    imgui.pop_id()
    return clicked, prefs


def _toggle(titles: tuple[str, ...], title: str) -> tuple[str, ...]:
    return tuple(other for other in titles if other != title) if title in titles else (*titles, title)


def _build(name: int, size: tuple[float, float]) -> None:
    builder = imgui.internal
    builder.dock_builder_remove_node(name)
    builder.dock_builder_add_node(name, int(imgui.internal.DockNodeFlagsPrivate_.dock_space))
    builder.dock_builder_set_node_size(name, size)
    left, remainder = _split(name, imgui.Dir.left, min(ui.em(LEFT) / size[0], 0.4))
    right, center = _split(remainder, imgui.Dir.right, min(ui.em(RIGHT) / (size[0] - ui.em(LEFT)), 0.45))
    builder.dock_builder_dock_window(WINDOWS["left"], left)
    builder.dock_builder_dock_window(WINDOWS["right"], right)
    builder.dock_builder_dock_window(CANVAS, center)
    builder.dock_builder_finish(name)


def _split(node: int, side: imgui.Dir, fraction: float) -> tuple[int, int]:
    """Split a part off a node; return the part and the remainder."""
    result = imgui.internal.dock_builder_split_node(node, side, fraction)
    return result.id_at_dir, result.id_at_opposite_dir
