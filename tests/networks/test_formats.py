"""Files of every format open, and give the images of the network they were written from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from checkpoint_writers import (
    TINY2,
    TINY3,
    TINY_D,
    generate,
    load,
    random_net,
    write_nvidia,
    write_openmmlab,
    write_tensorflow,
)
from reference_values import DATA, NAMES, max_error, network, reference, tensor

from networks import CheckpointError, inspect_checkpoint
from networks.architectures.stylegan3 import Generator
from networks.checkpoints.openmmlab import infer_config
from networks.config import StyleGAN3Config
from networks.presets import preset

IMAGE = 1e-4  # of the maximum; see reference_values

# Two blocks more than the smallest network has.
STYLEGAN2 = replace(TINY2, img_resolution=16, channel_base=64)
CRITIC = replace(TINY_D, img_resolution=16, channel_base=64)


@pytest.mark.parametrize("ada", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        TINY3,
        replace(TINY3, conv_kernel=1, use_radial_filters=True, c_dim=3),
        STYLEGAN2,
        replace(STYLEGAN2, c_dim=4, architecture="resnet", mapping_layer_features=12, mapping_embed_features=5),
        replace(STYLEGAN2, architecture="orig", use_noise=False, resample_filter=(1, 2, 1), conv_clamp=None),
    ],
    ids=["T", "R with classes", "skip", "resnet with classes", "orig without noise"],
)
def test_a_snapshot_of_either_repository_opens_with_all_its_options(tmp_path, config, ada):
    G, G_ema = random_net(config, 1), random_net(config, 2)
    D = random_net(replace(CRITIC, c_dim=config.c_dim), 3)
    path = write_nvidia(tmp_path / "x.pkl", {"G": G, "D": D, "G_ema": G_ema}, ada=ada, augment_pipe=None)
    net = load(path)
    wanted = replace(config, fused_modconv_default="inference_only") if ada and config.family == "stylegan2" else config
    assert net.G_ema is not None
    assert net.G_ema.config == wanted
    assert torch.equal(generate(net.G_ema), generate(G_ema))
    assert torch.equal(generate(net.G), generate(G))
    images, c = generate(G_ema), torch.eye(config.c_dim)[:2] if config.c_dim else None
    assert net.D is not None
    assert torch.equal(net.D(images, c), D(images, c))


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
@pytest.mark.parametrize("frozen", [0, 3])
def test_a_discriminator_with_frozen_layers_keeps_every_weight(tmp_path, architecture, frozen):
    D = random_net(replace(CRITIC, architecture=architecture, freeze_layers=frozen), 4)
    assert ("weight" in dict(D.b16.fromrgb.named_buffers())) == (frozen > 0)
    net = load(write_nvidia(tmp_path / "x.pkl", {"G": None, "D": D, "G_ema": random_net(TINY3)}))
    assert net.D is not None
    assert net.D.config.freeze_layers == frozen
    images = torch.randn(4, 3, 16, 16)
    assert torch.equal(net.D(images), D(images))
    assert net.G is None


def test_options_left_to_defaults_are_read_from_the_modules(tmp_path):
    """The repositories have different defaults for clamp and half precision; a pickle need not name either."""
    unsaid = ("conv_clamp", "num_fp16_res")
    plain = [replace(config, conv_clamp=None, num_fp16_res=0) for config in (STYLEGAN2, CRITIC)]
    half = [replace(config, conv_clamp=100, num_fp16_res=1) for config in (STYLEGAN2, CRITIC)]
    for generator, discriminator in (plain, half):
        networks = {"D": random_net(discriminator), "G_ema": random_net(generator)}
        net = load(write_nvidia(tmp_path / "x.pkl", networks, unsaid=unsaid))
        assert net.G_ema is not None and net.D is not None
        assert net.G_ema.config.conv_clamp == net.D.config.conv_clamp == generator.conv_clamp
        blocks = (8, 16)
        assert [net.D.config.uses_fp16(size) for size in blocks] == [discriminator.uses_fp16(size) for size in blocks]


def test_a_generator_by_itself_opens(tmp_path):
    G = random_net(TINY3)
    for alone in (False, True):
        net = load(write_nvidia(tmp_path / "x.pkl", {"G_ema": G}, alone=alone))
        assert (net.G, net.D) == (None, None)
        assert torch.equal(generate(net.generator), generate(G))


def test_a_file_whose_generators_are_one_object_opens(tmp_path):
    """Pickle stores an object once, however often it is referred to."""
    G = random_net(replace(TINY3, w_dim=64))
    path = write_nvidia(tmp_path / "x.pkl", {"G": G, "G_ema": G})
    assert path.stat().st_size < 1.5 * write_nvidia(tmp_path / "y.pkl", {"G_ema": G}).stat().st_size
    net = load(path)
    assert torch.equal(generate(net.G), generate(net.G_ema))


def test_an_unknown_network_in_a_file_is_ignored_with_a_note(tmp_path):
    """Other programs store discriminators of their own with a StyleGAN3."""
    stranger = torch.nn.Sequential(torch.nn.Linear(2, 3))
    net = load(write_nvidia(tmp_path / "x.pkl", {"D": stranger, "G_ema": random_net(TINY3)}))
    assert net.D is None
    assert "left aside" in net.notes[0]
    assert torch.equal(generate(net.G_ema), generate(random_net(TINY3)))


@pytest.mark.parametrize("name", NAMES)
def test_inspect_checkpoint_returns_configs_without_reading_weights(name):
    facts, net = inspect_checkpoint(DATA / f"{name}.pkl"), network(name)
    assert facts.family == {"sg3t": "StyleGAN3-T", "sg3r": "StyleGAN3-R", "sg2_": "StyleGAN2"}[name[:4]]
    assert facts.configs["G_ema"] == net.G_ema.config
    assert facts.parameters["G_ema"] == sum(value.numel() for value in net.G_ema.state_dict().values())
    assert net.family == facts.family


# TensorFlow


def test_a_tensorflow_pickle_gives_the_published_images(tmp_path):
    """The golden StyleGAN2, stored as TensorFlow's program stores it; with noise and truncation."""
    golden, data = network("sg2_32_uncond"), reference("sg2_32_uncond")
    path = write_tensorflow(tmp_path / "stylegan2.pkl", [golden.G, golden.D, golden.G_ema])
    net = load(path)
    assert net.format == "TensorFlow pickle"
    z = tensor(data["z"])
    with torch.no_grad():
        assert max_error(net.G_ema(z, None), data["img"]) < IMAGE
        assert max_error(net.G_ema(z[:2], None, truncation_psi=0.6), data["img_psi06"]) < IMAGE
        assert max_error(net.G_ema(z[:1], None, noise_mode="none"), data["img_noise_none"]) < IMAGE
        assert max_error(net.G(z[:1], None), data["img_G_nonema"]) < IMAGE
        assert max_error(net.D(tensor(data["img"]), None), data["logits"]) < IMAGE


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_a_tensorflow_pickle_opens_in_every_architecture_with_classes(tmp_path, architecture):
    G = random_net(replace(STYLEGAN2, architecture=architecture, c_dim=3))
    D = random_net(replace(CRITIC, architecture=architecture, c_dim=3, mapping_lr_multiplier=0.1, mapping_num_layers=2))
    net = load(write_tensorflow(tmp_path / "x.pkl", [G, D, G], version=5))
    assert torch.equal(generate(net.G_ema), generate(G))
    images, c = torch.randn(2, 3, 16, 16), torch.eye(3)[:2]
    assert torch.equal(net.D(images, c), D(images, c))


