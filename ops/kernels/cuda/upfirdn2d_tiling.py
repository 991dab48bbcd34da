"""Planning upfirdn2d and bias_act on NVIDIA GPUs: tiles, constants and parameters."""

from __future__ import annotations

import struct
from functools import lru_cache
from math import inf, lcm

from ops.kernels.cuda.kernel_source import SHARED_LIMIT, Kernel, Leg, Unfit, constants, odd, pack, rounded

LARGEST_FACTOR = 8
RUN = 4
SIDES = 32, 24, 16, 8
SHARE = 2048  # samples of a block of bias_act
ACTIVATIONS = ("linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish")


@lru_cache(maxsize=1024)
def upfirdn2d(sample: str, leg: Leg) -> Kernel:
    """The kernel for planes stored as `sample`; pointers are x, out. Raises Unfit for factors above 8."""
    ys, xs, separable = leg.y, leg.x, len(leg.f.shape) == 1
    if max(ys.up, ys.down, xs.up, xs.down) > LARGEST_FACTOR:
        raise Unfit(f"factors above {LARGEST_FACTOR}")
    # Zeros in front of the taps bring every tile in phase.
    front = -ys.pad_before % ys.up, -xs.pad_before % xs.up
    taps_y, taps_x = leg.f.shape[0] + front[0], leg.f.shape[-1] + front[1]
    if separable:
        taps_y = taps_x = max(taps_y, taps_x)
    f = leg.f.correlated((taps_y, taps_x), front)
    run_y, run_x = lcm(RUN, ys.up), lcm(RUN, xs.up) if separable else xs.up
    for side in SIDES:
        height, width = rounded(min(side, ys.size_out), run_y), rounded(min(side, xs.size_out), run_x)
        rows = ((height - 1) * ys.down + taps_y - 1) // ys.up + 1
        columns = ((width - 1) * xs.down + taps_x - 1) // xs.up + 1
        wide_at = rows * odd(columns)
        words = wide_at + (rows * odd(width) if separable else 0)
        if words * 4 <= SHARED_LIMIT:
            break
    else:
        raise Unfit("filters too long for a tile")
    across, down = -(-xs.size_out // width), -(-ys.size_out // height)
    numbers = {
        "SEPARABLE": separable,
        "UP_Y": ys.up,
        "UP_X": xs.up,
        "DOWN_Y": ys.down,
        "DOWN_X": xs.down,
        "TAPS_Y": taps_y,
        "TAPS_X": taps_x,
        "COUNT": f.size,
        "TILE_H": height,
        "TILE_W": width,
        "RUN_Y": run_y,
        "RUN_X": run_x,
        "ROWS": rows,
        "COLUMNS": columns,
        "PITCH": odd(columns),
        "WIDE_AT": wide_at,
        "WIDE_PITCH": odd(width),
    }
    integers = [ys.size_in, xs.size_in, ys.size_out, xs.size_out, across, across * down]
    integers += [ys.pad_before + front[0], xs.pad_before + front[1]]
    return Kernel("upfirdn2d", constants(sample, numbers), words, across * down, pack(2, integers, [], [f]))


@lru_cache(maxsize=1024)
def bias_act(
    sample: str, count: int, step: int, channels: int, act: str, alpha: float, gain: float, clamp: float | None
) -> Kernel:
    """The kernel for `count` samples, the channel changing every `step` of them; pointers are x, out, bias."""
    index = "unsigned" if count < 1 << 31 else "long long"
    own = constants(sample, {"ACT": ACTIVATIONS.index(act), "SHARE": SHARE}, f"    using Index = {index};\n")
    parameters = struct.pack("3Q2qi3f", 0, 0, 0, count, step, channels, alpha, gain, inf if clamp is None else clamp)
    return Kernel("bias_act", own, 0, -(-count // SHARE), parameters)
