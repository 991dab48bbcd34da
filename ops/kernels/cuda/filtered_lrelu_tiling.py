"""Tiles, compile-time constants and parameters of the CUDA kernel filtered_lrelu, and a cost model that ranks tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import inf

from ops.kernels.cuda.kernel_source import (
    SHARED_LIMIT,
    HostResampler,
    Kernel,
    UnsupportedError,
    block_iterations,
    odd_pitch,
    pack_parameters,
    round_up,
    struct_body,
)

POINTERS = 6  # x, grad, out, bias, input_scale, output_scale
TILE_SIDES = 8, 16, 20, 24, 28, 32, 40, 48, 64  # outputs
RUNS = 4, 8  # neighboring samples that a thread computes at a time
FACTORS = 1, 2, 4


@lru_cache(maxsize=1024)
def filtered_lrelu(
    sample: str,
    channels: int,
    upsampler: HostResampler,
    grad_upsampler: HostResampler | None,
    downsampler: HostResampler,
    slope: float,
    clamp: float | None,
) -> Kernel:
    """Return the kernel for planes [H,W] of dtype `sample` (float32, float16, bfloat16).

    Its pointers are POINTERS. With `grad_upsampler` it is the backward pass of `ops.filtered_lrelu.FilteredLreluArgs`.
    Raises UnsupportedError for resamplers that the kernel cannot do.
    """
    upsamplers = (upsampler,) if grad_upsampler is None else (upsampler, grad_upsampler)
    _check(upsamplers, downsampler)
    ups = [resampler.y.up for resampler in upsamplers]

    # The upsampled tile begins up to up - 1 samples early, so that the upsampler is at phase 0 there. Zeros before the
    # grad upsampler's taps bring that one to phase 0, too.
    down_y, down_x = downsampler.y, downsampler.x
    shift = (
        _phase(down_y.pad_before + upsampler.y.pad_before, ups[0]),
        _phase(down_x.pad_before + upsampler.x.pad_before, ups[0]),
    )
    start = down_y.pad_before + shift[0], down_x.pad_before + shift[1]
    last = upsamplers[-1]
    leading_zeros = _phase(start[0] + last.y.pad_before, ups[-1]), _phase(start[1] + last.x.pad_before, ups[-1])
    taps = [max(upsampler.f.shape)]
    arrays = [upsampler.f.correlated(taps[0])]
    if grad_upsampler is not None:
        taps.append(max(grad_upsampler.f.shape) + max(leading_zeros))
        arrays.append(grad_upsampler.f.correlated(taps[1], leading_zeros))
    down_taps = downsampler.f.correlated(max(downsampler.f.shape))
    symmetric = len(downsampler.f.shape) == 2 and bool((down_taps == down_taps[:, ::-1]).all())

    tile = _best_tile(
        tuple(_UpStage(len(r.f.shape) == 1, r.y.up, count) for r, count in zip(upsamplers, taps, strict=True)),
        _DownStage(len(downsampler.f.shape) == 1, down_y.down, max(downsampler.f.shape), symmetric, *shift),
        down_y.size_out,
        down_x.size_out,
    )
    tiles_x, tiles_y = -(-down_x.size_out // tile.width), -(-down_y.size_out // tile.height)
    integers = [
        *(channels, upsampler.y.size_in, upsampler.x.size_in, last.y.size_in, last.x.size_in),
        *(upsampler.y.size_out, upsampler.x.size_out, down_y.size_out, down_x.size_out, tiles_x, tiles_x * tiles_y),
        *(start[0] + upsampler.y.pad_before, start[1] + upsampler.x.pad_before),
        *(start[0] + last.y.pad_before + leading_zeros[0], start[1] + last.x.pad_before + leading_zeros[1], *start),
    ]
    arrays = [arrays[0], arrays[1] if grad_upsampler else down_taps[:1, :1], down_taps]
    names = "UP_TAPS_SIZE", "GRAD_UP_TAPS_SIZE", "DOWN_TAPS_SIZE"
    sizes = {name: array.size for name, array in zip(names, arrays, strict=True)}
    parameters = pack_parameters(POINTERS, integers, [slope, inf if clamp is None else clamp], arrays)
    return Kernel("filtered_lrelu", tile.struct_body(sample, sizes), tile.words, tiles_x * tiles_y, parameters)


def _phase(start: int, up: int) -> int:
    return -start % up


def _check(upsamplers: tuple[HostResampler, ...], downsampler: HostResampler) -> None:
    """Raise UnsupportedError unless the kernel can do such resamplers."""
    for resampler in (*upsamplers, downsampler):
        if resampler.y.up != resampler.x.up or resampler.y.down != resampler.x.down:
            raise UnsupportedError("factors that differ between the axes")
    down_y, down_x = downsampler.y, downsampler.x
    if down_y.up != 1 or down_y.down not in FACTORS or any(r.y.down != 1 or r.y.up not in FACTORS for r in upsamplers):
        raise UnsupportedError("factors other than 1, 2 and 4")
    for axis in (down_y, down_x):
        end = (axis.size_out - 1) * axis.down + axis.taps - axis.pad_before
        if len(upsamplers) == 1 and (axis.pad_before > 0 or end > axis.size_in):
            raise UnsupportedError("a filter that reads beyond the raised signal")


@dataclass(frozen=True)
class _UpStage:
    separable: bool
    up: int
    taps: int

    def input_size(self, upsampled: int) -> int:
        """Return how many input samples `upsampled` outputs of one axis need."""
        return (upsampled + self.taps - 2) // self.up + 1


@dataclass(frozen=True)
class _DownStage:
    separable: bool
    down: int
    taps: int
    symmetric: bool
    shift_y: int  # samples by which the upsampled tile begins early
    shift_x: int


@dataclass(frozen=True)
class _Tile:
    """One way to cut the output: the size of a tile, and the runs of a thread. Sizes in samples, memory in words."""

    up_stages: tuple[_UpStage, ...]  # the upsampler, and in the backward pass the grad upsampler
    down_stage: _DownStage
    height: int
    width: int
    up_run: int
    down_run: int

    @property
    def split(self) -> int:
        return 1 if self.down_stage.separable else self.down_stage.down

    @property
    def upsampled_size(self) -> tuple[int, int]:
        """Height and width of the upsampled tile."""
        d = self.down_stage
        height, width = ((n - 1) * d.down + d.taps for n in (self.height, self.width))
        return round_up(height + d.shift_y, self.up_run), round_up(width + d.shift_x, self.up_run)

    @property
    def down_rows(self) -> int:
        """Rows that the vertical pass of a separable downsampler reads."""
        return (self.height - 1) * self.down_stage.down + self.down_stage.taps

    def shared_regions(self) -> tuple[int, int, int]:
        """Words of shared memory: the upsampled tile, horizontally filtered rows, and the input tile if it is apart."""
        height, width = self.upsampled_size
        upsampled = height * odd_pitch(width)
        intermediate = max([s.input_size(height) * odd_pitch(width) for s in self.up_stages if s.separable], default=0)
        if self.down_stage.separable:
            intermediate = max(intermediate, self.down_rows * odd_pitch(self.width))
        input_tile = max(s.input_size(height) * odd_pitch(s.input_size(width)) for s in self.up_stages)
        if self._input_shares_memory:
            return max(upsampled, input_tile), intermediate, 0
        return upsampled, intermediate, input_tile

    @property
    def _input_shares_memory(self) -> bool:
        """Whether the input tile is read completely before the upsampled tile is written."""
        return len(self.up_stages) == 1 and self.up_stages[0].separable

    @property
    def words(self) -> int:
        return sum(self.shared_regions())

    def cost(self) -> int:
        """Estimate the words of shared memory that a thread reads and writes for one tile."""
        height, width = self.upsampled_size
        total, run = 0, self.up_run
        for stage in self.up_stages:
            rows, columns = stage.input_size(height), stage.input_size(width)
            total += block_iterations(rows * columns) * 2
            if stage.separable:
                per_run = stage.input_size(run) + run
                total += (block_iterations(rows * width // run) + block_iterations(height * width // run)) * per_run
            else:
                side = max(stage.up, 2)
                per_patch = stage.input_size(side) ** 2 + side**2
                total += block_iterations(height * width // side**2) * per_patch
        d, run = self.down_stage, self.down_run
        window = (run - 1) * d.down + d.taps
        outputs = block_iterations(self.height * self.width // run)
        if d.separable:
            horizontal = block_iterations(self.down_rows * self.width // run)
            return total + (horizontal + outputs) * (window + run)
        return total + outputs * (window * d.taps + run)

    def struct_body(self, sample: str, array_sizes: dict[str, int]) -> str:
        """Return the C++ body of the kernel's struct of constants."""
        (height, width), (upsampled, intermediate, _) = self.upsampled_size, self.shared_regions()
        d = self.down_stage
        nested = "".join(
            f"    struct {name} {{\n        static constexpr bool SEPARABLE = {str(stage.separable).lower()};\n"
            f"        static constexpr int UP = {stage.up}, TAPS = {stage.taps}, ROWS = {stage.input_size(height)}, "
            f"COLUMNS = {stage.input_size(width)}, PITCH = {odd_pitch(stage.input_size(width))};\n    }};\n"
            for name, stage in zip(("Upsampler", "GradUpsampler"), (self.up_stages[0], self.up_stages[-1]), strict=True)
        )
        constants = {
            "IS_GRAD": len(self.up_stages) == 2,
            "DOWN_SEPARABLE": d.separable,
            "DOWN_SYMMETRIC": d.symmetric,
            "DOWN_TAPS": d.taps,
            "DOWN": d.down,
            "SHIFT_Y": d.shift_y,
            "SHIFT_X": d.shift_x,
            "TILE_H": self.height,
            "TILE_W": self.width,
            "UP_RUN": self.up_run,
            "DOWN_RUN": self.down_run,
            "UPSAMPLED_H": height,
            "UPSAMPLED_W": width,
            "UPSAMPLED_PITCH": odd_pitch(width),
            "SPLIT": self.split,
            "DOWN_ROWS": self.down_rows,
            "DOWN_PITCH": odd_pitch(self.width),
            "UPSAMPLED_OFFSET": 0,
            "INTERMEDIATE_OFFSET": upsampled,
            "INPUT_OFFSET": 0 if self._input_shares_memory else upsampled + intermediate,
        }
        return struct_body(sample, {**constants, **array_sizes}, nested)


@lru_cache(maxsize=256)
def _best_tile(up_stages: tuple[_UpStage, ...], down_stage: _DownStage, height: int, width: int) -> _Tile:
    return rank_tiles(up_stages, down_stage, height, width)[0]


def rank_tiles(up_stages: tuple[_UpStage, ...], down_stage: _DownStage, height: int, width: int) -> list[_Tile]:
    """Return all tiles for an output [height, width], the one with the lowest estimated cost first.

    Raises UnsupportedError if none fits into shared memory.
    """

    def candidates() -> Iterator[tuple[int, _Tile]]:
        for h, w, up_run, down_run in product(TILE_SIDES, TILE_SIDES, RUNS, RUNS):
            if h % down_run or w % down_run:
                continue
            tile = _Tile(up_stages, down_stage, h, w, up_run, down_run)
            if tile.words * 4 <= SHARED_LIMIT:
                yield -(-height // h) * -(-width // w) * tile.cost(), tile

    ranked = sorted(candidates(), key=lambda pair: pair[0])
    if not ranked:
        raise UnsupportedError("filters too long for a tile")
    return [tile for _, tile in ranked]
