"""Every panel draws any document without editing it, for any network, and every field can be reached by hand."""

import random
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from imgui_bundle import imgui
from panel_stage import ImguiContext, PanelHost, alias_free, make_context, spectrum_view, style2

from gui.chrome.menu_bar import title_text
from gui.controls import ui
from gui.panel import PanelContext
from renderer.messages import ModelInfo, RenderProgress
from session import Capture, Latent, Mixing, Model, Noise, Scene, Transform, Truncation
from session.fields import Field, Record, describe, leaf_fields
from widgets import PANELS

NAMES = ("gas giant", "100 % ##rocky " * 4, "ocean", "lava")
MODELS = {
    "no network": None,
    "alias-free": alias_free(),
    "alias-free with classes": alias_free(5),
    "names": replace(alias_free(4), classes=NAMES),
    "StyleGAN2": style2(),
    "StyleGAN2 with classes": style2(1000),
}
ELSEWHERE = {"inspect.show"}  # a button of the section Spectrum


def random_part(kind: type, rng: random.Random) -> Any:
    return kind(**{name: random_value(field, rng) for name, field in describe(kind).items()})


def random_value(field: Field, rng: random.Random) -> Any:
    if field.is_tuple:
        item = replace(field, is_tuple=False)
        return tuple(sorted({random_value(item, rng) for _ in range(rng.randrange(5))}))
    if issubclass(field.kind, Record):
        return random_part(field.kind, rng)
    if field.optional and rng.random() < 0.3:
        return None
    if field.choice:
        return rng.choice(field.choice.values)
    if field.kind is bool:
        return rng.random() < 0.5
    if field.kind is str:
        return rng.choice(
            ["", "b16.conv1", "L4_84_1024", "no such layer", "/a/very/long/path " * 6, "100 % ü 漢 %s %n"]
        )
    assert field.range is not None
    low, high = field.range.low, field.range.high
    if rng.random() < 0.3:
        return field.kind(rng.choice([low, high]))
    return rng.randint(int(low), int(high)) if field.kind is int else rng.uniform(low, high)


SECTIONS = ("Layers/Spectrum", "Model/Details", "Latent/Projected picture")


def context_for(scene: Scene, model: ModelInfo | None, **other: Any) -> PanelContext:
    plain = make_context(scene, model, **other)
    return replace(plain, request_view=lambda name, asked: spectrum_view(name, asked, plain)) if model else plain


@pytest.fixture
def screen():
    with ImguiContext() as screen:
        yield screen


@pytest.fixture
def unfolded(screen: ImguiContext) -> ImguiContext:
    """A room in which the sections that are folded at first have been opened."""
    for place in SECTIONS:
        screen.click(PanelHost(by_title(place.partition("/")[0]), Scene(), context_for(Scene(), alias_free())), place)
    return screen


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_drawing_any_document_leaves_it_as_it_was(unfolded: ImguiContext, model: ModelInfo | None):
    screen = unfolded
    rng = random.Random(1)
    for panel in PANELS:
        for _ in range(40):
            scene = random_part(Scene, rng)
            host = PanelHost((panel,), scene, context_for(scene, model))
            screen.frames(host, 2)
            assert host.scene == scene, panel.title
            assert not host.posted


def test_every_field_of_a_picture_can_be_reached_in_some_panel(unfolded: ImguiContext):
    screen = unfolded
    for model in (alias_free(5), style2()):
        screen.frames(PanelHost(PANELS, Scene(), context_for(Scene(), model)), 3)
        names = {place.partition("/")[2] for place in ui.ITEM_RECTS}
        for place, field in leaf_fields(Scene):
            if place not in ELSEWHERE:
                assert field.name in names or place.partition(".")[2] in names, f"no panel shows {place}"


