"""Planning the fused filtered leaky ReLU on NVIDIA GPUs: how a picture is cut into tiles, and which tile is best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import inf

from ops.kernels.cuda.kernel_source import SHARED_LIMIT, Kernel, Leg, Unfit, constants, odd, pack, rounded, turns

POINTERS = 6  # x, v, out, bias, pre, post
TILES = 8, 16, 20, 24, 28, 32, 40, 48, 64
FACTORS = 1, 2, 4


@lru_cache(maxsize=1024)
def filtered_lrelu(
    sample: str, channels: int, raise_: Leg, before: Leg | None, after: Leg, slope: float, clamp: float | None
) -> Kernel:
    """The kernel for planes stored as `sample` (float32, float16, bfloat16); `before` for the form with a mask.

    Raises Unfit for legs that it does not do.
    """
    rising = (raise_,) if before is None else (raise_, before)
    _check(rising, after)
    ups = [leg.y.up for leg in rising]

    # The raised tile begins a little early, where the first raising filter is in phase; the second is brought in
    # phase by zeros in front of its taps.
    shift = (
        _phase(after.y.pad_before + raise_.y.pad_before, ups[0]),
        _phase(after.x.pad_before + raise_.x.pad_before, ups[0]),
    )
    early = after.y.pad_before + shift[0], after.x.pad_before + shift[1]
    second = before or raise_
    front = _phase(early[0] + second.y.pad_before, ups[-1]), _phase(early[1] + second.x.pad_before, ups[-1])
    taps = [max(raise_.f.shape)]
    arrays = [raise_.f.correlated(taps[0])]
    if before is not None:
        taps.append(max(before.f.shape) + max(front))
        arrays.append(before.f.correlated(taps[1], front))
    lower = after.f.correlated(max(after.f.shape))
    folded = len(after.f.shape) == 2 and bool((lower == lower[:, ::-1]).all())

    tile = _best_tile(
        tuple(_Rising(len(leg.f.shape) == 1, leg.y.up, count) for leg, count in zip(rising, taps, strict=True)),
        _Lowering(len(after.f.shape) == 1, after.y.down, max(after.f.shape), folded, *shift),
        after.y.size_out,
        after.x.size_out,
    )
    across, rows = -(-after.x.size_out // tile.width), -(-after.y.size_out // tile.height)
    integers = [
        *(channels, raise_.y.size_in, raise_.x.size_in, second.y.size_in, second.x.size_in),
        *(raise_.y.size_out, raise_.x.size_out, after.y.size_out, after.x.size_out, across, across * rows),
        *(early[0] + raise_.y.pad_before, early[1] + raise_.x.pad_before),
        *(early[0] + second.y.pad_before + front[0], early[1] + second.x.pad_before + front[1], *early),
    ]
    arrays = [arrays[0], arrays[1] if before else lower[:1, :1], lower]
    counts = {f"{name}_COUNT": a.size for name, a in zip(("RAISE", "BEFORE", "AFTER"), arrays, strict=True)}
    parameters = pack(POINTERS, integers, [slope, inf if clamp is None else clamp], arrays)
    return Kernel("filtered_lrelu", tile.constants(sample, counts), tile.words, across * rows, parameters)


def _phase(start: int, up: int) -> int:
    return -start % up


def _check(rising: tuple[Leg, ...], after: Leg) -> None:
    for leg in (*rising, after):
        if leg.y.up != leg.x.up or leg.y.down != leg.x.down:
            raise Unfit("factors that differ between the axes")
    if after.y.up != 1 or after.y.down not in FACTORS or any(r.y.down != 1 or r.y.up not in FACTORS for r in rising):
        raise Unfit("factors other than 1, 2 and 4")
    for s in (after.y, after.x):
        if len(rising) == 1 and (s.pad_before > 0 or (s.size_out - 1) * s.down + s.taps - s.pad_before > s.size_in):
            raise Unfit("a filter that reads beyond the raised signal")


@dataclass(frozen=True)
class _Rising:
    separable: bool
    up: int
    taps: int

    def needed(self, raised: int) -> int:
        """Input samples for so many raised ones."""
        return (raised + self.taps - 2) // self.up + 1


@dataclass(frozen=True)
class _Lowering:
    separable: bool
    down: int
    taps: int
    folded: bool
    shift_y: int
    shift_x: int


@dataclass(frozen=True)
class _Tile:
    """One way to cut: output size, and how many neighbouring samples a thread makes at once."""

    rising: tuple[_Rising, ...]
    after: _Lowering
    height: int
    width: int
    raise_run: int
    after_run: int

    @property
    def split(self) -> int:
        return 1 if self.after.separable else self.after.down

    @property
    def raised(self) -> tuple[int, int]:
        a = self.after
        height, width = ((n - 1) * a.down + a.taps for n in (self.height, self.width))
        return rounded(height + a.shift_y, self.raise_run), rounded(width + a.shift_x, self.raise_run)

    @property
    def narrow_height(self) -> int:
        return (self.height - 1) * self.after.down + self.after.taps

    def regions(self) -> tuple[int, int, int]:
        """Words of the raised tile, of what is wide and short (or narrow and high), and of a separate input."""
        height, width = self.raised
        raised = height * odd(width)
        wide = max([leg.needed(height) * odd(width) for leg in self.rising if leg.separable], default=0)
        if self.after.separable:
            wide = max(wide, self.narrow_height * odd(self.width))
        tile = max(leg.needed(height) * odd(leg.needed(width)) for leg in self.rising)
        if len(self.rising) == 1 and self.rising[0].separable:  # read up before the raised tile is written
            return max(raised, tile), wide, 0
        return raised, wide, tile

    @property
    def words(self) -> int:
        return sum(self.regions())

    def cost(self) -> int:
        """About how many words of shared memory a block moves, in turns of all its threads."""
        height, width = self.raised
        total, run = 0, self.raise_run
        for leg in self.rising:
            rows, columns = leg.needed(height), leg.needed(width)
            total += turns(rows * columns) * 2
            if leg.separable:
                each = (run + leg.taps - 2) // leg.up + 1 + run
                total += (turns(rows * width // run) + turns(height * width // run)) * each
            else:
                side = max(leg.up, 2)
                total += turns(height * width // side**2) * (((side + leg.taps - 2) // leg.up + 1) ** 2 + side**2)
        a, run = self.after, self.after_run
        window = (run - 1) * a.down + a.taps
        outputs = turns(self.height * self.width // run)
        if a.separable:
            return total + turns(self.narrow_height * self.width // run) * (window + run) + outputs * (window + run)
        return total + outputs * (window * a.taps + run)

    def constants(self, sample: str, counts: dict[str, int]) -> str:
        (height, width), (raised, wide, _) = self.raised, self.regions()
        a = self.after
        nested = "".join(
            f"    struct {name} {{\n        static constexpr bool SEPARABLE = {str(leg.separable).lower()};\n"
            f"        static constexpr int UP = {leg.up}, TAPS = {leg.taps}, ROWS = {leg.needed(height)}, "
            f"COLUMNS = {leg.needed(width)}, PITCH = {odd(leg.needed(width))};\n    }};\n"
            for name, leg in zip(("Raise", "Before"), (self.rising[0], self.rising[-1]), strict=True)
        )
        alone = len(self.rising) == 1 and self.rising[0].separable
        numbers = {
            "MASKED": len(self.rising) == 2,
            "AFTER_SEPARABLE": a.separable,
            "AFTER_FOLDED": a.folded,
            "AFTER_TAPS": a.taps,
            "DOWN": a.down,
            "SHIFT_Y": a.shift_y,
            "SHIFT_X": a.shift_x,
            "TILE_H": self.height,
            "TILE_W": self.width,
            "RAISE_RUN": self.raise_run,
            "AFTER_RUN": self.after_run,
            "RAISED_H": height,
            "RAISED_W": width,
            "RAISED_PITCH": odd(width),
            "SPLIT": self.split,
            "NARROW_H": self.narrow_height,
            "NARROW_PITCH": odd(self.width),
            "RAISED_AT": 0,
            "WIDE_AT": raised,
            "TILE_AT": 0 if alone else raised + wide,
        }
        return constants(sample, {**numbers, **counts}, nested)


@lru_cache(maxsize=256)
def _best_tile(rising: tuple[_Rising, ...], after: _Lowering, height: int, width: int) -> _Tile:
    return ranked(rising, after, height, width)[0]


def ranked(rising: tuple[_Rising, ...], after: _Lowering, height: int, width: int) -> list[_Tile]:
    """All tiles for an output of that size, the one that should be quickest first. Raises Unfit if there is none."""

    def candidates() -> Iterator[tuple[int, _Tile]]:
        for h, w, raise_run, after_run in product(TILES, TILES, (4, 8), (4, 8)):
            if h % after_run or w % after_run:
                continue
            tile = _Tile(rising, after, h, w, raise_run, after_run)
            if tile.words * 4 <= SHARED_LIMIT:
                yield -(-height // h) * -(-width // w) * tile.cost(), tile

    found = sorted(candidates(), key=lambda pair: pair[0])
    if not found:
        raise Unfit("filters too long for a tile")
    return [tile for _, tile in found]
