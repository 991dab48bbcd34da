"""Gradient checkpointing: layers keep their inputs alone, and are computed again in the backward pass."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from networks.architectures.layerwise import LayerwiseSynthesis


def synthesise(synthesis: LayerwiseSynthesis, ws: Tensor, **options: Any) -> Tensor:
    """The pictures of `synthesis(ws, **options)`, bit for bit, layer after layer. Chen et al. 2016.

    The first step is kept, as StyleGAN3's depends on a transform that may have changed by the time of the backward
    pass. Layers must not learn running averages here: they would learn them twice.
    """
    if not torch.is_grad_enabled():
        return synthesis(ws, **options)
    state = synthesis.run(ws, stop=1, **options)
    for step in synthesis.steps[1:]:
        advance = partial(synthesis.run, ws, start=step.index, state=state, stop=step.index + 1, **options)
        state = _again(advance)
    return synthesis.to_image(state)


def run_block(block: nn.Module, *inputs: Any) -> Any:
    """A block of the discriminator, computed again in the backward pass."""
    return _again(block, *inputs) if torch.is_grad_enabled() else block(*inputs)


def _again(function: Any, *inputs: Any) -> Any:
    # Noise comes from streams keyed by picture and layer, so torch's own generator need not be rewound.
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