def test_a_tensorflow_network_by_itself_opens(tmp_path):
    net = load(write_tensorflow(tmp_path / "Gs.pkl", [random_net(STYLEGAN2)]))
    assert net.G is None
    assert torch.equal(generate(net.G_ema), generate(random_net(STYLEGAN2)))


def test_a_tensorflow_pickle_older_than_stylegan2_is_named(tmp_path):
    path = write_tensorflow(
        tmp_path / "karras2019.pkl",
        [random_net(STYLEGAN2), random_net(CRITIC), random_net(STYLEGAN2)],
        version=3,
    )
    with pytest.raises(CheckpointError, match=r"karras2019.pkl .* StyleGAN or Progressive GAN"):
        load(path)


# OpenMMLab

WIDE = replace(TINY3, num_layers=14, margin_size=10, filter_size=6)  # OpenMMLab's files have the published layers


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old form"])
@pytest.mark.parametrize(
    "config",
    [WIDE, replace(WIDE, conv_kernel=1, use_radial_filters=True, channel_base=100, channel_max=9, c_dim=2)],
    ids=["T", "R with classes"],
)
def test_an_openmmlab_file_opens_though_it_names_no_options(tmp_path, config, zipped):
    path = write_openmmlab(
        tmp_path / "x.pth", {"G": random_net(config, 1), "G_ema": random_net(config, 2)}, zipped=zipped
    )
    net = load(path)
    assert net.channel_order == "rgb"
    assert net.D is None
    assert torch.equal(generate(net.G_ema), generate(random_net(config, 2)))
    assert torch.equal(generate(net.G), generate(random_net(config, 1)))


@pytest.mark.parametrize("name", ["sg3t_64_uncond", "sg3r_32_uncond"])
def test_an_openmmlab_file_gives_the_published_images(tmp_path, name):
    data = reference(name)
    net = load(write_openmmlab(tmp_path / "x.pth", {"G_ema": network(name).G_ema}))
    with torch.no_grad():
        assert max_error(net.G_ema(tensor(data["z"]), None), data["img"]) < IMAGE


def test_the_channel_order_given_at_opening_is_saved(tmp_path):
    path = write_openmmlab(tmp_path / "x.pth", {"G_ema": random_net(WIDE)})
    net = load(path, channel_order="bgr")
    assert net.channel_order == "bgr"
    saved = net.save(tmp_path / "x.safetensors")
    assert load(saved).channel_order == "bgr"
    assert load(saved, channel_order="rgb").channel_order == "rgb"


def test_published_configs_are_inferred_from_shapes_alone():
    for name in ("stylegan3-t", "stylegan3-r"):
        for resolution in (256, 512, 1024):
            config, _ = preset(name, resolution)
            assert isinstance(config, StyleGAN3Config)
            with torch.device("meta"):
                state = Generator(config).state_dict()
            found = infer_config({tensor: tuple(value.shape) for tensor, value in state.items()})
            assert replace(found, magnitude_ema_beta=config.magnitude_ema_beta) == config