def test_the_right_button_brings_every_field_back_to_its_default(unfolded: ImguiContext):
    screen = unfolded
    changed = {
        "Truncation/psi": Scene(truncation=Truncation(psi=0.5)),
        "Truncation/cutoff": Scene(truncation=Truncation(psi=0.5, cutoff=3)),
        "Latent/seed": Scene(latent=Latent(seed=7)),
        "Latent/x": Scene(latent=Latent(x=0.25)),
        "Latent/class_index": Scene(latent=Latent(class_index=3)),
        "Latent/projected": Scene(latent=Latent(projected="w.npz")),
        "Mixing/layers": Scene(mixing=Mixing(layers=(1, 5))),
        "Noise/mode": Scene(noise=Noise(mode="none")),
        "Transform/translate_y": Scene(transform=Transform(translate_y=0.5)),
        "Transform/scale": Scene(transform=Transform(scale=2.0)),
        "Transform/undo": Scene(transform=Transform(undo=True)),
        "Layers/channel": Scene(capture=Capture("b16.conv1", 5)),
        "Model/channel_order": Scene(model=Model(channel_order="bgr")),
    }
    for place, scene in changed.items():
        host = PanelHost(by_title(place.partition("/")[0]), scene, context_for(scene, style2(10)))
        screen.click(host, place, button=1)
        before, after = (dict(values(each)) for each in (scene, host.scene))
        edited = {name for name in before if before[name] != after[name]}
        assert edited == {next(name for name in edited if name.endswith(place.partition("/")[2]))}, place
        assert all(after[name] == field.default for name, field in leaf_fields(Scene) if name in edited), place


def test_a_control_that_is_off_does_not_edit_and_says_why(screen: ImguiContext):
    scene = Scene(truncation=Truncation(psi=1.0, cutoff=3), noise=Noise(mode="const", seed=4))
    for place in ("Noise/mode", "Noise/seed", "Noise/rate", "Latent/class_index", "Truncation/cutoff"):
        for button in (0, 1):
            host = PanelHost(by_title(place.partition("/")[0]), scene, context_for(scene, alias_free()))
            screen.drag(host, place, place, (0.2, 0.8))
            screen.click(host, place, button, across=0.97)
            assert host.scene == scene, place


def test_entering_a_path_asks_for_that_network(screen: ImguiContext):
    host = PanelHost(by_title("Model"), Scene(), context_for(Scene(), style2()))
    screen.click(host, "Model/path")
    screen.type(host, "/runs/00003")
    screen.press(host, imgui.Key.enter)
    assert host.posted == [("file.open", "/runs/00003")]
    assert host.scene == Scene()


def test_leaving_the_path_without_enter_opens_nothing(unfolded: ImguiContext):
    screen = unfolded
    host = PanelHost(by_title("Model"), Scene(), context_for(Scene(), style2()))
    screen.click(host, "Model/path")
    screen.type(host, "/runs/00003")
    screen.click(host, "Model/weights")
    screen.press(host, imgui.Key.escape)
    assert not host.posted
    assert host.scene.model.path == ""


def test_a_text_is_taken_when_its_field_is_left_and_dropped_on_escape(unfolded: ImguiContext):
    screen = unfolded
    host = PanelHost(by_title("Latent"), Scene(), context_for(Scene(), style2()))
    for last, taken in ((imgui.Key.escape, ""), (imgui.Key.tab, "w.npz")):
        screen.click(host, "Latent/projected")
        screen.type(host, "w.npz")
        assert host.scene.latent.projected == ""
        screen.press(host, last)
        assert host.scene.latent.projected == taken
    screen.click(host, "Latent/projected")
    screen.type(host, "other.npz")
    screen.click(host, "Latent/Play")
    assert host.scene.latent.projected == "other.npz"


def test_recent_networks_open_with_two_clicks(screen: ImguiContext):
    plain = context_for(Scene(), style2())
    host = PanelHost(
        by_title("Model"), Scene(), replace(plain, settings={**plain.settings, "recents": ["/a.pkl", "/b.pkl"]})
    )
    screen.click(host, "Model/Recent")
    screen.click(host, "Model/Recent /b.pkl")
    assert host.posted == [("file.open", "/b.pkl")]


