"""Seeds, classes, truncation, mixing, noise and projected files match what scripts compute."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from renderer_driver import read_pixels
from small_networks import scene_of

from networks import load_network
from networks.sampling import draw_latent, draw_latents, to_class_vectors, to_uint8
from renderer.engine import Engine
from renderer.errors import RenderError
from renderer.stages.latents import LatentError, read_projected
from session import Latent, Mixing, Noise, Scene, Truncation


def render_by_script(
    path: Path, seed: int, class_index: int | None = None, psi: float = 1.0, cutoff: int | None = None
) -> np.ndarray:
    """The image as a script with the public API renders it, uint8 [H, W, 3]."""
    network = load_network(path).generator
    z, c = draw_latents([seed], network.z_dim, network.c_dim)
    if class_index is not None:
        c = to_class_vectors(class_index, network.c_dim, 1)
    picture = network(z, c, truncation_psi=psi, truncation_cutoff=cutoff, noise_mode="const")
    return to_uint8(picture)[0].permute(1, 2, 0).numpy()


def render_rgb(scene: Scene) -> np.ndarray:
    return read_pixels(Engine().render(scene))[:, :, :3]


@pytest.mark.parametrize("family", ["T", "R", "SG2", "resnet", "classes"])
def test_a_seed_gives_the_image_that_a_script_gives(family: str, networks: dict[str, Path]) -> None:
    for seed in (0, 7, 2**32 - 1):
        expected = render_by_script(networks[family], seed)
        assert np.array_equal(render_rgb(scene_of(networks[family], latent=Latent(seed=seed))), expected)


def test_truncation_pulls_the_first_layers_to_the_average(networks: dict[str, Path]) -> None:
    for psi, cutoff in ((0.5, None), (0.0, None), (-0.7, 3), (0.4, 60)):
        scene = scene_of(networks["T"], truncation=Truncation(psi, cutoff))
        assert np.array_equal(render_rgb(scene), render_by_script(networks["T"], 0, psi=psi, cutoff=cutoff))


def test_without_a_class_it_is_the_one_that_the_seed_draws(networks: dict[str, Path]) -> None:
    scene = scene_of(networks["classes"], latent=Latent(seed=12))
    drawn = draw_latent(12, 16, 5)[1]
    assert Engine().render(scene).shown_class == drawn
    chosen = replace(scene, latent=Latent(seed=12, class_index=3))
    assert Engine().render(chosen).shown_class == 3
    assert np.array_equal(render_rgb(chosen), render_by_script(networks["classes"], 12, 3))


def test_a_class_beyond_the_last_is_one_sentence_and_the_next_image_comes(networks: dict[str, Path]) -> None:
    engine = Engine()
    with pytest.raises(RenderError, match="no class 5: this network has classes 0 to 4"):
        engine.render(scene_of(networks["classes"], latent=Latent(class_index=5)))
    assert engine.render(scene_of(networks["classes"], latent=Latent(class_index=4))).shown_class == 4


def test_a_network_without_classes_does_not_mind_one(networks: dict[str, Path]) -> None:
    finished = Engine().render(scene_of(networks["T"], latent=Latent(class_index=3)))
    assert finished.shown_class is None


def test_between_seeds_their_styles_are_blended(networks: dict[str, Path]) -> None:
    network = load_network(networks["T"]).generator
    w = {seed: network.mapping(draw_latents([seed], 16)[0]) for seed in (4, 5, 104, 105)}
    blended = 0.75 * 0.5 * (w[4] + w[104]) + 0.25 * 0.5 * (w[5] + w[105])
    expected = network.synthesis(blended)[0].permute(1, 2, 0).numpy() * 127.5 + 128
    shown = render_rgb(scene_of(networks["T"], latent=Latent(seed=4, x=0.25, y=0.5)))
    assert np.abs(shown - expected).max() <= 1.001  # rounding down to bytes


def test_mixed_layers_take_the_second_seeds_style(networks: dict[str, Path]) -> None:
    network = load_network(networks["SG2"]).generator
    w, other = (network.mapping(draw_latents([seed], 16)[0]) for seed in (1, 2))
    w[:, [0, 3]] = other[:, [0, 3]]
    expected = to_uint8(network.synthesis(w))[0].permute(1, 2, 0).numpy()
    shown = render_rgb(scene_of(networks["SG2"], latent=Latent(seed=1), mixing=Mixing(seed=2, layers=(0, 3, 63))))
    assert np.array_equal(shown, expected)


def test_random_noise_belongs_to_its_seed(networks: dict[str, Path]) -> None:
    scenes = [scene_of(networks["SG2"], noise=Noise(mode, seed)) for mode, seed in (("random", 1), ("random", 2))]
    first, second = map(render_rgb, scenes)
    assert np.array_equal(first, render_rgb(scenes[0]))
    assert not np.array_equal(first, second)
    without = render_rgb(scene_of(networks["SG2"], noise=Noise("none")))
    assert not np.array_equal(without, render_rgb(scene_of(networks["SG2"])))
    assert np.array_equal(
        render_rgb(scene_of(networks["SG2"], noise=Noise("const", 1))), render_rgb(scene_of(networks["SG2"]))
    )


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize("rows", [8, 1])
def test_a_projected_w_is_shown(suffix: str, rows: int, networks: dict[str, Path], tmp_path: Path) -> None:
    w = np.random.default_rng(1).standard_normal((2, rows, 16)).astype(np.float64)
    path = tmp_path / f"projected_w{suffix}"
    np.savez(path, w=w) if suffix == ".npz" else np.save(path, w)
    network = load_network(networks["T"]).generator
    for index in range(2):
        ws = torch.from_numpy(w[index : index + 1]).float().expand(-1, 8, -1)
        expected = to_uint8(network.synthesis(ws))[0].permute(1, 2, 0).numpy()
        shown = render_rgb(scene_of(networks["T"], latent=Latent(projected=str(path), projected_index=index)))
        assert np.array_equal(shown, expected)


def _npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def _damaged_npz() -> bytes:
    """A .npz packed by LZMA whose properties are spoilt."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("w.npy", bytes(100))
    data = bytearray(buffer.getvalue())
    at = data.index(b"w.npy") + len(b"w.npy") + 4
    data[at : at + 5] = b"\xff" * 5
    return bytes(data)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a projected w"),
        (b"PK\x03\x04 and then nothing", "not a projected w"),
        (pickle.dumps({"w": 1}), "not a projected w"),
        (_npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n"), "object, not floats"),
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 99999)}\n"), "claims"),
        (_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 8, 16)}\n"), "breaks off early"),
        (_npy("__import__('os').system('true')\n"), "not a projected w"),
        (_npy("{'descr': (\n"), "not a projected w"),
        (_npy("  {\n {"), "not a projected w"),
        (_npy("{[]: 1}"), "not a projected w"),
        (_npy("{'descr': (), 'fortran_order': False, 'shape': ()}"), "not a projected w"),
        (_npy("{1: 2, 'a': 3}"), "not a projected w"),
        (_npy(" " * 20_000), "not a projected w"),
        (_damaged_npz(), "not a projected w"),
    ],
)
def test_what_is_no_projected_w_is_refused_in_one_sentence(content: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "w.npy"
    path.write_bytes(content)
    with pytest.raises(LatentError, match=why) as refused:
        read_projected(path)
    assert "\n" not in str(refused.value)


def test_a_projected_w_that_does_not_fit_is_refused_in_one_sentence(networks: dict[str, Path], tmp_path: Path) -> None:
    engine = Engine()
    for array, why in (
        (np.zeros((1, 8, 17), np.float32), "8 rows of 17 numbers, but this network reads 8 of 16"),
        (np.zeros(16, np.float32), "must|but a projected w is"),
        (np.full((1, 8, 16), np.nan, np.float32), "finite"),
    ):
        buffer = io.BytesIO()
        np.save(buffer, array)
        path = tmp_path / "w.npy"
        path.write_bytes(buffer.getvalue())
        with pytest.raises(LatentError, match=why):
            engine.render(scene_of(networks["T"], latent=Latent(projected=str(path))))
    np.savez(tmp_path / "v.npz", v=np.zeros(3))
    with pytest.raises(LatentError, match="no array named w"):
        read_projected(tmp_path / "v.npz")
    with pytest.raises(LatentError, match="cannot be read"):
        engine.render(scene_of(networks["T"], latent=Latent(projected=str(tmp_path / "missing.npz"))))
    np.save(tmp_path / "one.npy", np.zeros((1, 8, 16), np.float32))
    with pytest.raises(LatentError, match="holds 1 w"):
        engine.render(scene_of(networks["T"], latent=Latent(projected=str(tmp_path / "one.npy"), projected_index=1)))
