"""Networks: open any published one as data, generate images with it, save it.

`load_network("x.pkl")` gives G, D and G_ema; `StyleGAN3("x.pkl").generate(seed=0)` gives images.
"""

from networks.api import StyleGAN2, StyleGAN3
from networks.checkpoints.checkpoint import (
    CheckpointInfo,
    LoadedCheckpoint,
    convert,
    inspect_checkpoint,
    load_network,
    save_networks,
)
from networks.errors import CheckpointError

# Names of before, which scripts may use.
Facts, Network, describe = CheckpointInfo, LoadedCheckpoint, inspect_checkpoint

__all__ = [
    "CheckpointError",
    "CheckpointInfo",
    "Facts",
    "LoadedCheckpoint",
    "Network",
    "StyleGAN2",
    "StyleGAN3",
    "convert",
    "describe",
    "inspect_checkpoint",
    "load_network",
    "save_networks",
]
