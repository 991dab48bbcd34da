"""The networks to measure, with random weights, and the arithmetic and memory traffic that each needs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from networks.architectures.stylegan3 import Generator, layer_table
from networks.config import StyleGAN3Config


@dataclass(frozen=True)
class Case:
    """A network to measure, and the ratios to the plain path that an early prototype reached on its machine."""

    name: str
    config: StyleGAN3Config
    ratio_kept: str = ""  # with freed memory kept by malloc
    ratio_as_shipped: str = ""  # with malloc as shipped
    goal: str = ""  # kept / as shipped


T = StyleGAN3Config(img_resolution=128, mapping_num_layers=2, magnitude_ema_beta=0.999)
R = replace(T, conv_kernel=1, use_radial_filters=True)


def _with_size(config: StyleGAN3Config, resolution: int, channel_base: int, channel_max: int) -> StyleGAN3Config:
    return replace(config, img_resolution=resolution, channel_base=channel_base, channel_max=channel_max)


DEMO = (
    Case("T 128, 2048/64 (demo)", _with_size(T, 128, 2048, 64), "51 fps against 6.0: 8.5"),
    Case("R 128, 4096/64 (demo)", _with_size(R, 128, 4096, 64), "61 fps against 4.7: 13"),
)
SMALL = (
    Case("T 128, 8192/128", _with_size(T, 128, 8192, 128), "5.7 to 6.0", "15.9", "5 / 13"),
    Case("R 128, 16384/256", _with_size(R, 128, 16384, 256), "9.4 to 10.5", "30", "8.5 / 25"),
)
MEDIUM = (
    Case("T 256", _with_size(T, 256, 32768, 512), "2.9 to 3.2", "9.5", "2.7 / 8.5 direct, 3.8 / 11 Winograd"),
    Case("R 256", _with_size(R, 256, 65536, 1024), "9.6 to 10.9", "21", "8.5 / 18"),
)
LARGE = (
    Case("T 512", _with_size(T, 512, 32768, 512), "3.4 to 4.3"),
    Case("R 512", _with_size(R, 512, 65536, 1024), "12.2"),
    Case("T 1024", _with_size(T, 1024, 32768, 512), "", "about 17"),
    Case("R 1024", _with_size(R, 1024, 65536, 1024), "", "about 33"),
)
CASES = {case.name: case for case in (*DEMO, *SMALL, *MEDIUM, *LARGE)}
TRAINING = _with_size(T, 64, 2048, 64)


def make_generator(config: StyleGAN3Config, seed: int = 0) -> Generator:
    """Build a generator with random weights and biases, ready for inference."""
    torch.manual_seed(seed)
    network = Generator(config)
    for name in network.synthesis.layer_names:
        torch.nn.init.normal_(network.synthesis.layer(name).bias, std=0.1)
    return network.eval().requires_grad_(False)


def random_ws(network: Generator, batch: int = 1, seed: int = 1) -> torch.Tensor:
    """Return random w for all layers, [batch, num_ws, w_dim]."""
    return torch.randn([batch, network.num_ws, network.w_dim], generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Workload:
    """The arithmetic and memory traffic of one image, with direct convolutions."""

    convolution: float  # GFLOP
    filters: float  # GFLOP, polyphase
    traffic: float  # GB of float32 that layers read and write

    def seconds(self, convolution: float, copy: float) -> float:
        """Return the least time, in seconds, at `convolution` GFLOP/s and `copy` GB/s."""
        return (self.convolution + self.filters) / convolution + self.traffic / copy


def count_workload(config: StyleGAN3Config) -> Workload:
    """Count the workload of a network for one image."""
    convolution = filters = traffic = 0.0
    for spec in layer_table(config)[1]:
        k, conv_size = spec.conv_kernel, spec.in_size + spec.conv_kernel - 1
        convolution += 2 * spec.in_channels * spec.out_channels * k * k * conv_size * conv_size
        traffic += 4 * (spec.in_channels * spec.in_size**2 + spec.out_channels * (conv_size**2 + spec.out_size**2))
        if spec.is_torgb:
            continue
        upsampled_size = (spec.out_size - 1) * spec.down_factor + spec.down_taps
        taps_per_phase = spec.up_taps / spec.up_factor
        products = upsampled_size * conv_size * taps_per_phase + upsampled_size * upsampled_size * taps_per_phase
        if spec.down_radial and spec.down_factor > 1:
            products += spec.out_size**2 * spec.down_taps**2
        else:
            products += upsampled_size * spec.out_size * spec.down_taps + spec.out_size**2 * spec.down_taps
        filters += 2 * spec.out_channels * products
    return Workload(convolution / 1e9, filters / 1e9, traffic / 1e9)
