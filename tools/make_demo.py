"""The network that the program opens with until one is trained: random weights, balanced so that they paint.

    python tools/make_demo.py --dest assets/demo.safetensors --seed 3

A fresh alias-free network fades to one flat colour, since each non-linearity adds to the mean. Here every layer's bias
is set so that its channels vary around zero, and the last layer's weights so that colours fill their range. The same
seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from networks import save_networks
from networks.config import StyleGAN3Config
from networks.stylegan3 import Generator

CONFIG = StyleGAN3Config(
    img_resolution=128,
    z_dim=512,
    w_dim=512,
    c_dim=4,
    channel_base=4096,
    channel_max=64,
    first_cutoff=4.0,
    first_stopband=4 * 2**0.4,
    conv_kernel=1,
    use_radial_filters=True,
    magnitude_ema_beta=0.0,  # while centring, each layer's gain is that of the pictures at hand
)
LINEAR = 60.0  # a bias that keeps the leaky ReLU in its linear part
ROOT_TWO = 2**0.5  # its gain
STYLE = 0.05  # how far styles reach: beyond this each picture is flat, below they are all alike


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dest", type=Path, default=Path("assets/demo.safetensors"))
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    generator = random_network(options.seed)
    save_networks(options.dest, {"G_ema": generator}, dtype=torch.float16)
    print(f"{options.dest}: {options.dest.stat().st_size / 1e6:.1f} MB")


@torch.no_grad()
def random_network(seed: int, pictures: int = 8) -> Generator:
    """A generator of CONFIG whose layers are centred over a few pictures."""
    torch.manual_seed(seed)
    generator = Generator(CONFIG).eval().requires_grad_(False)
    synthesis = generator.synthesis
    z = torch.from_numpy(np.random.RandomState(seed).randn(512, CONFIG.z_dim)).float()
    w = generator.mapping(z, torch.eye(CONFIG.c_dim)[torch.arange(len(z)) % CONFIG.c_dim])
    some = w[:pictures]
    synthesis.input.affine.weight.normal_(0, 0.5)  # each seed has its own place and angle on the pattern
    state = synthesis.run(some, stop=1)
    for step in synthesis.steps[1:]:
        layer = synthesis.layer(step.name)
        layer.affine.weight.mul_(STYLE)
        is_last = step is synthesis.steps[-1]
        if is_last:
            layer.bias.zero_()
            colours = synthesis.picture(synthesis.run(some, start=step.index, state=state, update_emas=True))
            layer.weight.mul_((0.42 / colours.std((0, 2, 3)))[:, None, None, None])
            colours = synthesis.picture(synthesis.run(some, start=step.index, state=state))
            layer.bias.sub_(colours.mean((0, 2, 3)) / CONFIG.output_scale)
            break
        layer.bias.fill_(LINEAR)
        raw = synthesis.run(some, start=step.index, state=state, stop=step.index + 1, update_emas=True)
        mean = raw.x.mean((0, 2, 3)) / ROOT_TWO - LINEAR
        layer.bias.copy_(0.2 * torch.randn_like(mean) - mean)
        state = synthesis.run(some, start=step.index, state=state, stop=step.index + 1)
    return generator


if __name__ == "__main__":
    main()
