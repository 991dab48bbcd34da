"""The CUDA kernels compute what plain torch computes; compiled for the CPU, so that no GPU is needed.

Covers each layer of StyleGAN3's tables, and sizes, paddings and filters of all kinds. Tolerances: 1e-5 of the largest
value for float32, where 1e-6 is usual; one rounding to 8 or 11 bits for bfloat16 and float16. `benchmarks/gpu.py`
compares on a GPU.
"""

from __future__ import annotations

import random as python_random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import naive_resampling
import pytest
import torch
from cuda_on_cpu import CompiledKernel, compile_kernels, cpu_loader, find_races, needs_compiler, random
from naive_resampling import relative_error
from torch import Tensor

import ops
from networks.architectures.stylegan3 import layer_table
from networks.config import StyleGAN3Config
from ops.bias_act import bias_act_torch
from ops.filtered_lrelu import FilteredLreluArgs, LeakyReluClamp, Resampler, filtered_lrelu_torch, resamplers
from ops.kernels.cuda import filtered_lrelu_tiling, upfirdn2d_tiling
from ops.kernels.cuda.kernel_source import Kernel
from ops.kernels.cuda.launch import CudaKernels, KernelMismatchError, _to_host
from ops.polyphase import AxisResampling
from ops.upfirdn2d import upfirdn2d_torch

pytestmark = needs_compiler
TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}
CHANNELS = 3


