"""Check each NVIDIA kernel, then time it against copying the bytes that it must move."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor

import ops
from benchmarks.gpu_timing import DEVICE, CheckFailed, median_seconds
from benchmarks.networks import CASES
from benchmarks.report import Section
from networks.architectures.stylegan3 import LayerSpec, layer_table
from networks.config import StyleGAN3Config
from ops import backends
from ops.filtered_lrelu import FilteredLreluArgs, LeakyReluClamp, filtered_lrelu_torch, resamplers
from ops.kernels.cuda import dispatch, filtered_lrelu_tiling

NETWORKS = "T 1024", "R 1024"
FAMILIES = "filtered_lrelu", "upfirdn2d", "bias_act"
TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}  # of the largest value
MAX_FLIPPED = (
    1e-3  # the share of a gradient's values that may differ: where the signal is within rounding of zero or the clamp
)
ACTIVATION_CLAMP = 256.0  # as published
MAX_ROWS = 12  # of the table of comparisons, worst first


class Comparisons:
    """Comparisons and their errors."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, list[str]]] = []
        self.wrong: list[str] = []

    def add(self, name: str, actual: Tensor, expected: Tensor, max_flipped: float = 0.0) -> None:
        """Compare with `expected`; the share `max_flipped` of the values may differ."""
        error = (actual.double() - expected).abs() / expected.abs().max()
        good = float((~(error <= TOLERANCE[actual.dtype])).double().mean()) <= max_flipped
        worst, dtype = float(error.max()), str(actual.dtype)[6:]
        if not good:
            self.wrong.append(f"{name} ({dtype})")
        self.rows.append(
            (worst if worst == worst else float("inf"), [name, dtype, f"{worst:.1e}", "yes" if good else "NO"])
        )

    def add_failure(self, name: str, error: Exception) -> None:
        self.wrong.append(name)
        self.rows.append((float("inf"), [name, "", f"{type(error).__name__}: {str(error)[:80]}", "NO"]))

    def section(self, unused: list[str]) -> Section:
        """Return the worst comparisons. Raises CheckFailed if one failed or a kernel is not in use."""
        text = f"{len(self.rows)} comparisons with plain torch in float64 on this GPU, all right; the worst:"
        if self.wrong or unused:
            text = "**Not right, or not used:** " + ", ".join([*self.wrong, *unused]) + "."
        rows = [row for _, row in sorted(self.rows, key=lambda row: row[0], reverse=True)]
        columns = "what", "stored as", "largest difference, of the largest value", "right"
        section = Section("Kernels are right", text, columns, rows[:MAX_ROWS])
        if self.wrong or unused:
            raise CheckFailed(section)
        return section


def check_kernels(networks: Iterable[str] = NETWORKS) -> Section:
    """Compare each kind of kernel with plain torch in float64. Raises CheckFailed."""
    results = Comparisons()
    for network in networks:
        for spec in layers(CASES[network].config):
            name = f"{network} {spec.name}"
            try:
                compare_layer(results, name, spec)
            except Exception as error:  # noqa: BLE001 - the other kernels are worth comparing
                results.add_failure(name, error)
    try:
        compare_resampling(results)
    except Exception as error:  # noqa: BLE001
        results.add_failure("upfirdn2d and bias_act", error)
    reasons = {family: dispatch.unsupported_reason(family, torch.empty(0, device=DEVICE)) for family in FAMILIES}
    return results.section([f"{family}: {why}" for family, why in reasons.items() if why is not None])


def compare_layer(results: Comparisons, name: str, spec: LayerSpec) -> None:
    """Compare the forward pass, with and without channel scales, and the backward pass."""
    args, channels = layer_args(spec, torch.float32, clamp=1.0), 3
    b, input_scale, output_scale = (torch.randn(channels, device=DEVICE) for _ in range(3))
    for dtype in (torch.float32, torch.float16):
        x = random_input(spec, channels, dtype)
        actual = implementation(x)(x, b, None, args)
        results.add(name, actual, filtered_lrelu_torch(x.double(), b, None, args.double()))
        if DEVICE == "cuda":
            actual = dispatch.filtered_lrelu(x, b, None, args, input_scale, output_scale)
            scaled = x.double() * input_scale.double()[:, None, None]
            expected = filtered_lrelu_torch(scaled, b, None, args.double()) * output_scale.double()[:, None, None]
            results.add(f"{name}, channels scaled", actual, expected)
    x, grad = random_input(spec, channels), torch.randn(1, channels, spec.out_size, spec.out_size, device=DEVICE)
    actual = implementation(x)(x, b, grad, args.adjoint())
    expected = filtered_lrelu_torch(x.double(), b, grad.double(), args.double().adjoint())
    results.add(f"{name}, gradient", actual, expected, MAX_FLIPPED)


