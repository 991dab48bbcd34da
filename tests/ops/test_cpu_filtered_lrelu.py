"""The C++ kernel agrees with plain torch for any layer, shape, memory layout and number of threads.

The reference is plain torch in float64. In float32 the kernel is within 1e-6 of the largest value, and the tolerance is
1e-5; gradients are compared by norm, since rounding changes the sign of a few samples at the leaky ReLU.
"""

from __future__ import annotations

import random
import threading

import pytest
import torch
from naive_resampling import relative_error
from test_ops_golden import cases, check
from torch import Tensor

import ops
from networks.architectures.stylegan3 import LayerSpec, layer_table
from networks.config import StyleGAN3Config
from ops.channel_scale import scale_channels
from ops.filtered_lrelu import FilteredLreluArgs, LeakyReluClamp, resamplers
from ops.kernels.cpu.filtered_lrelu import FilteredLreluCpu

pytestmark = pytest.mark.usefixtures("kernel")
TOLERANCE = 1e-5


def layers(kind: str) -> list:
    radial = {"conv_kernel": 1, "use_radial_filters": True} if kind == "R" else {}
    config = StyleGAN3Config(
        z_dim=8, c_dim=0, w_dim=8, img_resolution=128, img_channels=3, channel_base=600, channel_max=21, **radial
    )
    return [pytest.param(spec, id=f"{kind}-{spec.name}") for spec in layer_table(config)[1][:-1]]


def arguments(spec: LayerSpec) -> dict:
    up = ops.design_lowpass_filter(spec.up_taps, spec.in_cutoff, spec.in_half_width * 2, spec.tmp_sampling_rate)
    down = ops.design_lowpass_filter(
        spec.down_taps, spec.out_cutoff, spec.out_half_width * 2, spec.tmp_sampling_rate, radial=spec.down_radial
    )
    return {
        "fu": up,
        "fd": down,
        "up": spec.up_factor,
        "down": spec.down_factor,
        "padding": spec.padding,
        "clamp": 1.5,  # low enough to be reached
    }


def input_of(spec: LayerSpec, samples: int = 1) -> tuple[Tensor, Tensor]:
    size = spec.in_size + spec.conv_kernel - 1
    return torch.randn(samples, spec.out_channels, size, size), torch.randn(spec.out_channels)


@pytest.mark.parametrize("spec", layers("T") + layers("R"))
def test_every_layer_of_stylegan3_agrees(spec):
    x, b = input_of(spec)
    actual = ops.filtered_lrelu(x, b=b, **arguments(spec))
    assert relative_error(actual, ops.filtered_lrelu(x.double(), b=b.double(), **arguments(spec))) < TOLERANCE


