"""Gradient checkpointing: layers store only their inputs and are recomputed in the backward pass."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from networks.architectures.layerwise import LayerwiseSynthesis


def synthesize(synthesis: LayerwiseSynthesis, ws: Tensor, **options: Any) -> Tensor:
    """Compute `synthesis(ws, **options)`, bit for bit, with a checkpoint at each layer. Chen et al. 2016.

    ws [N, num_ws, w_dim] -> images [N,C,H,W]. The first step is not recomputed, as StyleGAN3's depends on a transform
    that may have changed by the time of the backward pass. options must not contain `update_emas=True`: recomputed
    layers would update their running averages twice.
    """
    if not torch.is_grad_enabled():
        return synthesis(ws, **options)
    state = synthesis.run(ws, stop=1, **options)
    for step in synthesis.steps[1:]:
        run_layer = partial(synthesis.run, ws, start=step.index, state=state, stop=step.index + 1, **options)
        state = _checkpoint(run_layer)
    return synthesis.to_image(state)


def run_block(block: nn.Module, *inputs: Any) -> Any:
    """Run a block of the discriminator with a checkpoint: it is recomputed in the backward pass."""
    return _checkpoint(block, *inputs) if torch.is_grad_enabled() else block(*inputs)


def _checkpoint(function: Any, *inputs: Any) -> Any:
    # Noise comes from streams keyed by sample and layer, so torch's own generator state need not be restored.
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