def compare_resampling(results: Comparisons) -> None:
    """Compare upfirdn2d and bias_act, called through the ops."""
    for dtype in TOLERANCE:
        x, b = torch.randn(2, 5, 37, 41, device=DEVICE).to(dtype), torch.randn(5, device=DEVICE)
        f = ops.setup_filter([1, 3, 3, 1], device=DEVICE)
        for up, down in ((2, 1), (1, 2), (1, 1), (2, 2)):
            actual = ops.upfirdn2d(x, f, up=up, down=down, padding=[2, 1, 2, 1])
            expected = ops.upfirdn2d(x.double(), f.double(), up=up, down=down, padding=[2, 1, 2, 1])
            results.add(f"upfirdn2d up {up} down {down}", actual, expected)
        for act in ops.ACTIVATIONS:
            expected = ops.bias_act(x.double(), b.to(dtype).double(), act=act, clamp=2)
            results.add(f"bias_act {act}", ops.bias_act(x, b.to(dtype), act=act, clamp=2), expected)


def implementation(x: Tensor):
    """Return the implementation of filtered_lrelu in use: on a GPU the kernel."""
    return backends.select("filtered_lrelu", x)


def kernel_times(repeats: int, copy: float, networks: Iterable[str] = NETWORKS) -> Section:
    """Time each layer's filtered leaky ReLU, batch 1, with all its channels, in the dtype that the network uses."""
    rows: list[list[str]] = []
    for network in networks:
        total = [0.0, 0.0, 0.0]
        for spec in layers(CASES[network].config):
            dtype = torch.float16 if spec.use_fp16 else torch.float32
            x, args = random_input(spec, spec.out_channels, dtype), layer_args(spec, dtype, ACTIVATION_CLAMP)
            b = torch.zeros(spec.out_channels, device=DEVICE)
            ours = median_seconds(partial(implementation(x), x, b, None, args), repeats, per_graph=10)
            plain = median_seconds(partial(filtered_lrelu_torch, x, b, None, args), min(repeats, 3))
            grad = torch.randn(1, spec.out_channels, spec.out_size, spec.out_size, device=DEVICE).to(dtype)
            gradient = median_seconds(partial(implementation(x), x, b, grad, args.adjoint()), repeats, per_graph=10)
            moved = (x.numel() + grad.numel()) * x.element_size()
            total = [a + b for a, b in zip(total, (ours, plain, moved / copy), strict=True)]
            name = [f"{network} {spec.name}", f"up {spec.up_factor} down {spec.down_factor}", str(dtype)[6:]]
            rows.append(name + _row(moved, copy, ours, plain, gradient))
        ours, plain, min_seconds = total
        rows.append([f"**{network}, sum**", "", "", *_row(min_seconds * copy, copy, ours, plain)])
    rows += resampling_times(repeats, copy)
    columns = ["kernel", "factors", "stored as", "MB to move", "µs to copy them", "µs ours", "of copying"]
    text = "All channels of each layer, batch 1; *of copying*: the time that copying the bytes takes, of ours."
    return Section("Kernels", text, [*columns, "µs gradient", "µs plain torch", "ratio"], rows)