@pytest.mark.parametrize("spec", [layers("T")[2], layers("T")[6], layers("R")[4], layers("R")[-1]])
def test_first_and_second_derivatives_agree(spec):
    x, b = input_of(spec, samples=2)

    def derivatives(dtype: torch.dtype) -> list[Tensor]:
        leaves = [x.to(dtype).requires_grad_(), b.to(dtype).requires_grad_()]
        y = ops.filtered_lrelu(leaves[0], b=leaves[1], **arguments(spec))
        first = torch.autograd.grad(y.square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(first[0].square().sum(), leaves)
        return [y.detach(), *(g.detach() for g in first), *second]

    for actual, expected in zip(derivatives(torch.float32), derivatives(torch.float64), strict=True):
        assert (actual - expected).norm() < 1e-3 * expected.norm()


@pytest.mark.parametrize("case", cases("filtered_lrelu"))
def test_the_reference_implementation_agrees(case):
    settings = case.only("up", "down", "padding", "flip_filter", "gain", "slope", "clamp")
    check(case, ["x", "b"], lambda x, b=None: ops.filtered_lrelu(x, case["fu"], case["fd"], b, **settings))


def random_case(rng: random.Random) -> tuple[Tensor, Tensor, dict]:
    """Return an input, a bias and random arguments of `filtered_lrelu`."""

    def taps() -> Tensor | None:
        kind = rng.choice(["none", "designed", "list", "list", "square", "oblong"])
        if kind == "none":
            return None
        if kind == "designed":
            return torch.randn(rng.choice([4, 12, 24])) / 4
        if kind == "list":
            return torch.randn(rng.randint(1, 30)) / 4
        if kind == "square":
            f = torch.randn([rng.choice([4, 12])] * 2) / 4
            return f + f.flip(0)
        return (torch.randn(rng.randint(1, 9), rng.randint(1, 9)) / 4).t()

    up, down = ([rng.choice([1, 2, 4]) for _ in "xy"] for _ in "ud")
    padding = [rng.randint(-12, 40) for _ in range(4)]
    x = torch.randn(rng.randint(1, 3), rng.randint(1, 40), rng.randint(12, 40), rng.randint(12, 40))
    settings = {"fu": taps(), "fd": taps(), "up": up, "down": down, "padding": padding}
    settings |= {"clamp": rng.choice([None, 0.7, 256]), "slope": rng.choice([0.2, 0.0, 1.0, 1.5, -0.3])}
    settings |= {"flip_filter": rng.random() < 0.5, "gain": rng.choice([1, 2**0.5])}
    return x, torch.randn(x.shape[1]), settings


@pytest.mark.parametrize("seed", range(60))
def test_random_filters_factors_and_paddings_agree(seed):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    x, b, settings = random_case(rng)
    try:
        expected = ops.filtered_lrelu(x.double(), b=b.double(), **settings)
    except ValueError:
        pytest.skip("nothing is left of the picture")
    actual = ops.filtered_lrelu(x, b=b, **settings)
    assert relative_error(actual, expected) < TOLERANCE
    y = ops.upfirdn2d(x, settings["fu"], settings["up"], 1, settings["padding"])
    assert (
        relative_error(y, ops.upfirdn2d(x.double(), settings["fu"], settings["up"], 1, settings["padding"])) < TOLERANCE
    )
    y = ops.upfirdn2d(x, settings["fd"], 1, settings["down"], 9)
    assert relative_error(y, ops.upfirdn2d(x.double(), settings["fd"], 1, settings["down"], 9)) < TOLERANCE


def test_the_number_of_threads_does_not_change_a_bit():
    for spec in (layers("T")[8].values[0], layers("R")[8].values[0]):
        assert isinstance(spec, LayerSpec)
        x, b = input_of(spec, samples=2)
        outputs = []
        for threads in (1, 2, 3, 7, 1):
            torch.set_num_threads(threads)
            outputs.append(ops.filtered_lrelu(x, b=b, **arguments(spec)))
        assert all(torch.equal(outputs[0], output) for output in outputs[1:])


def test_several_threads_may_call_at_once():
    x, f = torch.randn(1, 40, 30, 30), torch.randn(12)

    def layer() -> Tensor:
        return ops.filtered_lrelu(x, f, f, None, 2, 2, 9)

    expected, wrong = layer(), []

    def work() -> None:
        wrong.extend(i for i in range(40) if not torch.equal(layer(), expected))

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_only_at_the_end(dtype):
    spec = layers("R")[6].values[0]
    assert isinstance(spec, LayerSpec)
    x, b = input_of(spec)
    x, b = x.to(dtype), b.to(dtype)
    actual = ops.filtered_lrelu(x, b=b, **arguments(spec))
    assert actual.dtype == dtype
    assert torch.equal(actual, ops.filtered_lrelu(x.float(), b=b.float(), **arguments(spec)).to(dtype))


def test_nan_and_infinity_stay_in_their_channel():
    f = torch.ones(12) / 12
    x = torch.zeros(1, 17, 30, 30)
    x[0, 0, 3, 3], x[0, 16, 20, 20] = torch.nan, torch.inf
    actual = ops.filtered_lrelu(x, f, f, None, 2, 2, [9, 8, 9, 8], clamp=256)
    assert actual[0, 0].isnan().any()
    assert actual[0, 16].max() > 0  # infinity is clamped
    assert not actual[0, 1:16].any()
    half = ops.filtered_lrelu(x.bfloat16(), f, f, None, 2, 2, [9, 8, 9, 8])
    assert half[0, 0].isnan().any()


@pytest.mark.parametrize("up", [2, 4])
@pytest.mark.parametrize("large", [torch.inf, -torch.inf, 3e38])
def test_the_clamp_limits_infinity_at_any_position(up, large):
    f = torch.ones(6 * up) / 6
    for column in 12, 13:
        x = torch.zeros(1, 17, 24, 24)
        x[0, 16, 12, column] = large
        actual = ops.filtered_lrelu(x, f, f, None, up, 2, 3 * up, clamp=256)
        assert actual.isfinite().all()
        assert actual[0, 16].any() and not actual[0, :16].any()


def test_a_prepared_layer_applies_scales_and_bias_and_writes_to_given_memory():
    x, f = torch.randn(2, 21, 20, 20).contiguous(memory_format=torch.channels_last), torch.randn(12)
    bias, input_scale, output_scale = torch.randn(21), torch.rand(2, 21), torch.rand(21)
    args = FilteredLreluArgs(*resamplers(x, f, f, 2, 2, [9, 8, 9, 8], 2**0.5), LeakyReluClamp(0.2, 1.0))
    layer = FilteredLreluCpu(args)
    expected = ops.filtered_lrelu(x * input_scale[:, :, None, None], f, f, bias, 2, 2, [9, 8, 9, 8], clamp=1.0)
    expected = expected * output_scale[:, None, None]
    assert relative_error(layer(x, bias, input_scale, output_scale), expected) < TOLERANCE
    out = torch.empty(2, 21, 18, 18, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    assert layer(x, bias, input_scale, output_scale, out) is out
    assert relative_error(out, expected) < 2**-8
    with pytest.raises(ValueError, match="channels_last"):
        layer(x.contiguous())
    with pytest.raises(ValueError, match="do not fit"):
        layer(x, input_scale)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 17, 9, 5), (3, 64, 40, 33), (2, 5, 0, 4)])
def test_scaling_channels_and_its_derivatives_agree(shape):
    """Sizes of one task and of several, odd channel counts, empty images; NCHW memory as well."""
    x, s, v = torch.randn(shape), torch.randn(shape[:2]), torch.randn(shape)

    def derivatives(dtype: torch.dtype, memory: torch.memory_format) -> list[Tensor]:
        leaves = [x.to(dtype, memory_format=memory).requires_grad_(), s.to(dtype).requires_grad_()]
        y = scale_channels(leaves[0], leaves[1])
        first = torch.autograd.grad((y * v).sum(), leaves, create_graph=True)
        return [y, *first, *torch.autograd.grad(first[0].square().sum() + first[1].square().sum(), leaves)]

    expected = derivatives(torch.float64, torch.contiguous_format)
    for layout in (torch.channels_last, torch.contiguous_format):
        for threads in (1, 3):
            torch.set_num_threads(threads)
            for actual, expected_value in zip(derivatives(torch.float32, layout), expected, strict=True):
                assert actual.shape == expected_value.shape
                assert not expected_value.numel() or relative_error(actual, expected_value) < TOLERANCE


def test_scaling_channels_is_twice_differentiable_in_float64():
    x, s = torch.randn(2, 3, 4, 2, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    leaves = x.requires_grad_(), s.requires_grad_()
    assert torch.autograd.gradcheck(scale_channels, leaves)
    assert torch.autograd.gradgradcheck(scale_channels, leaves)