@dataclass(frozen=True, eq=False)
class Case:
    """A filtered leaky ReLU, or its gradient."""

    name: str
    args: FilteredLreluArgs
    dtype: torch.dtype = torch.float32

    def kernel(self) -> Kernel:
        args = self.args
        grad_upsampler = None if args.grad_upsampler is None else _to_host(args.grad_upsampler)
        sample = str(self.dtype).removeprefix("torch.")
        stages = _to_host(args.upsampler), grad_upsampler, _to_host(args.downsampler)
        return filtered_lrelu_tiling.filtered_lrelu(
            sample, CHANNELS, *stages, args.activation.slope, args.activation.clamp
        )

    def gradient(self) -> Case:
        return Case(f"{self.name}, gradient", self.args.adjoint())

    def x(self, samples: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return random(samples, CHANNELS, self.args.upsampler.y.size_in, self.args.upsampler.x.size_in, dtype=dtype)

    def error(self, compiled: CompiledKernel) -> float:
        """Return the error against plain torch in float64, where rounding moves no sample across zero or the clamp."""
        x, b = self.x(2, self.dtype), random(CHANNELS, seed=1)
        input_scale, output_scale = random(2, CHANNELS, seed=2), random(2, CHANNELS, seed=3)
        up = self.args.grad_upsampler
        grad = up and random(2, CHANNELS, up.y.size_in, up.x.size_in, seed=4, dtype=self.dtype)
        scaled = x.double() * input_scale.double()[..., None, None]
        expected = filtered_lrelu_torch(scaled, b, grad if grad is None else grad.double(), self.args.double())
        expected = expected * output_scale.double()[..., None, None]
        out = torch.full(expected.shape, torch.nan, dtype=self.dtype)
        return relative_error(compiled.run(out, 2 * CHANNELS, x, grad, out, b, input_scale, output_scale), expected)


def layers(config: StyleGAN3Config) -> list[Case]:
    cases = []
    for spec in layer_table(config)[1]:
        up = ops.design_lowpass_filter(spec.up_taps, spec.in_cutoff, spec.in_half_width * 2, spec.tmp_sampling_rate)
        down = ops.design_lowpass_filter(
            spec.down_taps, spec.out_cutoff, spec.out_half_width * 2, spec.tmp_sampling_rate, spec.down_radial
        )
        size = spec.in_size + spec.conv_kernel - 1
        x = torch.empty(1, 1, size, size)
        stages = resamplers(x, up, down, spec.up_factor, spec.down_factor, spec.padding, 2**0.5)
        cases.append(Case(spec.name, FilteredLreluArgs(*stages, LeakyReluClamp(0.2, 0.8))))
    return cases


T = StyleGAN3Config(img_resolution=128)
R = StyleGAN3Config(img_resolution=128, conv_kernel=1, use_radial_filters=True)


@pytest.mark.parametrize("config", [T, R], ids=["T", "R"])
def test_every_layer_of_a_generator_and_its_gradient(config, tmp_path):
    cases = layers(config)
    cases += [case.gradient() for case in cases]
    check(cases, tmp_path)


def test_half_precision_is_only_a_storage_format(tmp_path):
    halves = [
        Case(c.name, c.args, dtype)
        for dtype in (torch.float16, torch.bfloat16)
        for c in (layers(R)[3], layers(R)[4], layers(T)[-2], layers(T)[4].gradient())
    ]
    check(halves, tmp_path)


def test_any_size_padding_and_filter(tmp_path):
    check([case for seed in range(24) for case in random_cases(seed)], tmp_path)


def random_cases(seed: int) -> list[Case]:
    """A random layer, with odd sizes, crops, asymmetric and 2-D filters; its gradient; its second gradient."""
    rng = python_random.Random(seed)
    up, down = rng.choice([1, 2, 4]), rng.choice([1, 2, 4])
    x = torch.empty(1, 1, rng.randint(5, 40), rng.randint(5, 40))

    def random_taps(max_taps: int) -> Tensor | None:
        kind = rng.choice(["none", "line", "line", "patch", "mirror"])
        if kind == "none":
            return None
        if kind == "line":
            return random(rng.randint(1, max_taps), seed=rng.random().__hash__() % 1000)
        patch = random(rng.randint(1, 8), rng.randint(1, 8), seed=rng.randint(0, 1000))
        return patch + patch.flip(1) if kind == "mirror" else patch

    padding = [rng.randint(-4, 14) for _ in range(4)]
    fu, fd = random_taps(6 * up), random_taps(6 * down)
    try:
        upsampler, downsampler = resamplers(x, fu, fd, up, down, padding, 1.3)
    except ValueError:  # no output would remain
        return random_cases(seed + 1000)
    activation = LeakyReluClamp(rng.choice([0.2, 0.0, -0.5]), rng.choice([None, 0.5]))
    case = Case(f"seed {seed}", FilteredLreluArgs(upsampler, downsampler, activation))
    second = Case(f"seed {seed}, twice", replace(case.args, grad_upsampler=upsampler))
    return [case, case.gradient(), second]


def check(cases: Sequence[Case], folder: Path) -> None:
    for case, kernel in zip(cases, compile_kernels([case.kernel() for case in cases], folder), strict=True):
        assert case.error(kernel) < TOLERANCE[case.dtype], case.name


def test_resampling_of_any_factor_and_filter(tmp_path):
    rng, cases, kernels = python_random.Random(3), [], []
    while len(cases) < 40:
        x = random(1, 2, rng.randint(1, 40), rng.randint(1, 40), seed=len(cases))
        f = random(rng.randint(1, 13)) if rng.random() < 0.4 else random(rng.randint(1, 7), rng.randint(1, 7))
        up, down = [rng.choice([1, 2, 3, 4]) for _ in "xy"], [rng.choice([1, 2, 3, 5]) for _ in "xy"]
        x0, x1, y0, y1 = padding = [rng.randint(-3, 9) for _ in range(4)]
        try:
            y_axis = AxisResampling.from_padding(x.shape[2], f.shape[0], up[1], down[1], y0, y1)
            x_axis = AxisResampling.from_padding(x.shape[3], f.shape[-1], up[0], down[0], x0, x1)
        except ValueError:  # no output would remain
            continue
        cases.append((x, naive_resampling.upfirdn2d(x, f, up, down, padding, False, 1)))
        kernels.append(upfirdn2d_tiling.upfirdn2d("float32", _to_host(Resampler(f, y_axis, x_axis))))
    for (x, expected), run in zip(cases, compile_kernels(kernels, tmp_path), strict=True):
        out = torch.full(expected.shape, torch.nan)
        assert relative_error(run.run(out, 2, x, out), expected) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_activations(dtype, tmp_path):
    x, b = random(3, 5, 7, dtype=dtype) * 5, random(5, dtype=dtype)
    kernels = []
    for act, activation in ops.ACTIVATIONS.items():
        kernels.append(bias_act("float32" if dtype == torch.float32 else "float16", x.numel(), 7, 5, act, activation))
    for act, run in zip(ops.ACTIVATIONS, compile_kernels(kernels, tmp_path), strict=True):
        expected = ops.bias_act(x.double(), b.double(), act=act, clamp=3)
        out = torch.full_like(x, torch.nan)
        assert relative_error(run.run(out, 1, x, out, b.float()), expected) < TOLERANCE[dtype], act


def bias_act(sample, count, step, channels, act, activation) -> Kernel:
    return upfirdn2d_tiling.bias_act(sample, count, step, channels, act, activation.alpha, activation.gain, 3.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_every_half_precision_value_is_read_and_rounded_as_by_torch(dtype, tmp_path):
    x = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    third = 1 / 3
    kernel = upfirdn2d_tiling.bias_act(str(dtype)[6:], len(x), 1, 1, "linear", 0.0, third, None)
    out = torch.zeros_like(x)
    compile_kernels([kernel], tmp_path)[0].run(out, 1, x, out, None)
    expected = (x.float() * torch.tensor(third)).to(dtype)
    assert torch.equal(out.isnan(), expected.isnan())
    assert torch.equal(out.nan_to_num(0), expected.nan_to_num(0))


def test_nan_and_infinity_pass_the_clamp_as_in_plain_torch(tmp_path):
    case = layers(T)[4]
    x = case.x(1)
    x[0, 0, 20, 20], x[0, 1, 30, 30] = torch.nan, torch.inf
    expected = filtered_lrelu_torch(x, None, None, case.args)
    out = torch.zeros_like(expected).contiguous()
    compile_kernels([case.kernel()], tmp_path)[0].run(out, CHANNELS, x, None, out, None, None, None)
    assert torch.equal(out.isnan(), expected.isnan())
    assert relative_error(out.nan_to_num(0), expected.nan_to_num(0)) < TOLERANCE[torch.float32]


def test_inputs_may_have_any_layout_and_dtype(tmp_path):
    """Everything from the ops to a launch, with launches on the CPU; each kernel runs its self-test first."""
    cuda_kernels = CudaKernels(cpu_loader(tmp_path))
    case = layers(R)[4]
    x = case.x(2)
    b = random(CHANNELS, seed=1, dtype=torch.float16)
    expected = filtered_lrelu_torch(x, b, None, case.args)
    result = cuda_kernels.filtered_lrelu(x.contiguous(memory_format=torch.channels_last), b, None, case.args)
    assert result is not None
    assert relative_error(result, expected) < TOLERANCE[torch.float32]
    scaled = cuda_kernels.filtered_lrelu(
        x * 2, None, None, case.args, torch.full([CHANNELS], 0.5), torch.ones(2, CHANNELS)
    )
    assert scaled is not None
    assert relative_error(scaled, filtered_lrelu_torch(x, None, None, case.args)) < TOLERANCE[torch.float32]
    backward, downsampler = case.args.adjoint(), case.args.downsampler
    grad = random(2, CHANNELS, downsampler.y.size_out, downsampler.x.size_out, seed=2)
    result = cuda_kernels.filtered_lrelu(x, b, grad.transpose(2, 3).contiguous().transpose(2, 3), backward)
    assert result is not None
    assert relative_error(result, filtered_lrelu_torch(x, b, grad, backward)) < TOLERANCE[torch.float32]
    f = random(4, 4)
    axes = AxisResampling.from_padding(20, 4, 2, 1, 2, 1), AxisResampling.from_padding(21, 4, 2, 1, 2, 1)
    result = cuda_kernels.upfirdn2d(x[:, :, :20, :21], f, *axes)
    assert result is not None
    assert relative_error(result, upfirdn2d_torch(x[:, :, :20, :21], f, *axes)) < TOLERANCE[torch.float32]
    result = cuda_kernels.bias_act(x, b, 1, "swish", 0.0, 1.5, 2.0)
    assert result is not None
    assert relative_error(result, bias_act_torch(x, b.float(), 1, "swish", 0.0, 1.5, 2.0)) < TOLERANCE[torch.float32]


def test_unsupported_arguments_are_left_to_plain_torch(tmp_path):
    cuda_kernels = CudaKernels(cpu_loader(tmp_path))
    x = torch.ones(1, 1, 8, 8)
    args = FilteredLreluArgs(*resamplers(x, random(9), random(9), 3, 3, 8, 1.0), LeakyReluClamp(0.2, None))
    assert cuda_kernels.filtered_lrelu(x, None, None, args) is None
    assert (
        cuda_kernels.upfirdn2d(
            x, random(9), AxisResampling.from_padding(8, 9, 9, 1, 8, 8), AxisResampling.from_padding(8, 9, 9, 1, 8, 8)
        )
        is None
    )
    assert (
        cuda_kernels.upfirdn2d(
            x[:0],
            random(2),
            AxisResampling.from_padding(8, 2, 1, 1, 0, 0),
            AxisResampling.from_padding(8, 2, 1, 1, 0, 0),
        )
        is None
    )


def test_a_kernel_that_fails_its_self_test_is_not_used():
    def load_nothing(_kernel: Kernel):
        return lambda _blocks, _parameters: None  # does not write the output

    x = random(1, 2, 16, 16)
    args = FilteredLreluArgs(*resamplers(x, random(12), random(12), 2, 2, 10, 1.0), LeakyReluClamp(0.2, None))
    with pytest.raises(KernelMismatchError, match="did not agree with plain torch"):
        CudaKernels(load_nothing).filtered_lrelu(x, None, None, args)


def test_the_threads_of_a_block_do_not_race(tmp_path):
    """Blocks of five real threads under g++'s thread sanitizer: only this test notices a missing barrier."""
    cases = [layers(T)[4], layers(R)[3], layers(R)[4].gradient(), layers(R)[3].gradient(), layers(T)[4].gradient()]
    axes = AxisResampling.from_padding(20, 4, 2, 1, 2, 1), AxisResampling.from_padding(21, 4, 2, 1, 2, 1)
    kernels = [case.kernel() for case in cases]
    kernels += [upfirdn2d_tiling.upfirdn2d("float32", _to_host(Resampler(f, *axes))) for f in (random(4), random(4, 4))]
    assert find_races(kernels, tmp_path) == ""
