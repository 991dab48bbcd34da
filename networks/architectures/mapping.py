"""The mapping network: from a random z and a class to w, which controls the generator's styles; and truncation of w."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from networks.architectures.layers import FullyConnected, normalize_second_moment
from networks.config import DiscriminatorConfig, StyleGAN2Config, StyleGAN3Config


class Mapping(nn.Module):
    """The mapping network f of a generator, or of a discriminator (classes only, no average w, no broadcast to num_ws).

    Karras et al. 2019, Section 2; class conditioning: Karras et al. 2020 (ADA), Appendix F.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int | None,
        *,
        num_layers: int,
        embed_features: int | None = None,
        layer_features: int | None = None,
        activation: str = "lrelu",
        lr_multiplier: float = 0.01,
        w_avg_beta: float | None = 0.998,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws = z_dim, c_dim, w_dim, num_ws
        self.num_layers, self.w_avg_beta = num_layers, w_avg_beta
        embed_dim = 0
        if c_dim > 0:
            embed_dim = embed_features or w_dim
            self.embed = FullyConnected(c_dim, embed_dim)
        widths = [z_dim + embed_dim, *[layer_features or w_dim] * (num_layers - 1), w_dim]
        for i in range(num_layers):
            layer = FullyConnected(widths[i], widths[i + 1], activation=activation, lr_multiplier=lr_multiplier)
            self.add_module(f"fc{i}", layer)
        if num_ws is not None and w_avg_beta is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Tensor | None,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_emas: bool = False,
    ) -> Tensor:
        """z [N, z_dim], c [N, c_dim] (None without classes) -> ws [N, num_ws, w_dim].

        See `truncate` for psi; `truncation_cutoff` None truncates all rows. `update_emas` updates the running average
        w_avg from this batch. A discriminator's mapping (num_ws None) returns [N, w_dim]. Raises ValueError for shapes
        that do not match.
        """
        w = self._map(z, c)
        has_average = "w_avg" in self._buffers
        if update_emas and has_average:
            assert self.w_avg_beta is not None
            with torch.no_grad():
                self.w_avg.copy_(w.detach().mean(dim=0).lerp(self.w_avg.to(w.dtype), self.w_avg_beta))
        if self.num_ws is None:
            return w
        ws = w.unsqueeze(1).repeat(1, self.num_ws, 1)
        if truncation_psi == 1:
            return ws
        if not has_average:
            raise ValueError("This network keeps no average w, so truncation_psi must stay 1.")
        cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
        return truncate(ws, self.w_avg, truncation_psi, cutoff)

    def _map(self, z: Tensor | None, c: Tensor | None) -> Tensor:
        parts: list[Tensor] = []
        if self.z_dim > 0:
            if z is None or z.ndim != 2 or z.shape[1] != self.z_dim:
                raise ValueError(f"z {_shape_of(z)}, but this network reads [N, {self.z_dim}].")
            parts.append(normalize_second_moment(z.to(torch.float32)))
        if self.c_dim > 0:
            if c is None or c.ndim != 2 or c.shape[1] != self.c_dim:
                raise ValueError(
                    f"c {_shape_of(c)}, but this network is conditional and reads class vectors [N, {self.c_dim}]."
                )
            if parts and parts[0].shape[0] != c.shape[0]:
                raise ValueError(f"z is for {parts[0].shape[0]} pictures, but c for {c.shape[0]}.")
            parts.append(normalize_second_moment(self.embed(c.to(torch.float32))))
        elif c is not None and c.numel() > 0:
            raise ValueError(f"c {_shape_of(c)}, but this network has no classes; leave c out.")
        x = torch.cat(parts, dim=1)
        for i in range(self.num_layers):
            x = cast(FullyConnected, self.get_submodule(f"fc{i}"))(x)
        return x


def truncate(ws: Tensor, w_avg: Tensor, psi: float, cutoff: int) -> Tensor:
    """Interpolate the first `cutoff` rows of ws [N, num_ws, w_dim] between w_avg (psi 0) and themselves (psi 1).

    Karras et al. 2019, Appendix B (the truncation trick in W).
    """
    truncated = w_avg.to(ws.dtype).lerp(ws[:, :cutoff], psi)
    return torch.cat([truncated, ws[:, cutoff:]], dim=1) if cutoff < ws.shape[1] else truncated


def build_mapping(config: StyleGAN3Config | StyleGAN2Config | DiscriminatorConfig) -> Mapping:
    """Build the mapping network that a config describes."""
    if isinstance(config, StyleGAN3Config):
        return Mapping(
            config.z_dim,
            config.c_dim,
            config.w_dim,
            config.num_ws,
            num_layers=config.mapping_num_layers,
            lr_multiplier=config.mapping_lr_multiplier,
            w_avg_beta=config.w_avg_beta,
        )
    is_generator = isinstance(config, StyleGAN2Config)
    return Mapping(
        config.z_dim if is_generator else 0,
        config.c_dim,
        config.w_dim if is_generator else config.class_dim,
        config.num_ws if is_generator else None,
        num_layers=config.mapping_num_layers,
        embed_features=config.mapping_embed_features,
        layer_features=config.mapping_layer_features,
        activation=config.mapping_activation,
        lr_multiplier=config.mapping_lr_multiplier,
        w_avg_beta=config.w_avg_beta if is_generator else None,
    )


def _shape_of(x: Tensor | None) -> str:
    return "is missing" if x is None else f"has shape {list(x.shape)}"
