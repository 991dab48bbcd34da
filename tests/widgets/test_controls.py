"""What a hand can do to a control: fill, drag, type, nudge, reset."""

from dataclasses import dataclass
from typing import Annotated

import pytest
from imgui_bundle import imgui
from panel_stage import ImguiContext, PanelHost, make_context

from gui.controls import ui
from gui.panel import Panel
from gui.style import theme
from session import Latent, Scene, Transform, Truncation
from session.fields import Range, Record
from widgets import PANELS

TRUNCATION = tuple(panel for panel in PANELS if panel.title == "Truncation")
LATENT = tuple(panel for panel in PANELS if panel.title == "Latent")
TRANSFORM = tuple(panel for panel in PANELS if panel.title == "Transform")


@pytest.fixture
def screen():
    with ImguiContext() as screen:
        yield screen


def test_a_slider_goes_where_it_is_clicked_and_reads_what_it_stores(screen: ImguiContext):
    host = PanelHost(TRUNCATION, Scene(), make_context())
    screen.click(host, "Truncation/psi", across=0.5)
    psi = host.scene.truncation.psi
    assert psi == pytest.approx(0.5, abs=0.02)
    assert psi == round(psi, 3)  # the number on the screen, not its 32-bit neighbour


def test_dragging_a_slider_past_its_end_stops_at_the_bound(screen: ImguiContext):
    host = PanelHost(TRUNCATION, Scene(), make_context())
    screen.drag(host, "Truncation/psi", "Truncation/psi", (0.5, 3.0))
    assert host.scene.truncation.psi == 2.0


def test_typing_into_a_slider_takes_the_number_and_keeps_it_within_bounds(screen: ImguiContext):
    host = PanelHost(TRUNCATION, Scene(), make_context())
    for typed, taken in (("0.325", 0.325), ("77", 2.0), ("-9", -1.0), ("nonsense", -1.0)):
        imgui.get_io().add_key_event(imgui.Key.mod_ctrl, True)
        screen.click(host, "Truncation/psi")
        imgui.get_io().add_key_event(imgui.Key.mod_ctrl, False)
        screen.type(host, typed)
        screen.press(host, imgui.Key.enter)
        assert host.scene.truncation.psi == taken


def test_the_dot_stands_only_by_a_changed_value_and_resets_it(screen: ImguiContext):
    host = PanelHost(TRUNCATION, Scene(), make_context())
    screen.frames(host, 2)
    assert "Truncation/psi reset" not in ui.ITEM_RECTS
    host.scene = Scene(truncation=Truncation(psi=0.4))
    screen.click(host, "Truncation/psi reset")
    assert host.scene == Scene()


def test_the_dot_of_two_numbers_resets_both(screen: ImguiContext):
    host = PanelHost(TRANSFORM, Scene(transform=Transform(translate_x=0.5, translate_y=-0.5)), make_context())
    screen.click(host, "Transform/translate_x reset")
    assert host.scene == Scene()


def test_shift_drags_ten_times_finer(screen: ImguiContext):
    moved = []
    for shift in (False, True):
        host = PanelHost(TRANSFORM, Scene(), make_context())
        imgui.get_io().add_key_event(imgui.Key.mod_shift, shift)
        screen.drag(host, "Transform/rotate", "Transform/rotate", (0.2, 0.9))
        moved.append(host.scene.transform.rotate)
    imgui.get_io().add_key_event(imgui.Key.mod_shift, False)
    assert moved[0] > 5
    assert moved[1] == pytest.approx(moved[0] / 10, rel=0.2)


def test_arrow_keys_nudge_what_lies_under_the_mouse(screen: ImguiContext):
    host = PanelHost(TRUNCATION, Scene(truncation=Truncation(psi=0.5)), make_context())
    screen.hover(host, "Truncation/psi")
    screen.press(host, imgui.Key.right_arrow)
    assert host.scene.truncation.psi == pytest.approx(0.505)
    screen.press(host, imgui.Key.left_arrow)
    screen.press(host, imgui.Key.left_arrow)
    assert host.scene.truncation.psi == pytest.approx(0.495)


def test_the_largest_seed_can_be_typed_and_the_next_one_is_zero(screen: ImguiContext):
    host = PanelHost(LATENT, Scene(), make_context())
    screen.click(host, "Latent/seed", across=0.3)
    imgui.get_io().add_key_event(imgui.Key.mod_ctrl, True)
    screen.press(host, imgui.Key.a)
    imgui.get_io().add_key_event(imgui.Key.mod_ctrl, False)
    screen.type(host, "4294967295")
    screen.press(host, imgui.Key.enter)
    assert host.scene.latent == Latent(seed=2**32 - 1)
    screen.click(host, "Latent/seed", across=0.97)
    assert host.scene.latent == Latent(seed=0)


def test_a_value_that_no_hand_would_set_stays_until_a_hand_sets_another(screen: ImguiContext):
    scene = Scene(truncation=Truncation(psi=0.123456789, cutoff=63))
    host = PanelHost(TRUNCATION, scene, make_context())
    screen.hover(host, "Truncation/psi")
    screen.hover(host, "Truncation/cutoff")
    assert host.scene == scene


@dataclass(frozen=True)
class Odd(Record):
    share: Annotated[float, Range(0, 1, "%"), "A unit that printf would stumble over"] = 0.5
    near: Annotated[float, Range(1e-4, 1e4, log=True), "Eight decades"] = 1.0


def test_any_unit_and_any_scale_can_be_shown(screen: ImguiContext):
    values_seen = {"odd": Odd()}

    def draw(value: Scene, context_for: object) -> Scene:
        values_seen["odd"] = ui.slider(ui.slider(values_seen["odd"], "share"), "near")
        return value

    host = PanelHost((Panel("Odd", Scene, draw),), Scene(), make_context())
    screen.click(host, "Odd/near", across=0.75)
    assert values_seen["odd"].near == pytest.approx(100, rel=0.3)
    assert values_seen["odd"].share == 0.5


def test_text_can_be_read_on_every_ground_of_both_themes():
    """WCAG 2.2: 4.5 to 1 for words, 3 to 1 for what is off and for signs."""
    for name, palette in theme.PALETTES.items():
        for ground in (palette.panel, palette.field, palette.field_active, palette.button, palette.popup):
            assert contrast(palette.text, ground) >= 7, name
            assert contrast(palette.dim, ground) >= 4, name
            assert contrast(palette.faint, ground) >= 2.4, name
        assert contrast(palette.dim, palette.panel) >= 4.5, name
        assert contrast(palette.faint, palette.panel) >= 3, name
        assert contrast(palette.on_accent, palette.accent) >= 4.5, name
        for sign in (palette.accent, palette.amber, palette.red, *palette.series):
            assert contrast(sign, palette.panel) >= 3, (name, sign)


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(code: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in theme.rgba(code)[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_control_out_of_sight_can_be_brought_into_sight(screen: ImguiContext):
    def small(index: int, panel: Panel) -> None:
        imgui.set_next_window_pos((0, 0))
        imgui.set_next_window_size((320, 150))

    host = PanelHost(TRANSFORM, Scene(), make_context(), arrange=small)
    screen.frames(host, 2)
    assert ui.ITEM_RECTS["Transform/growth"][3] > 150
    ui.scroll_to("Transform/growth")
    screen.frames(host, 3)
    assert 0 < ui.ITEM_RECTS["Transform/growth"][1] < ui.ITEM_RECTS["Transform/growth"][3] < 150