def test_pinning_holds_the_session_to_the_file_that_was_read(unfolded: ImguiContext):
    screen = unfolded
    model = style2()
    host = PanelHost(by_title("Model"), Scene(), context_for(Scene(), model))
    screen.click(host, "Model/digest", across=0.05)
    assert host.scene.model.digest == model.digest
    screen.click(host, "Model/digest", across=0.05)
    assert host.scene.model.digest == ""


def test_any_device_can_be_typed(unfolded: ImguiContext):
    screen = unfolded
    host = PanelHost(by_title("Model"), Scene(), context_for(Scene(), style2()))
    screen.click(host, "Model/device")
    screen.click(host, "Model/device other")
    screen.type(host, "cuda:3")
    screen.press(host, imgui.Key.enter)
    assert host.scene.compute.device == "cuda:3"


def test_a_slow_load_shows_how_far_it_is(screen: ImguiContext):
    progress = RenderProgress("canvas", 1, "Downloading stylegan3-r-ffhq-1024x1024.pkl", 0.42)
    screen.frames(PanelHost(by_title("Model"), Scene(), replace(make_context(), progress=progress)), 2)
    assert "Model/progress" in ui.ITEM_RECTS


def test_dragging_on_the_map_moves_between_seeds_and_the_wheel_shows_more_of_them(screen: ImguiContext):
    host = PanelHost(by_title("Latent"), Scene(latent=Latent(seed=500)), context_for(Scene(), style2()))
    screen.drag(host, "Latent/pad", "Latent/pad", (0.5, 0.6))  # a tenth of five seeds
    assert host.scene.latent.seed in (500, 501)
    moved = host.scene.latent.seed + host.scene.latent.x - 500
    assert moved == pytest.approx(0.5, abs=0.15)
    assert host.scene.latent.y == 0
    host.scene = Scene(latent=Latent(seed=500))
    imgui.get_io().add_mouse_wheel_event(0, -5)
    screen.frames(host, 4)
    screen.drag(host, "Latent/pad", "Latent/pad", (0.5, 0.6))
    assert host.scene.latent.seed + host.scene.latent.x - 500 > 1.5 * moved


def test_with_ctrl_the_map_moves_by_whole_seeds(screen: ImguiContext):
    host = PanelHost(by_title("Latent"), Scene(latent=Latent(seed=500, x=0.3)), context_for(Scene(), style2()))
    imgui.get_io().add_key_event(imgui.Key.mod_ctrl, True)
    screen.drag(host, "Latent/pad", "Latent/pad", (0.3, 0.72))
    imgui.get_io().add_key_event(imgui.Key.mod_ctrl, False)
    assert host.scene.latent == Latent(seed=502)


def test_a_click_on_a_seed_of_the_map_goes_there(screen: ImguiContext):
    host = PanelHost(by_title("Latent"), Scene(latent=Latent(seed=500)), context_for(Scene(), style2()))
    screen.click(host, "Latent/pad", across=0.7)  # the next seed of five is a fifth to the right
    assert host.scene.latent == Latent(seed=501)


def test_the_class_that_the_seed_draws_is_named_and_can_be_chosen(screen: ImguiContext):
    host = PanelHost(by_title("Latent"), Scene(), context_for(Scene(), alias_free(5)))
    screen.click(host, "Latent/class_index", across=0.97)  # the button +
    assert host.scene.latent.class_index == 0
    screen.click(host, "Latent/class_index", across=0.85)  # the button -
    assert host.scene.latent.class_index is None


