"""Every layout that people's network files have opens, and gives the pictures of the network it was written from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from checkpoint_writers import TINY2, TINY3, TINY_D, made, opened, picture, write_nvidia, write_openmmlab, write_tensorflow
from reference_values import DATA, NAMES, error, network, numbers, tensor

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
    G, G_ema = made(config, 1), made(config, 2)
    D = made(replace(CRITIC, c_dim=config.c_dim), 3)
    path = write_nvidia(tmp_path / "x.pkl", {"G": G, "D": D, "G_ema": G_ema}, ada=ada, augment_pipe=None)
    net = opened(path)
    wanted = replace(config, fused_modconv_default="inference_only") if ada and config.family == "stylegan2" else config
    assert net.G_ema is not None
    assert net.G_ema.config == wanted
    assert torch.equal(picture(net.G_ema), picture(G_ema))
    assert torch.equal(picture(net.G), picture(G))
    images, c = picture(G_ema), torch.eye(config.c_dim)[:2] if config.c_dim else None
    assert net.D is not None
    assert torch.equal(net.D(images, c), D(images, c))


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
@pytest.mark.parametrize("frozen", [0, 3])
def test_a_discriminator_with_frozen_layers_keeps_every_weight(tmp_path, architecture, frozen):
    D = made(replace(CRITIC, architecture=architecture, freeze_layers=frozen), 4)
    assert ("weight" in dict(D.b16.fromrgb.named_buffers())) == (frozen > 0)
    net = opened(write_nvidia(tmp_path / "x.pkl", {"G": None, "D": D, "G_ema": made(TINY3)}))
    assert net.D is not None
    assert net.D.config.freeze_layers == frozen
    images = torch.randn(4, 3, 16, 16)
    assert torch.equal(net.D(images), D(images))
    assert net.G is None


def test_options_left_to_defaults_are_told_from_the_state(tmp_path):
    """The repositories have different defaults for clamp and half precision; a pickle need not name either."""
    unsaid = ("conv_clamp", "num_fp16_res")
    plain = [replace(config, conv_clamp=None, num_fp16_res=0) for config in (STYLEGAN2, CRITIC)]
    half = [replace(config, conv_clamp=100, num_fp16_res=1) for config in (STYLEGAN2, CRITIC)]
    for generator, discriminator in (plain, half):
        networks = {"D": made(discriminator), "G_ema": made(generator)}
        net = opened(write_nvidia(tmp_path / "x.pkl", networks, unsaid=unsaid))
        assert net.G_ema is not None and net.D is not None
        assert net.G_ema.config.conv_clamp == net.D.config.conv_clamp == generator.conv_clamp
        blocks = (8, 16)
        assert [net.D.config.uses_fp16(size) for size in blocks] == [discriminator.uses_fp16(size) for size in blocks]


def test_a_generator_by_itself_opens(tmp_path):
    G = made(TINY3)
    for alone in (False, True):
        net = opened(write_nvidia(tmp_path / "x.pkl", {"G_ema": G}, alone=alone))
        assert (net.G, net.D) == (None, None)
        assert torch.equal(picture(net.generator), picture(G))


def test_a_file_whose_generators_are_one_opens(tmp_path):
    """Pickle stores an object once, however often it is mentioned."""
    G = made(replace(TINY3, w_dim=64))
    path = write_nvidia(tmp_path / "x.pkl", {"G": G, "G_ema": G})
    assert path.stat().st_size < 1.5 * write_nvidia(tmp_path / "y.pkl", {"G_ema": G}).stat().st_size
    net = opened(path)
    assert torch.equal(picture(net.G), picture(net.G_ema))


def test_a_part_of_an_unknown_kind_is_left_aside_with_a_note(tmp_path):
    """Other programs keep discriminators of their own beside a StyleGAN3."""
    stranger = torch.nn.Sequential(torch.nn.Linear(2, 3))
    net = opened(write_nvidia(tmp_path / "x.pkl", {"D": stranger, "G_ema": made(TINY3)}))
    assert net.D is None
    assert "left aside" in net.notes[0]
    assert torch.equal(picture(net.G_ema), picture(made(TINY3)))


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_known_without_reading_weights(name):
    facts, net = inspect_checkpoint(DATA / f"{name}.pkl"), network(name)
    assert facts.family == {"sg3t": "StyleGAN3-T", "sg3r": "StyleGAN3-R", "sg2_": "StyleGAN2"}[name[:4]]
    assert facts.configs["G_ema"] == net.G_ema.config
    assert facts.parameters["G_ema"] == sum(value.numel() for value in net.G_ema.state_dict().values())
    assert net.family == facts.family


# TensorFlow


def test_a_tensorflow_pickle_gives_the_published_pictures(tmp_path):
    """The golden StyleGAN2, repacked as TensorFlow's program stored it; noise and truncation included."""
    golden, data = network("sg2_32_uncond"), numbers("sg2_32_uncond")
    path = write_tensorflow(tmp_path / "stylegan2.pkl", [golden.G, golden.D, golden.G_ema])
    net = opened(path)
    assert net.format == "TensorFlow pickle"
    z = tensor(data["z"])
    with torch.no_grad():
        assert error(net.G_ema(z, None), data["img"]) < IMAGE
        assert error(net.G_ema(z[:2], None, truncation_psi=0.6), data["img_psi06"]) < IMAGE
        assert error(net.G_ema(z[:1], None, noise_mode="none"), data["img_noise_none"]) < IMAGE
        assert error(net.G(z[:1], None), data["img_G_nonema"]) < IMAGE
        assert error(net.D(tensor(data["img"]), None), data["logits"]) < IMAGE


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_a_tensorflow_pickle_opens_in_every_architecture_with_classes(tmp_path, architecture):
    G = made(replace(STYLEGAN2, architecture=architecture, c_dim=3))
    D = made(replace(CRITIC, architecture=architecture, c_dim=3, mapping_lr_multiplier=0.1, mapping_num_layers=2))
    net = opened(write_tensorflow(tmp_path / "x.pkl", [G, D, G], version=5))
    assert torch.equal(picture(net.G_ema), picture(G))
    images, c = torch.randn(2, 3, 16, 16), torch.eye(3)[:2]
    assert torch.equal(net.D(images, c), D(images, c))