def resampling_times(repeats: int, copy: float) -> list[list[str]]:
    """Time StyleGAN2's ops: upsampling an image by 2, and bias and leaky ReLU of a feature map."""
    rows = []
    f = ops.setup_filter([1, 3, 3, 1], device=DEVICE)
    side = 1024 if DEVICE == "cuda" else 64
    for name, x, work in (
        ("upfirdn2d", torch.randn(1, 32, side // 2, side // 2, device=DEVICE), partial(ops.upsample2d, f=f)),
        ("bias_act", torch.randn(1, 64, side, side, device=DEVICE), partial(ops.bias_act, act="lrelu", clamp=256)),
    ):
        for dtype in (torch.float16, torch.float32):
            with torch.inference_mode():
                stored = x.to(dtype)
                moved = (stored.numel() + work(stored).numel()) * stored.element_size()
                ours = median_seconds(partial(work, stored), repeats, per_graph=10)
                dispatch.set_enabled(False)
                try:
                    plain = median_seconds(partial(work, stored), repeats)
                finally:
                    dispatch.set_enabled(True)
            rows.append([name, "", str(dtype)[6:], *_row(moved, copy, ours, plain)])
    return rows


def _row(moved: float, copy: float, ours: float, plain: float, gradient: float | None = None) -> list[str]:
    min_seconds = moved / copy
    parts = [f"{moved / 1e6:.0f}", f"{min_seconds * 1e6:.0f}", f"{ours * 1e6:.0f}", f"{min_seconds / ours:.0%}"]
    return [*parts, "" if gradient is None else f"{gradient * 1e6:.0f}", f"{plain * 1e6:.0f}", f"{plain / ours:.1f}"]


def compare_tiles(repeats: int, count: int = 12) -> Section:
    """Time the best-ranked tiles of the largest layers, to see whether the cost model ranks them well."""
    rows: list[list[str]] = []
    usual = filtered_lrelu_tiling._best_tile
    try:
        for network in NETWORKS:
            for spec in layers(CASES[network].config)[-5:]:
                timed = sorted(_tile_times(spec, repeats, count))
                first = next(tile for tile in timed if tile[1] == 0)
                best = timed[0]
                names = [f"{network} {spec.name}", first[2], f"{first[0] * 1e6:.0f}", best[2], f"{best[0] * 1e6:.0f}"]
                rows.append(names)
    finally:
        filtered_lrelu_tiling._best_tile = usual
        filtered_lrelu_tiling.filtered_lrelu.cache_clear()
    text = "Whether the tile that the planner ranks first is the quickest one."
    return Section("Tiles", text, ("layer", "ranked first", "µs", f"quickest of {count}", "µs"), rows)


def _tile_times(spec: LayerSpec, repeats: int, count: int) -> list[tuple[float, int, str]]:
    """Return seconds, rank and name of each of the best-ranked tiles."""
    x, args = random_input(spec, spec.out_channels, torch.float16), layer_args(spec, torch.float16, ACTIVATION_CLAMP)
    timed = []
    for rank in range(count):
        filtered_lrelu_tiling.filtered_lrelu.cache_clear()
        chosen: list[filtered_lrelu_tiling._Tile] = []

        def ranked(*arguments, rank=rank, chosen=chosen):
            tiles = filtered_lrelu_tiling.rank_tiles(*arguments)
            chosen.append(tiles[min(rank, len(tiles) - 1)])
            return chosen[-1]

        filtered_lrelu_tiling._best_tile = ranked
        time = median_seconds(partial(dispatch.filtered_lrelu, x, None, None, args), repeats, per_graph=10)
        tile = chosen[0]
        timed.append((time, rank, f"{tile.height}x{tile.width}, runs {tile.up_run} and {tile.down_run}"))
    return timed


def layers(config: StyleGAN3Config) -> list[LayerSpec]:
    """Return all layers but the last, which has no filters."""
    return [spec for spec in layer_table(config)[1] if not spec.is_torgb]


def layer_args(spec: LayerSpec, dtype: torch.dtype, clamp: float) -> FilteredLreluArgs:
    """Build a layer's filtered leaky ReLU, on the GPU."""
    up = ops.design_lowpass_filter(spec.up_taps, spec.in_cutoff, spec.in_half_width * 2, spec.tmp_sampling_rate)
    down = ops.design_lowpass_filter(
        spec.down_taps, spec.out_cutoff, spec.out_half_width * 2, spec.tmp_sampling_rate, spec.down_radial
    )
    x = random_input(spec, 1, dtype)
    upsampler, downsampler = resamplers(x, up, down, spec.up_factor, spec.down_factor, spec.padding, 2**0.5)
    return FilteredLreluArgs(upsampler, downsampler, LeakyReluClamp(0.2, clamp))


def random_input(spec: LayerSpec, channels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return noise of the shape that a layer's convolution outputs."""
    size = spec.in_size + spec.conv_kernel - 1
    return torch.randn(1, channels, size, size, device=DEVICE).to(dtype)
