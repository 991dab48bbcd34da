"""StyleGAN3(...) and StyleGAN2(...): images by seed, by latent, by class and by w, for scripts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from checkpoint_writers import TINY2, TINY3, load, random_net, write_openmmlab
from PIL import Image
from reference_values import DATA, NAMES, max_error, reference, tensor

import cli
from networks import CheckpointError, StyleGAN2, StyleGAN3, save_networks
from networks.api import DEMO
from networks.sampling import to_uint8

IMAGE = 1e-4  # of the maximum; see reference_values


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """A StyleGAN3 with five classes."""
    path = tmp_path_factory.mktemp("api") / "classes.safetensors"
    return StyleGAN3(save_networks(path, {"G_ema": random_net(replace(TINY3, c_dim=5))}))


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_published_image(name):
    kind = StyleGAN2 if name.startswith("sg2") else StyleGAN3
    model, data = kind(DATA / f"{name}.pkl"), reference(name)
    for k, seed in enumerate(data["seeds"].tolist()):
        image = model.generate(seed=seed)
        assert image.dtype == torch.float32
        assert max_error(image[0], np.clip(data["img"][k], -1, 1)) < IMAGE
    image = model.generate(seed=int(data["seeds"][0]), truncation_psi=0.6, truncation_cutoff=3)
    assert max_error(image, np.clip(data["img_psi06_cut3"], -1, 1)) < IMAGE
    z = tensor(data["z"])
    assert max_error(model.generate(z=z), np.clip(data["img"], -1, 1)) < IMAGE
    assert max_error(model.map(z), data["ws"]) < 1e-5
    assert max_error(model.synthesize(tensor(data["ws_mix"])), np.clip(data["img_mix"], -1, 1)) < IMAGE


def test_image_k_of_a_batch_is_that_of_seed_plus_k(classes):
    batch = classes.generate(batch_size=3, seed=7, truncation_psi=0.7)
    assert batch.shape == (3, 3, 16, 16)
    for k in range(3):
        single = classes.generate(seed=7 + k, truncation_psi=0.7)
        assert torch.allclose(batch[k], single[0], atol=1e-5)  # a batch may add up in another order


def test_random_noise_follows_the_seed_too(tmp_path):
    G = random_net(TINY2)
    for name, value in G.state_dict().items():
        if name.endswith("noise_strength"):
            value.fill_(0.5)
    model = StyleGAN2(save_networks(tmp_path / "x.safetensors", {"G_ema": G}))
    batch = model.generate(batch_size=2, seed=7, noise_mode="random")
    assert torch.allclose(batch[1], model.generate(seed=8, noise_mode="random")[0], atol=1e-5)
    assert torch.equal(batch, model.generate(batch_size=2, seed=7, noise_mode="random"))
    w = model.map(torch.zeros(1, 6).fill_(0.3))
    assert not torch.equal(
        model.synthesize(w, noise_mode="random", seed=1), model.synthesize(w, noise_mode="random", seed=2)
    )


def test_the_class_is_the_one_the_seed_draws_unless_one_is_given(classes):
    stream = np.random.RandomState(11)
    z = torch.from_numpy(stream.randn(1, 6).astype(np.float32))
    drawn = int(stream.randint(5))
    by_seed = classes.generate(seed=11)
    assert torch.equal(by_seed, classes.generate(z=z, c=drawn))
    assert torch.equal(by_seed, classes.generate(z=z, c=torch.tensor([drawn])))
    assert torch.equal(by_seed, classes.generate(z=z, c=torch.nn.functional.one_hot(torch.tensor([drawn]), 5)))
    other = classes.generate(seed=11, c=(drawn + 1) % 5)
    assert not torch.equal(by_seed, other)
    soft = torch.full((1, 5), 0.2)
    assert classes.generate(z=z, c=soft).shape == (1, 3, 16, 16)
    with pytest.raises(ValueError, match="is conditional"):
        classes.generate(z=z)
    with pytest.raises(ValueError, match="classes 0 to 4"):
        classes.generate(c=5)


def test_a_class_can_be_asked_for_by_its_name(tmp_path):
    names = ("Gas giant", "rocky", "ocean", "lava", "Lava")
    G = random_net(replace(TINY3, c_dim=5))
    model = StyleGAN3(save_networks(tmp_path / "x.safetensors", {"G_ema": G}, classes=names))
    assert model.classes == names
    assert torch.equal(model.generate(c="gas GIANT"), model.generate(c=0))
    assert torch.equal(model.generate(c="Lava"), model.generate(c=4))  # as it is written, before any case
    assert torch.equal(model.generate(2, c=["ocean", "lava"]), model.generate(2, c=[2, 3]))
    with pytest.raises(ValueError, match="no class 'ice': this network has Gas giant, rocky, ocean, lava, Lava"):
        model.generate(c="ice")
    with pytest.raises(ValueError, match="Classes 3 and 4 are all named 'LAVA'"):
        model.generate(c="LAVA")


def test_a_class_name_is_refused_where_classes_have_no_names(classes):
    with pytest.raises(ValueError, match="no names for classes, so say a number"):
        classes.generate(c="lava")


def test_map_and_synthesize_are_the_two_halves_of_generate(classes):
    z, c = torch.randn(2, 6), torch.tensor([1, 4])
    w = classes.map(z, c, truncation_psi=0.5)
    assert w.shape == (2, classes.G.num_ws, 8)
    assert torch.equal(classes.synthesize(w), classes.generate(z=z, c=c, truncation_psi=0.5))
    w = classes.map(z, c)
    assert torch.equal(classes.synthesize(w[:, 0]), classes.synthesize(w))


def test_images_are_clamped_to_minus_one_and_one(tmp_path):
    G = random_net(TINY3)
    G.synthesis.output_scale = 1.0
    G.synthesis.layer(G.synthesis.layer_names[-1]).bias.fill_(50.0)
    image = StyleGAN3(save_networks(tmp_path / "x.safetensors", {"G_ema": G})).generate()
    assert image.max() == 1.0


def test_red_is_first_whatever_the_file_says(tmp_path):
    config = replace(TINY3, num_layers=14, margin_size=10, filter_size=6)
    path = write_openmmlab(tmp_path / "x.pth", {"G_ema": random_net(config)})
    rgb, bgr = StyleGAN3(path).generate(), StyleGAN3(path, channel_order="bgr").generate()
    assert torch.equal(rgb, bgr.flip(1))


def test_a_file_of_the_other_family_says_which_class_to_use():
    with pytest.raises(CheckpointError, match=r"is a StyleGAN2 network; open it with StyleGAN2\(...\)"):
        StyleGAN3(DATA / "sg2_32_uncond.pkl")
    with pytest.raises(CheckpointError, match=r"is a StyleGAN3-R network; open it with StyleGAN3\(...\)"):
        StyleGAN2(DATA / "sg3r_32_uncond.pkl")


def test_a_missing_device_is_refused_in_one_sentence(classes):
    for device in ("nope", "cuda:99"):
        with pytest.raises(ValueError, match=rf"device '?{device}.*\.$"):
            classes.to(device)
    assert classes.to("cpu").device.type == "cpu"


def test_an_empty_batch_is_refused(classes):
    with pytest.raises(ValueError, match="batch_size is 0"):
        classes.generate(batch_size=0)


def test_without_a_file_the_demo_network_opens_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = StyleGAN3()
    assert model.network.path == DEMO
    assert DEMO.stat().st_size <= 6e6
    side = model.G.img_resolution
    images = model.generate(batch_size=2, truncation_psi=0.7, seed=3)
    assert images.shape == (2, 3, side, side)
    assert images.std() > 0.05, "the image is not blank"


def test_render_without_a_network_renders_the_demo_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run("render", ["--seeds", "3", "--trunc", "0.7"]) == 0
    painted = np.asarray(Image.open(tmp_path / "out" / "seed0003.png")).astype(int)
    expected = to_uint8(StyleGAN3().generate(truncation_psi=0.7, seed=3))[0].permute(1, 2, 0).numpy()
    assert np.abs(painted - expected).max() <= 1


def test_the_demo_of_stylegan2_is_its_own_file(tmp_path, monkeypatch):
    monkeypatch.setattr(StyleGAN2, "demo", save_networks(tmp_path / "twin.safetensors", {"G_ema": random_net(TINY2)}))
    assert StyleGAN2().generate().shape == (1, 3, 8, 8)
    monkeypatch.setattr(StyleGAN2, "demo", tmp_path / "demo-sg2.safetensors")
    with pytest.raises(CheckpointError, match=r"demo-sg2\.safetensors"):
        StyleGAN2()


def test_attributes_and_calls_of_published_scripts_work():
    G, data = load(DATA / "sg3t_64_uncond.pkl").G_ema, reference("sg3t_64_uncond")
    assert (G.z_dim, G.c_dim, G.w_dim, G.num_ws, G.img_resolution, G.img_channels) == (32, 0, 32, 16, 64, 3)
    with torch.no_grad():
        z = tensor(data["z"])
        assert max_error(G(z, None, truncation_psi=1, noise_mode="const"), data["img"]) < IMAGE
        G.synthesis.input.transform.copy_(torch.from_numpy(data["transform"]))
        ws = G.mapping(z, None, truncation_psi=1, truncation_cutoff=None)
        assert max_error(G.synthesis(ws[:2], noise_mode="const", force_fp32=True), data["img_transform"]) < IMAGE
        assert max_error(G.mapping.w_avg, data["w_avg"]) == 0
