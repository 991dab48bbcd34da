"""What is shown of a layer or a picture: channels, gain, colours, spectra, and where a moved picture lies."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import scene_of
from test_renderer_stages import pixels

from networks import load_network
from networks.architectures import stylegan3
from networks.sampling import draw_latents, to_uint8
from renderer.engine import Engine
from renderer.errors import RenderError
from renderer.inspectors import ChannelSelection, inspect
from renderer.inspectors.colormaps import apply_colormap
from session import Capture, Inspect, Model, Picture, Scene, Spectrum, Transform


def shown(scene: Scene) -> np.ndarray:
    return pixels(Engine().render(scene))


@torch.no_grad()  # as the renderer computes
def layer_map(path: Path, name: str) -> torch.Tensor:
    """What comes out of a layer for seed 0, [C, H, W]."""
    network = load_network(path).generator
    step = network.synthesis.step(name)
    return network.synthesis.run(network.mapping(draw_latents([0], 16)[0]), stop=step.index + 1).x[0]


def test_a_layers_channels_are_shown_as_colours_or_one_by_one(networks: dict[str, Path]) -> None:
    features = layer_map(networks["T"], "L1_24_16")
    expected = to_uint8(features)
    base = scene_of(networks["T"])
    three = shown(replace(base, capture=Capture("L1_24_16", channel=4)))
    assert np.array_equal(three[:, :, :3], expected[4:7].permute(1, 2, 0).numpy())
    one = shown(replace(base, capture=Capture("L1_24_16", channel=4, rgb=False)))
    assert all(np.array_equal(one[:, :, k], expected[4].numpy()) for k in range(3))
    assert (one[:, :, 3] == 255).all()


def test_a_channel_beyond_the_last_shows_the_last(networks: dict[str, Path]) -> None:
    base = scene_of(networks["T"])
    far = Engine().render(replace(base, capture=Capture("L1_24_16", channel=60000)))
    last = shown(replace(base, capture=Capture("L1_24_16", channel=13)))
    assert np.array_equal(pixels(far), last)


def test_an_unknown_layer_is_one_sentence_that_helps(networks: dict[str, Path]) -> None:
    engine = Engine()
    with pytest.raises(RenderError, match="no layer 'L1_24_61': did you mean L1_24_16"):
        engine.render(scene_of(networks["T"], capture=Capture("L1_24_61")))
    with pytest.raises(RenderError, match="known are b4.conv1"):
        engine.render(scene_of(networks["SG2"], capture=Capture("???")))
    assert engine.render(scene_of(networks["SG2"], capture=Capture("b8.torgb"))).height == 8


def test_gain_and_normalisation_act_on_what_is_shown() -> None:
    values = torch.stack([torch.linspace(-0.1, 0.1, 64).reshape(8, 8), torch.full((8, 8), 0.0)])
    look = ChannelSelection(values, 0, 1)
    louder = inspect(Inspect(picture=Picture(gain_db=20)), look).colors
    assert torch.equal(louder[0], to_uint8(values[0] * 10))
    whole = inspect(Inspect(picture=Picture(normalize=True)), look).colors
    assert (int(whole.min()), int(whole.max())) == (0, 255)
    silent = inspect(Inspect(picture=Picture(normalize=True)), ChannelSelection(values, 1, 1)).colors
    assert (silent == 128).all()


def test_colour_scales_begin_and_end_as_published() -> None:
    ends = torch.tensor([[0.0, 1.0, math.nan, -5.0, 5.0]])
    for name, low, high in (
        ("viridis", "440154", "fde725"),
        ("magma", "000004", "fcfdbf"),
        ("cividis", "00224e", "fee838"),
        ("grey", "000000", "ffffff"),
    ):
        painted = [bytes(colour).hex() for colour in apply_colormap(ends, name)[:, 0].T.tolist()]
        assert painted == [low, high, low, low, high]


def test_a_waves_frequency_stands_in_cycles_per_image_width() -> None:
    size, widths, cycles = 48, 1.5, 8  # a map with a margin: 1.5 image widths across, 8 cycles a width
    across = torch.arange(size) / size * widths
    wave = torch.sin(2 * math.pi * cycles * across).expand(1, size, size)
    seen = inspect(Inspect("spectrum"), ChannelSelection(wave, 0, 1, width=widths))
    frequency, power = seen.readings["frequency"], seen.readings["power_db"]
    assert abs(frequency[power.argmax()] - cycles) <= 1 / widths
    assert float(seen.readings["nyquist"][0]) == pytest.approx(16)
    assert power[(frequency > 12)].max() < power.max() - 40
    assert seen.colors.shape == (3, size, size)


def test_the_spectrum_is_of_all_channels_or_of_those_shown() -> None:
    torch.manual_seed(0)
    noise = torch.randn(6, 32, 32)
    for everything, channels in ((True, noise), (False, noise[2:5])):
        settings = Inspect("spectrum", spectrum=Spectrum(all_channels=everything))
        alone = inspect(settings, ChannelSelection(channels, 0, 3)).readings["power_db"]
        assert np.array_equal(inspect(settings, ChannelSelection(noise, 2, 3)).readings["power_db"], alone)


def test_readings_stay_small_and_statistics_are_those_of_the_map(networks: dict[str, Path]) -> None:
    features = layer_map(networks["T"], "L2_24_16")
    finished = Engine().render(
        scene_of(networks["T"], capture=Capture("L2_24_16", channel=1), inspect=Inspect("spectrum"))
    )
    assert sum(reading.nbytes for reading in finished.readings.values()) <= 65536
    assert finished.readings["histogram"].sum() == features.numel()
    stats = finished.stats
    assert (stats.mean, stats.std) == pytest.approx(
        (float(features.mean()), float(features.std(correction=0))), abs=1e-5
    )
    assert stats.max_abs == float(features.abs().max())
    assert stats.shown_max_abs == float(features[1:4].abs().max())


def test_whole_pixels_move_the_finished_picture_exactly(networks: dict[str, Path]) -> None:
    base = scene_of(networks["SG2"])
    still = shown(base)
    move = Transform(translate_x=0.26, translate_y=-0.49, whole_pixels=True, at_input=False)  # 4 right, 8 up
    moved = shown(replace(base, transform=move))
    assert np.array_equal(moved[:8, 4:], still[8:, :12])
    assert (moved[8:, :, 3] == 0).all()
    assert (moved[:, :4, 3] == 0).all()


def test_a_network_without_a_transform_has_its_picture_moved(networks: dict[str, Path]) -> None:
    base = scene_of(networks["SG2"], transform=Transform(rotate=20))
    off = replace(base, transform=Transform(rotate=20, at_input=False))
    assert np.array_equal(shown(base), shown(off))
    assert not Engine().render(base).model.has_transform


def test_undo_moves_the_finished_picture_back(networks: dict[str, Path]) -> None:
    base = scene_of(networks["T"])
    still = shown(base)
    there_and_back = Transform(translate_x=0.25, whole_pixels=True, at_input=False, undo=True)
    back = shown(replace(base, transform=there_and_back))
    covered = back[:, :, 3] == 255
    assert np.array_equal(back[covered], still[covered])
    assert covered[:, :12].all()
    assert not covered[:, 12:].any()


def test_the_input_moves_by_the_published_convention(networks: dict[str, Path]) -> None:
    network = load_network(networks["R"]).generator
    assert isinstance(network, stylegan3.Generator)
    angle, (tx, ty) = math.radians(30), (0.1, -0.05)
    forward = [[math.cos(angle), math.sin(angle), tx], [-math.sin(angle), math.cos(angle), ty], [0, 0, 1]]
    network.synthesis.input.transform.copy_(torch.linalg.inv(torch.tensor(forward, dtype=torch.float64)))
    expected = to_uint8(network(draw_latents([0], 16)[0]))[0].permute(1, 2, 0).numpy()
    scene = scene_of(networks["R"], transform=Transform(translate_x=tx, translate_y=ty, rotate=30))
    assert np.array_equal(shown(scene)[:, :, :3], expected)


def test_extreme_transforms_still_give_a_picture(networks: dict[str, Path]) -> None:
    for at_input in (True, False):
        for scale in (0.1, 10.0):
            move = Transform(translate_x=2, translate_y=-2, rotate=359, scale=scale, at_input=at_input, undo=True)
            assert shown(scene_of(networks["T"], transform=move)).shape == (16, 16, 4)


def test_blue_first_files_are_shown_with_red_first(networks: dict[str, Path]) -> None:
    rgb = shown(scene_of(networks["T"]))
    bgr = shown(Scene(model=Model(path=str(networks["T"]), channel_order="bgr")))
    assert np.array_equal(bgr[:, :, :3], rgb[:, :, 2::-1])
