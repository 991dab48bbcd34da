"""The C++ kernel computes what plain torch computes, whatever the layer, the shape, the memory and the threads.

Plain torch in float64 is the measure. In float32 the kernel is within 1e-6 of the largest value, and 1e-5 is asked
for; gradients are compared as a whole, since rounding puts a few samples on the other side of the bend.
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
        "clamp": 1.5,  # low enough to be met
    }


def input_of(spec: LayerSpec, samples: int = 1) -> tuple[Tensor, Tensor]:
    size = spec.in_size + spec.conv_kernel - 1
    return torch.randn(samples, spec.out_channels, size, size), torch.randn(spec.out_channels)


@pytest.mark.parametrize("spec", layers("T") + layers("R"))
def test_every_layer_of_stylegan3(spec):
    x, b = input_of(spec)
    made = ops.filtered_lrelu(x, b=b, **arguments(spec))
    assert relative_error(made, ops.filtered_lrelu(x.double(), b=b.double(), **arguments(spec))) < TOLERANCE


@pytest.mark.parametrize("spec", [layers("T")[2], layers("T")[6], layers("R")[4], layers("R")[-1]])
def test_first_and_second_derivatives(spec):
    x, b = input_of(spec, samples=2)

    def derivatives(dtype: torch.dtype) -> list[Tensor]:
        leaves = [x.to(dtype).requires_grad_(), b.to(dtype).requires_grad_()]
        y = ops.filtered_lrelu(leaves[0], b=leaves[1], **arguments(spec))
        first = torch.autograd.grad(y.square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(first[0].square().sum(), leaves)
        return [y.detach(), *(g.detach() for g in first), *second]

    for made, expected in zip(derivatives(torch.float32), derivatives(torch.float64), strict=True):
        assert (made - expected).norm() < 1e-3 * expected.norm()


@pytest.mark.parametrize("case", cases("filtered_lrelu"))
def test_the_reference_implementation_agrees(case):
    settings = case.only("up", "down", "padding", "flip_filter", "gain", "slope", "clamp")
    check(case, ["x", "b"], lambda x, b=None: ops.filtered_lrelu(x, case["fu"], case["fd"], b, **settings))


def anything(chance: random.Random) -> tuple[Tensor, Tensor, dict]:
    """An input, a bias, and arguments of any kind that leave something of the picture."""

    def taps() -> Tensor | None:
        kind = chance.choice(["none", "designed", "list", "list", "square", "oblong"])
        if kind == "none":
            return None
        if kind == "designed":
            return torch.randn(chance.choice([4, 12, 24])) / 4
        if kind == "list":
            return torch.randn(chance.randint(1, 30)) / 4
        if kind == "square":
            f = torch.randn([chance.choice([4, 12])] * 2) / 4
            return f + f.flip(0)
        return (torch.randn(chance.randint(1, 9), chance.randint(1, 9)) / 4).t()

    up, down = ([chance.choice([1, 2, 4]) for _ in "xy"] for _ in "ud")
    padding = [chance.randint(-12, 40) for _ in range(4)]
    x = torch.randn(chance.randint(1, 3), chance.randint(1, 40), chance.randint(12, 40), chance.randint(12, 40))
    how = {"fu": taps(), "fd": taps(), "up": up, "down": down, "padding": padding}
    how |= {"clamp": chance.choice([None, 0.7, 256]), "slope": chance.choice([0.2, 0.0, 1.0, 1.5, -0.3])}
    how |= {"flip_filter": chance.random() < 0.5, "gain": chance.choice([1, 2**0.5])}
    return x, torch.randn(x.shape[1]), how


@pytest.mark.parametrize("seed", range(60))
def test_anything_that_may_be_asked(seed):
    chance = random.Random(seed)
    torch.manual_seed(seed)
    x, b, how = anything(chance)
    try:
        expected = ops.filtered_lrelu(x.double(), b=b.double(), **how)
    except ValueError:
        pytest.skip("nothing is left of the picture")
    # Long random filters cancel, so that rounding is measured against what they could make.
    made = ops.filtered_lrelu(x, b=b, **how)
    assert relative_error(made, expected) < TOLERANCE
    plain = ops.upfirdn2d(x, how["fu"], how["up"], 1, how["padding"])
    assert relative_error(plain, ops.upfirdn2d(x.double(), how["fu"], how["up"], 1, how["padding"])) < TOLERANCE
    plain = ops.upfirdn2d(x, how["fd"], 1, how["down"], 9)
    assert relative_error(plain, ops.upfirdn2d(x.double(), how["fd"], 1, how["down"], 9)) < TOLERANCE


def test_how_many_threads_take_part_does_not_show():
    for spec in (layers("T")[8].values[0], layers("R")[8].values[0]):
        assert isinstance(spec, LayerSpec)
        x, b = input_of(spec, samples=2)
        made = []
        for threads in (1, 2, 3, 7, 1):
            torch.set_num_threads(threads)
            made.append(ops.filtered_lrelu(x, b=b, **arguments(spec)))
        assert all(torch.equal(made[0], other) for other in made[1:])


def test_several_callers_at_once_do_not_disturb_each_other():
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
def test_half_precision_is_a_rounding_of_the_result(dtype):
    spec = layers("R")[6].values[0]
    assert isinstance(spec, LayerSpec)
    x, b = input_of(spec)
    x, b = x.to(dtype), b.to(dtype)
    made = ops.filtered_lrelu(x, b=b, **arguments(spec))
    assert made.dtype == dtype
    assert torch.equal(made, ops.filtered_lrelu(x.float(), b=b.float(), **arguments(spec)).to(dtype))


def test_not_a_number_and_infinity_are_not_hidden():
    f = torch.ones(12) / 12
    x = torch.zeros(1, 17, 30, 30)
    x[0, 0, 3, 3], x[0, 16, 20, 20] = torch.nan, torch.inf
    made = ops.filtered_lrelu(x, f, f, None, 2, 2, [9, 8, 9, 8], clamp=256)
    assert made[0, 0].isnan().any()
    assert made[0, 16].max() > 0  # infinity is clamped
    assert not made[0, 1:16].any()
    half = ops.filtered_lrelu(x.bfloat16(), f, f, None, 2, 2, [9, 8, 9, 8])
    assert half[0, 0].isnan().any()


@pytest.mark.parametrize("up", [2, 4])
@pytest.mark.parametrize("large", [torch.inf, -torch.inf, 3e38])
def test_the_clamp_limits_infinity_wherever_it_is(up, large):
    f = torch.ones(6 * up) / 6
    for column in 12, 13:
        x = torch.zeros(1, 17, 24, 24)
        x[0, 16, 12, column] = large
        made = ops.filtered_lrelu(x, f, f, None, up, 2, 3 * up, clamp=256)
        assert made.isfinite().all()
        assert made[0, 16].any() and not made[0, :16].any()


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
def test_scaling_channels_and_its_derivatives(shape):
    """Sizes within a task and beyond one, odd channels, nothing at all; NCHW memory as well."""
    x, s, v = torch.randn(shape), torch.randn(shape[:2]), torch.randn(shape)

    def derivatives(dtype: torch.dtype, memory: torch.memory_format) -> list[Tensor]:
        leaves = [x.to(dtype, memory_format=memory).requires_grad_(), s.to(dtype).requires_grad_()]
        y = scale_channels(leaves[0], leaves[1])
        first = torch.autograd.grad((y * v).sum(), leaves, create_graph=True)
        return [y, *first, *torch.autograd.grad(first[0].square().sum() + first[1].square().sum(), leaves)]

    expected = derivatives(torch.float64, torch.contiguous_format)
    for memory in (torch.channels_last, torch.contiguous_format):
        for threads in (1, 3):
            torch.set_num_threads(threads)
            for made, wanted in zip(derivatives(torch.float32, memory), expected, strict=True):
                assert made.shape == wanted.shape
                assert not wanted.numel() or relative_error(made, wanted) < TOLERANCE


def test_scaling_channels_can_be_differentiated_twice_in_float64():
    x, s = torch.randn(2, 3, 4, 2, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    leaves = x.requires_grad_(), s.requires_grad_()
    assert torch.autograd.gradcheck(scale_channels, leaves)
    assert torch.autograd.gradgradcheck(scale_channels, leaves)