def test_a_tensorflow_network_by_itself_opens(tmp_path):
    net = opened(write_tensorflow(tmp_path / "Gs.pkl", [made(STYLEGAN2)]))
    assert net.G is None
    assert torch.equal(picture(net.G_ema), picture(made(STYLEGAN2)))


def test_a_tensorflow_pickle_older_than_stylegan2_is_named(tmp_path):
    path = write_tensorflow(tmp_path / "karras2019.pkl", [made(STYLEGAN2), made(CRITIC), made(STYLEGAN2)], version=3)
    with pytest.raises(CheckpointError, match=r"karras2019.pkl .* StyleGAN or Progressive GAN"):
        opened(path)


# OpenMMLab

WIDE = replace(TINY3, num_layers=14, margin_size=10, filter_size=6)  # OpenMMLab's files have the published plan


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old form"])
@pytest.mark.parametrize(
    "config",
    [WIDE, replace(WIDE, conv_kernel=1, use_radial_filters=True, channel_base=100, channel_max=9, c_dim=2)],
    ids=["T", "R with classes"],
)
def test_an_openmmlab_file_opens_though_it_names_no_options(tmp_path, config, zipped):
    path = write_openmmlab(tmp_path / "x.pth", {"G": made(config, 1), "G_ema": made(config, 2)}, zipped=zipped)
    net = opened(path)
    assert net.channel_order == "rgb"
    assert net.D is None
    assert torch.equal(picture(net.G_ema), picture(made(config, 2)))
    assert torch.equal(picture(net.G), picture(made(config, 1)))


@pytest.mark.parametrize("name", ["sg3t_64_uncond", "sg3r_32_uncond"])
def test_an_openmmlab_file_gives_the_published_pictures(tmp_path, name):
    data = numbers(name)
    net = opened(write_openmmlab(tmp_path / "x.pth", {"G_ema": network(name).G_ema}))
    with torch.no_grad():
        assert error(net.G_ema(tensor(data["z"]), None), data["img"]) < IMAGE


def test_a_file_with_blue_first_says_so_when_told(tmp_path):
    path = write_openmmlab(tmp_path / "x.pth", {"G_ema": made(WIDE)})
    net = opened(path, channel_order="bgr")
    assert net.channel_order == "bgr"
    saved = net.save(tmp_path / "x.safetensors")
    assert opened(saved).channel_order == "bgr"
    assert opened(saved, channel_order="rgb").channel_order == "rgb"


def test_published_channel_plans_are_found_from_shapes_alone():
    for name in ("stylegan3-t", "stylegan3-r"):
        for resolution in (256, 512, 1024):
            config, _ = preset(name, resolution)
            assert isinstance(config, StyleGAN3Config)
            with torch.device("meta"):
                state = Generator(config).state_dict()
            found = infer_config({tensor: tuple(value.shape) for tensor, value in state.items()})
            assert replace(found, magnitude_ema_beta=config.magnitude_ema_beta) == config
