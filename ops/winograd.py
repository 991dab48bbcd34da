"""3x3 convolution in plain torch by Winograd's F(4x4, 3x3) (Lavin and Gray 2016), without gradients.

    convolution = WinogradConv3x3(weight)               once, transforms the weights [O,I,3,3] to four times their size
    y = convolution(x, input_scale, output_scale, bias, padding)
                                    conv2d(x * input_scale, weight, padding=padding) * output_scale + bias

Input tiles of 6x6 pixels are transformed, multiplied element by element with the transformed weights (36 GEMMs), and
transformed back to 4x4 output pixels, which takes a quarter of the multiplications. A few rows of tiles at a time, so
that little memory is needed. The result differs from direct convolution by rounding, about 3e-6 of the largest value at
512 channels.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

# Interpolation points, besides infinity. With the usual 0, +-1, +-2 rounding errors are four times as large.
POINTS = 0.0, 0.75, -0.75, 1.5, -1.5
TILE_IN, TILE_OUT, TILE_ELEMENTS = 6, 4, 36  # pixels along a side of an input and of an output tile; elements of a tile
BLOCK_BYTES = 24 << 20  # of transformed inputs and outputs at a time; measured with 2 threads on x86


class WinogradConv3x3:
    """A 3x3 convolution with transformed weights. See the top of this file."""

    def __init__(self, weight: Tensor) -> None:
        """weight [O,I,3,3] float32 on the CPU. Raises ValueError for other kernel sizes."""
        if weight.shape[2:] != (3, 3):
            raise ValueError(f"Winograd's convolution is for 3x3 kernels, not {list(weight.shape[2:])}.")
        self.out_channels, self.in_channels = weight.shape[:2]
        filter_transform = _transform_matrices()[0]
        transformed = torch.einsum("ay,oiyx,bx->abio", filter_transform, weight.detach().double(), filter_transform)
        self.weights = transformed.reshape(TILE_ELEMENTS, self.in_channels, self.out_channels).to(weight.dtype)

    @staticmethod
    def is_faster(out_channels: int, in_channels: int) -> bool:
        """Return whether it is faster than direct convolution: the saved multiplications must outweigh the transforms.

        Depends on sizes alone, so that the same input always gives the same bits.
        """
        return out_channels * in_channels > 40 * (out_channels + in_channels)

    def __call__(self, x: Tensor, input_scale: Tensor, output_scale: Tensor, bias: Tensor, padding: int) -> Tensor:
        """x [1,I,H,W], input_scale [I], output_scale and bias [O] -> [1,O,H',W'] in channels_last memory."""
        _, input_transform, output_transform = _transform_matrices(x.dtype)
        height, width = (size + 2 * padding - 2 for size in x.shape[2:])
        tiles_y, tiles_x = -(-height // TILE_OUT), -(-width // TILE_OUT)
        out = x.new_empty(tiles_y, TILE_OUT, tiles_x, TILE_OUT, self.out_channels)
        image = x[0].permute(1, 2, 0)
        row_bytes = 4 * TILE_ELEMENTS * (self.in_channels + self.out_channels) * tiles_x
        rows_per_block = max(1, BLOCK_BYTES // row_bytes)
        for first in range(0, tiles_y, rows_per_block):
            rows = min(rows_per_block, tiles_y - first)
            tiles = self._gather_tiles(image, input_scale, first, rows, tiles_x, padding)
            tiles = torch.mm(input_transform, tiles.view(TILE_ELEMENTS, -1)).view(TILE_ELEMENTS, -1, self.in_channels)
            tiles = torch.bmm(tiles, self.weights)
            tiles = torch.mm(output_transform, tiles.view(TILE_ELEMENTS, -1))
            tiles = tiles.view(TILE_OUT, TILE_OUT, rows, tiles_x, self.out_channels).permute(2, 0, 3, 1, 4)
            torch.addcmul(bias, tiles, output_scale, out=out[first : first + rows])
        return out.view(1, tiles_y * TILE_OUT, tiles_x * TILE_OUT, -1)[:, :height, :width].permute(0, 3, 1, 2)

    def _gather_tiles(
        self, image: Tensor, input_scale: Tensor, first: int, rows: int, tiles_x: int, padding: int
    ) -> Tensor:
        """Cut rows of overlapping tiles from image [H,W,I] * input_scale: [6,6,rows,tiles_x,I]."""
        padded = image.new_zeros(rows * TILE_OUT + 2, tiles_x * TILE_OUT + 2, self.in_channels)
        top = first * TILE_OUT - padding  # the image row of the first padded row
        start, stop = max(0, top), min(image.shape[0], top + padded.shape[0])
        if stop > start:
            torch.mul(
                image[start:stop],
                input_scale,
                out=padded[start - top : stop - top, padding : padding + image.shape[1]],
            )
        row, column = padded.stride()[:2]
        strides = row, column, TILE_OUT * row, TILE_OUT * column, 1
        return padded.as_strided((TILE_IN, TILE_IN, rows, tiles_x, self.in_channels), strides).contiguous()


@cache
def _transform_matrices(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Return the transforms of filters (one axis, [6,3]), of input tiles [36,36] and of output tiles [16,36].

    Toom-Cook: polynomials are multiplied via their values at the points; the transposed algorithm is a FIR filter.
    """
    with torch.inference_mode(False):
        points = torch.tensor(POINTS, dtype=torch.float64)
        powers = torch.zeros(TILE_IN, TILE_IN, dtype=torch.float64)  # 1, t, t^2 ... at each point, infinity last
        powers[:-1] = points[:, None] ** torch.arange(TILE_IN)
        powers[-1, -1] = 1
        # Scaled so that the input transform has few digits and is exact in float32.
        scale = torch.ones(TILE_IN, dtype=torch.float64)
        scale[:-1] = (points[:, None] - points + torch.eye(len(points))).prod(1)
        filter_transform = powers[:, :3] / scale[:, None]
        filter_transform[-1] = torch.tensor([0.0, 0.0, 1.0])
        input_transform = (powers.T.inverse() * scale[:, None]).round(decimals=9)
        output_transform = powers[:, :TILE_OUT].T.clone()
        output_transform[-1, -1] = 1
        input_2d, output_2d = (
            torch.kron(input_transform, input_transform),
            torch.kron(output_transform, output_transform),
        )
        return filter_transform.to(dtype), input_2d.to(dtype), output_2d.to(dtype)
