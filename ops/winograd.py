"""3x3 convolution in plain torch with a fourth of the products: Winograd's F(4x4, 3x3), Lavin and Gray 2016.

    convolve = Winograd(weight)                            once for weights [O,I,3,3]: four times their memory is kept
    y = convolve(x, styles, gains, bias, padding)          conv2d(x * styles, weight, padding=padding) * gains + bias

Tiles of 6x6 samples are taken apart into 36 components, each is multiplied with its own matrix of weights, and 4x4
results are put together: three matrix products for some rows of tiles at a time, so that little is in memory. It
differs from direct convolution by rounding, about 3e-6 of the largest value at 512 channels. No gradients.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

# With the usual points 0, +-1, +-2 (and infinity) rounding errors are four times as large.
POINTS = 0.0, 0.75, -0.75, 1.5, -1.5
TILE_IN, TILE_OUT, TILE_ELEMENTS = 6, 4, 36  # of a tile, of its results; its components
BLOCK_BYTES = 24 << 20  # of the components before and after the products; measured with 2 threads on x86
CHANNELS_LAST = torch.channels_last


class WinogradConv3x3:
    """Weights taken apart, and the convolution with them. See the top of this file."""

    def __init__(self, weight: Tensor) -> None:
        """weight [O,I,3,3] float32 on the CPU."""
        if weight.shape[2:] != (3, 3):
            raise ValueError(f"Winograd's convolution is for 3x3 kernels, not {list(weight.shape[2:])}.")
        self.results, self.channels = weight.shape[:2]
        taps = _transform_matrices()[0]
        parts = torch.einsum("ay,oiyx,bx->abio", taps, weight.detach().double(), taps)
        self.weights = parts.reshape(TILE_ELEMENTS, self.channels, self.results).to(weight.dtype)

    @staticmethod
    def is_faster(out_channels: int, in_channels: int) -> bool:
        """Whether it is quicker than direct convolution: the products must outweigh taking apart and putting together.

        This looks at sizes alone, so that the same input always gives the same bits.
        """
        return out_channels * in_channels > 40 * (out_channels + in_channels)

    def __call__(self, x: Tensor, styles: Tensor, gains: Tensor, bias: Tensor, padding: int) -> Tensor:
        """x [1,I,H,W], styles [I], gains and bias [O] -> [1,O,H',W'], whose channels are together in memory."""
        _, take_apart, put_together = _transform_matrices(x.dtype)
        height, width = (side + 2 * padding - 2 for side in x.shape[2:])
        down, across = -(-height // TILE_OUT), -(-width // TILE_OUT)
        out = x.new_empty(down, TILE_OUT, across, TILE_OUT, self.results)
        source = x[0].permute(1, 2, 0)
        most = max(1, BLOCK_BYTES // (4 * TILE_ELEMENTS * (self.channels + self.results) * across))
        for first in range(0, down, most):
            rows = min(most, down - first)
            parts = self._gather_tiles(source, styles, first, rows, across, padding)
            parts = torch.mm(take_apart, parts.view(TILE_ELEMENTS, -1)).view(TILE_ELEMENTS, -1, self.channels)
            parts = torch.bmm(parts, self.weights)
            parts = torch.mm(put_together, parts.view(TILE_ELEMENTS, -1))
            parts = parts.view(TILE_OUT, TILE_OUT, rows, across, self.results).permute(2, 0, 3, 1, 4)
            torch.addcmul(bias, parts, gains, out=out[first : first + rows])
        return out.view(1, down * TILE_OUT, across * TILE_OUT, -1)[:, :height, :width].permute(0, 3, 1, 2)

    def _gather_tiles(self, x: Tensor, styles: Tensor, first: int, rows: int, across: int, padding: int) -> Tensor:
        """Some rows of tiles of x [H,W,I] times styles, one for each sample of a tile: [6,6,rows,across,I]."""
        wide = across * TILE_OUT + 2
        padded = x.new_zeros(rows * TILE_OUT + 2, wide, self.channels)
        top = first * TILE_OUT - padding  # of the picture, where the padded rows begin
        lo, hi = max(0, top), min(x.shape[0], top + padded.shape[0])
        if hi > lo:
            torch.mul(x[lo:hi], styles, out=padded[lo - top : hi - top, padding : padding + x.shape[1]])
        row, column = padded.stride()[:2]
        steps = row, column, TILE_OUT * row, TILE_OUT * column, 1
        return padded.as_strided((TILE_IN, TILE_IN, rows, across, self.channels), steps).contiguous()


@cache
def _transform_matrices(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """What weights are taken apart with [6,3], what tiles [36,36], and what puts results together [16,36].

    Polynomials are multiplied by way of their values at the points (Toom and Cook); the transposed of that filters.
    """
    with torch.inference_mode(False):
        points = torch.tensor(POINTS, dtype=torch.float64)
        values = torch.zeros(TILE_IN, TILE_IN, dtype=torch.float64)  # of 1, t, t^2 ... at each point, infinity last
        values[:-1] = points[:, None] ** torch.arange(TILE_IN)
        values[-1, -1] = 1
        # Scaled so that the numbers for tiles are short, and exact in float32.
        scale = torch.ones(TILE_IN, dtype=torch.float64)
        scale[:-1] = (points[:, None] - points + torch.eye(len(points))).prod(1)
        taps = values[:, :3] / scale[:, None]
        taps[-1] = torch.tensor([0.0, 0.0, 1.0])
        apart = (values.T.inverse() * scale[:, None]).round(decimals=9)
        together = values[:, :TILE_OUT].T.clone()
        together[-1, -1] = 1
        made = taps, torch.kron(apart, apart), torch.kron(together, together)
        return made[0].to(dtype), made[1].to(dtype), made[2].to(dtype)
