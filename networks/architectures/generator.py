"""The base of every generator: a mapping network followed by a synthesis network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from networks.architectures.layerwise import LayerwiseSynthesis
from networks.architectures.mapping import build_mapping
from networks.config import GeneratorConfig


class BaseGenerator(nn.Module):
    """z and class to image: `G(z, c)`, or `G.mapping` and `G.synthesis` separately."""

    def __init__(self, config: GeneratorConfig, synthesis: LayerwiseSynthesis) -> None:
        super().__init__()
        self.config = config
        self.z_dim, self.c_dim, self.w_dim = config.z_dim, config.c_dim, config.w_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.num_ws = config.num_ws
        self.synthesis = synthesis
        self.mapping = build_mapping(config)

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_emas: bool = False,
        **synthesis_options: Any,
    ) -> Tensor:
        """z [N, z_dim], c [N, c_dim] or None -> images [N, C, H, W] float32, nominally in [-1, 1].

        `truncation_psi`, `truncation_cutoff` and `update_emas` are those of `Mapping.forward`; `synthesis_options` are
        those of `LayerwiseSynthesis.run` (StyleGAN3 accepts noise_mode and noise, and ignores them). Raises
        ValueError for shapes that do not match.
        """
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff, update_emas=update_emas)
        return self.synthesis(ws, update_emas=update_emas, **synthesis_options)
