"""What a hand can do to a control: fill, drag, type, nudge, reset."""

from dataclasses import dataclass
from typing import Annotated

import pytest
from imgui_bundle import imgui
from panel_stage import Room, Stage, now

from gui.controls import ui
from gui.panel import Panel
from gui.style import theme
from session import Latent, Scene, Transform, Truncation
from session.fields import Part, Range
from widgets import PANELS

TRUNCATION = tuple(panel for panel in PANELS if panel.title == "Truncation")
LATENT = tuple(panel for panel in PANELS if panel.title == "Latent")
TRANSFORM = tuple(panel for panel in PANELS if panel.title == "Transform")


@pytest.fixture
def room():
    with Room() as room:
        yield room


def test_a_slider_goes_where_it_is_clicked_and_reads_what_it_stores(room: Room):
    stage = Stage(TRUNCATION, Scene(), now())
    room.click(stage, "Truncation/psi", across=0.5)
    psi = stage.scene.truncation.psi
    assert psi == pytest.approx(0.5, abs=0.02)
    assert psi == round(psi, 3)  # the number on the screen, not its 32-bit neighbour


def test_dragging_a_slider_past_its_end_stops_at_the_bound(room: Room):
    stage = Stage(TRUNCATION, Scene(), now())
    room.drag(stage, "Truncation/psi", "Truncation/psi", (0.5, 3.0))
    assert stage.scene.truncation.psi == 2.0


def test_typing_into_a_slider_takes_the_number_and_keeps_it_within_bounds(room: Room):
    stage = Stage(TRUNCATION, Scene(), now())
    for typed, taken in (("0.325", 0.325), ("77", 2.0), ("-9", -1.0), ("nonsense", -1.0)):
        imgui.get_io().add_key_event(imgui.Key.mod_ctrl, True)
        room.click(stage, "Truncation/psi")
        imgui.get_io().add_key_event(imgui.Key.mod_ctrl, False)
        room.type(stage, typed)
        room.press(stage, imgui.Key.enter)
        assert stage.scene.truncation.psi == taken


def test_the_dot_stands_only_by_a_changed_value_and_resets_it(room: Room):
    stage = Stage(TRUNCATION, Scene(), now())
    room.frames(stage, 2)
    assert "Truncation/psi reset" not in ui.ITEM_RECTS
    stage.scene = Scene(truncation=Truncation(psi=0.4))
    room.click(stage, "Truncation/psi reset")
    assert stage.scene == Scene()


def test_the_dot_of_two_numbers_resets_both(room: Room):
    stage = Stage(TRANSFORM, Scene(transform=Transform(translate_x=0.5, translate_y=-0.5)), now())
    room.click(stage, "Transform/translate_x reset")
    assert stage.scene == Scene()


def test_shift_drags_ten_times_finer(room: Room):
    moved = []
    for shift in (False, True):
        stage = Stage(TRANSFORM, Scene(), now())
        imgui.get_io().add_key_event(imgui.Key.mod_shift, shift)
        room.drag(stage, "Transform/rotate", "Transform/rotate", (0.2, 0.9))
        moved.append(stage.scene.transform.rotate)
    imgui.get_io().add_key_event(imgui.Key.mod_shift, False)
    assert moved[0] > 5
    assert moved[1] == pytest.approx(moved[0] / 10, rel=0.2)


def test_arrow_keys_nudge_what_lies_under_the_mouse(room: Room):
    stage = Stage(TRUNCATION, Scene(truncation=Truncation(psi=0.5)), now())
    room.hover(stage, "Truncation/psi")
    room.press(stage, imgui.Key.right_arrow)
    assert stage.scene.truncation.psi == pytest.approx(0.505)
    room.press(stage, imgui.Key.left_arrow)
    room.press(stage, imgui.Key.left_arrow)
    assert stage.scene.truncation.psi == pytest.approx(0.495)


def test_the_largest_seed_can_be_typed_and_the_next_one_is_zero(room: Room):
    stage = Stage(LATENT, Scene(), now())
    room.click(stage, "Latent/seed", across=0.3)
    imgui.get_io().add_key_event(imgui.Key.mod_ctrl, True)
    room.press(stage, imgui.Key.a)
    imgui.get_io().add_key_event(imgui.Key.mod_ctrl, False)
    room.type(stage, "4294967295")
    room.press(stage, imgui.Key.enter)
    assert stage.scene.latent == Latent(seed=2**32 - 1)
    room.click(stage, "Latent/seed", across=0.97)
    assert stage.scene.latent == Latent(seed=0)


def test_a_value_that_no_hand_would_set_stays_until_a_hand_sets_another(room: Room):
    scene = Scene(truncation=Truncation(psi=0.123456789, cutoff=63))
    stage = Stage(TRUNCATION, scene, now())
    room.hover(stage, "Truncation/psi")
    room.hover(stage, "Truncation/cutoff")
    assert stage.scene == scene


@dataclass(frozen=True)
class Odd(Part):
    share: Annotated[float, Range(0, 1, "%"), "A unit that printf would stumble over"] = 0.5
    near: Annotated[float, Range(1e-4, 1e4, log=True), "Eight decades"] = 1.0


def test_any_unit_and_any_scale_can_be_shown(room: Room):
    kept = {"odd": Odd()}

    def draw(value: Scene, told: object) -> Scene:
        kept["odd"] = ui.slider(ui.slider(kept["odd"], "share"), "near")
        return value

    stage = Stage((Panel("Odd", Scene, draw),), Scene(), now())
    room.click(stage, "Odd/near", across=0.75)
    assert kept["odd"].near == pytest.approx(100, rel=0.3)
    assert kept["odd"].share == 0.5


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


def test_a_control_out_of_sight_can_be_brought_into_sight(room: Room):
    def small(index: int, panel: Panel) -> None:
        imgui.set_next_window_pos((0, 0))
        imgui.set_next_window_size((320, 150))

    stage = Stage(TRANSFORM, Scene(), now(), arrange=small)
    room.frames(stage, 2)
    assert ui.ITEM_RECTS["Transform/growth"][3] > 150
    ui.scroll_to("Transform/growth")
    room.frames(stage, 3)
    assert 0 < ui.ITEM_RECTS["Transform/growth"][1] < ui.ITEM_RECTS["Transform/growth"][3] < 150