def test_a_class_is_chosen_by_its_name_or_stepped_through(screen: ImguiContext):
    host = PanelHost(by_title("Latent"), Scene(), context_for(Scene(), MODELS["names"]))

    def chosen_class() -> int | None:
        return host.scene.latent.class_index

    screen.click(host, "Latent/class_index", across=0.3)
    screen.click(host, "Latent/class_index lava")
    assert chosen_class() == 3
    assert "Latent/class_index ocean" not in ui.ITEM_RECTS  # the list has closed
    for across, number in ((0.97, 3), (0.85, 2), (0.85, 1), (0.85, 0), (0.85, None), (0.85, None), (0.97, 0)):
        screen.click(host, "Latent/class_index", across=across)
        assert chosen_class() == number
    screen.hover(host, "Latent/class_index", across=0.3)
    screen.press(host, imgui.Key.right_arrow)
    assert chosen_class() == 1
    screen.click(host, "Latent/class_index", across=0.3)
    screen.click(host, "Latent/class_index from the seed")
    assert chosen_class() is None
    host = PanelHost(by_title("Mixing"), Scene(), context_for(Scene(), MODELS["names"]))
    screen.click(host, "Mixing/class_index", across=0.3)
    screen.click(host, "Mixing/class_index ocean")
    assert host.scene.mixing.class_index == 2


def test_a_class_is_chosen_by_keys_alone_once_the_list_is_open(screen: ImguiContext):
    host = PanelHost(by_title("Latent"), Scene(latent=Latent(class_index=1)), context_for(Scene(), MODELS["names"]))
    screen.click(host, "Latent/class_index", across=0.3)
    screen.press(host, imgui.Key.down_arrow)
    screen.press(host, imgui.Key.down_arrow)
    screen.press(host, imgui.Key.enter)
    assert host.scene.latent.class_index == 3


def test_in_a_long_list_of_classes_typing_finds_one(screen: ImguiContext):
    model = replace(style2(1000), classes=tuple(f"Kind {number}" for number in range(1000)))
    host = PanelHost(by_title("Latent"), Scene(), context_for(Scene(), model))
    screen.click(host, "Latent/class_index", across=0.3)
    assert sum(place.startswith("Latent/class_index Kind") for place in ui.ITEM_RECTS) < 30  # only those in sight
    screen.type(host, "kind 77")
    screen.press(host, imgui.Key.enter)
    assert host.scene.latent.class_index == 77
    screen.click(host, "Latent/class_index", across=0.3)
    assert "Latent/class_index Kind 77" in ui.ITEM_RECTS
    assert "Latent/class_index Kind 2" not in ui.ITEM_RECTS  # the list opens where the class is
    screen.type(host, "7")
    assert "Latent/class_index Kind 7" in ui.ITEM_RECTS  # and what is found, at its top
    screen.type(host, "98")
    screen.click(host, "Latent/class_index Kind 798")
    screen.click(host, "Latent/class_index", across=0.3)
    screen.type(host, "998")
    screen.click(host, "Latent/class_index Kind 998")
    assert host.scene.latent.class_index == 998


def test_a_class_that_the_network_does_not_have_stays_until_a_hand_sets_another(screen: ImguiContext):
    scene = Scene(latent=Latent(class_index=70))
    host = PanelHost(by_title("Latent"), scene, context_for(scene, MODELS["names"]))
    screen.hover(host, "Latent/class_index", across=0.3)
    assert host.scene == scene
    screen.click(host, "Latent/class_index", across=0.85)
    assert host.scene.latent.class_index == 3


def test_the_title_names_the_class(screen: ImguiContext):
    assert title_text(context_for(Scene(), MODELS["names"])) == "network · ocean · 1024 × 1024"
    assert title_text(context_for(Scene(), alias_free(4))) == "network · class 2 · 1024 × 1024"


def test_drawing_over_rows_switches_them_together(screen: ImguiContext):
    host = PanelHost(by_title("Mixing"), Scene(), context_for(Scene(), alias_free()))
    screen.drag(host, "Mixing/layers 2", "Mixing/layers 5")
    assert host.scene.mixing.layers == (2, 3, 4, 5)
    screen.drag(host, "Mixing/layers 3", "Mixing/layers 4")
    assert host.scene.mixing.layers == (2, 5)


