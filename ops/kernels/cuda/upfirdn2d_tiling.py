"""Tiles, compile-time constants and parameters of the CUDA kernels upfirdn2d and bias_act."""

from __future__ import annotations

import struct
from functools import lru_cache
from math import inf, lcm

from ops.kernels.cuda.kernel_source import (
    SHARED_LIMIT,
    HostResampler,
    Kernel,
    UnsupportedError,
    odd_pitch,
    pack_parameters,
    round_up,
    struct_body,
)

MAX_FACTOR = 8
RUN = 4  # neighboring outputs that a thread computes at a time
TILE_SIDES = 32, 24, 16, 8  # outputs; the largest whose tile fits into shared memory is taken
SAMPLES_PER_BLOCK = 2048  # of bias_act
ACTIVATIONS = ("linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish")


@lru_cache(maxsize=1024)
def upfirdn2d(sample: str, resampler: HostResampler) -> Kernel:
    """Return the kernel for planes [H,W] of dtype `sample`; its pointers are x, out.

    Raises UnsupportedError for factors above MAX_FACTOR and filters that are too long for a tile.
    """
    y, x, separable = resampler.y, resampler.x, len(resampler.f.shape) == 1
    if max(y.up, y.down, x.up, x.down) > MAX_FACTOR:
        raise UnsupportedError(f"factors above {MAX_FACTOR}")
    # Zeros before the taps make every tile start at phase 0.
    leading_zeros = -y.pad_before % y.up, -x.pad_before % x.up
    taps_y, taps_x = resampler.f.shape[0] + leading_zeros[0], resampler.f.shape[-1] + leading_zeros[1]
    if separable:
        taps_y = taps_x = max(taps_y, taps_x)
    f = resampler.f.correlated((taps_y, taps_x), leading_zeros)
    run_y, run_x = lcm(RUN, y.up), lcm(RUN, x.up) if separable else x.up
    for side in TILE_SIDES:
        height, width = round_up(min(side, y.size_out), run_y), round_up(min(side, x.size_out), run_x)
        rows = ((height - 1) * y.down + taps_y - 1) // y.up + 1
        columns = ((width - 1) * x.down + taps_x - 1) // x.up + 1
        intermediate_offset = rows * odd_pitch(columns)
        words = intermediate_offset + (rows * odd_pitch(width) if separable else 0)
        if words * 4 <= SHARED_LIMIT:
            break
    else:
        raise UnsupportedError("filters too long for a tile")
    tiles_x, tiles_y = -(-x.size_out // width), -(-y.size_out // height)
    constants = {
        "SEPARABLE": separable,
        "UP_Y": y.up,
        "UP_X": x.up,
        "DOWN_Y": y.down,
        "DOWN_X": x.down,
        "TAPS_Y": taps_y,
        "TAPS_X": taps_x,
        "TAPS_SIZE": f.size,
        "TILE_H": height,
        "TILE_W": width,
        "RUN_Y": run_y,
        "RUN_X": run_x,
        "ROWS": rows,
        "COLUMNS": columns,
        "PITCH": odd_pitch(columns),
        "INTERMEDIATE_OFFSET": intermediate_offset,
        "INTERMEDIATE_PITCH": odd_pitch(width),
    }
    integers = [y.size_in, x.size_in, y.size_out, x.size_out, tiles_x, tiles_x * tiles_y]
    integers += [y.pad_before + leading_zeros[0], x.pad_before + leading_zeros[1]]
    parameters = pack_parameters(2, integers, [], [f])
    return Kernel("upfirdn2d", struct_body(sample, constants), words, tiles_x * tiles_y, parameters)


@lru_cache(maxsize=1024)
def bias_act(
    sample: str,
    count: int,
    channel_stride: int,
    channels: int,
    act: str,
    alpha: float,
    gain: float,
    clamp: float | None,
) -> Kernel:
    """Return the kernel for `count` samples of dtype `sample`; its pointers are x, out, bias.

    The channel, modulo `channels`, changes every `channel_stride` samples.
    """
    index = "unsigned" if count < 1 << 31 else "long long"
    own = {"ACT": ACTIVATIONS.index(act), "SAMPLES_PER_BLOCK": SAMPLES_PER_BLOCK}
    body = struct_body(sample, own, f"    using Index = {index};\n")
    numbers = count, channel_stride, channels, alpha, gain, inf if clamp is None else clamp
    return Kernel("bias_act", body, 0, -(-count // SAMPLES_PER_BLOCK), struct.pack("3Q2qi3f", 0, 0, 0, *numbers))
