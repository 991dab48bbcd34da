"""Networks: open any published one as data, make pictures with it, save it.

`load_network("x.pkl")` gives G, D and G_ema; `StyleGAN3("x.pkl").generate(seed=0)` gives pictures.
"""

from networks.api import StyleGAN2, StyleGAN3
from networks.checkpoints.checkpoint import Facts, Network, convert, describe, load_network, save_networks
from networks.errors import CheckpointError

__all__ = [
    "CheckpointError",
    "Facts",
    "Network",
    "StyleGAN2",
    "StyleGAN3",
    "convert",
    "describe",
    "load_network",
    "save_networks",
]