def test_coarse_middle_and_fine_are_all_rows_once(screen: ImguiContext):
    for model in (alias_free(), style2()):
        seen: list[int] = []
        for name in ("Coarse", "Middle", "Fine"):
            host = PanelHost(by_title("Mixing"), Scene(), context_for(Scene(), model))
            screen.click(host, f"Mixing/{name}")
            seen += host.scene.mixing.layers
        assert seen == list(range(model.num_ws))


def test_a_click_in_the_table_looks_into_a_layer(screen: ImguiContext):
    host = PanelHost(by_title("Layers"), Scene(), context_for(Scene(), alias_free()))
    screen.click(host, "Layers/layer L1_36_1024", across=0.1)
    assert host.scene.capture == Capture(layer="L1_36_1024")
    screen.click(host, "Layers/layer Picture", across=0.1)
    assert host.scene == Scene()


def test_arrow_keys_walk_through_the_layers(screen: ImguiContext):
    host = PanelHost(by_title("Layers"), Scene(), context_for(Scene(), alias_free()))
    screen.click(host, "Layers/layer input", across=0.1)
    screen.press(host, imgui.Key.down_arrow)
    assert host.scene.capture.layer == "L0_36_1024"
    screen.press(host, imgui.Key.up_arrow)
    screen.press(host, imgui.Key.up_arrow)
    assert host.scene.capture.layer == ""


def test_a_layer_that_was_chosen_elsewhere_comes_into_sight(screen: ImguiContext):
    host = PanelHost(by_title("Layers"), Scene(), context_for(Scene(), alias_free()))
    screen.frames(host, 2)
    host.scene = Scene(capture=Capture(layer="L14_1024_3"))
    screen.frames(host, 3)
    _, top, _, bottom = ui.ITEM_RECTS["Layers/layer"]
    _, high, _, low = ui.ITEM_RECTS["Layers/layer L14_1024_3"]
    assert top <= high < low <= bottom


def test_the_spectrum_is_asked_for_only_while_its_section_is_open(screen: ImguiContext):
    asked: list[str] = []
    plain = context_for(Scene(), alias_free())

    def watching(name: str, scene: Scene):
        asked.append(scene.inspect.show)
        return spectrum_view(name, scene, plain)

    host = PanelHost(by_title("Layers"), Scene(), replace(plain, request_view=watching))
    screen.frames(host, 3)
    assert not asked
    screen.click(host, "Layers/Spectrum")
    assert set(asked) == {"spectrum"}
    assert host.scene == Scene()
    screen.click(host, "Layers/On the canvas")
    assert host.scene.inspect.show == "spectrum"


def test_the_frame_limit_is_a_preference_and_leaves_the_document_alone(screen: ImguiContext):
    host = PanelHost(by_title("Performance"), Scene(), context_for(Scene(), style2()))
    screen.click(host, "Performance/frame_limit", across=0.98)
    assert host.posted == [("settings.set", "frame_limit", 61)]
    assert host.scene == Scene()


def test_a_panel_keeps_its_height_while_values_change(screen: ImguiContext):
    """Nothing jumps: the same controls are in the same places for other values of the same network."""
    rng = random.Random(3)
    for panel in PANELS:
        heights = []
        for _ in range(4):
            scene = replace(random_part(Scene, rng), capture=Capture())
            screen.frames(PanelHost((panel,), scene, context_for(scene, style2(10))), 2)
            bottoms = partial(max, (bottom for *_, bottom in ui.ITEM_RECTS.values()))
            heights.append(bottoms())
        assert np.ptp(heights) == 0, panel.title


def by_title(title: str):
    return tuple(panel for panel in PANELS if panel.title == title)


def values(part: Record, prefix: str = ""):
    for name, field in describe(type(part)).items():
        value = getattr(part, name)
        if isinstance(value, Record) and not field.is_tuple:
            yield from values(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
