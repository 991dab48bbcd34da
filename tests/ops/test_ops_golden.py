"""The ops and their gradients agree with the public reference implementations.

Those implementations computed the data on a CPU (tests/data/ops). With another convolution algorithm their own results
differ by up to 1e-6, and their gradients by 1e-5, hence the tolerance of 1e-5.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from naive_resampling import relative_error
from torch import Tensor

import ops

DATA = Path(__file__).parent.parent / "data" / "ops"
TOLERANCE = 1e-5


class Case:
    """One case of a golden file: its parameters and its arrays."""

    def __init__(self, arrays: dict[str, np.ndarray], parameters: dict) -> None:
        self.id, self.arrays = parameters["id"], arrays
        self.parameters = {k: v for k, v in parameters.items() if k != "id"}

    def __getitem__(self, name: str) -> Tensor | None:
        array = self.arrays.get(f"{self.id}/{name}")
        return None if array is None else torch.from_numpy(array)

    def need(self, name: str) -> Tensor:
        tensor = self[name]
        assert tensor is not None, name
        return tensor

    def only(self, *names: str) -> dict:
        return {k: v for k, v in self.parameters.items() if k in names}


def cases(name: str) -> list:
    with np.load(DATA / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    parameter_sets = json.loads(str(arrays["cases"]))
    return [pytest.param(Case(arrays, parameters), id=parameters["id"]) for parameters in parameter_sets]


RESAMPLING = ("up", "down", "padding", "flip_filter", "gain")


@pytest.mark.parametrize("case", cases("setup_filter"))
def test_filters_are_prepared_as_published(case):
    actual = ops.setup_filter(**{k: v for k, v in case.parameters.items() if k != "name"})
    assert relative_error(actual, case.need("out")) < 1e-6


@pytest.mark.parametrize("case", cases("lowpass_design"))
def test_lowpass_filters_are_designed_as_published(case):
    actual = ops.design_lowpass_filter(**case.parameters)
    assert actual is not None
    assert relative_error(actual, case.need("f")) < 1e-6


@pytest.mark.parametrize("case", cases("upfirdn2d"))
def test_upfirdn2d_agrees_with_the_reference(case):
    op = getattr(ops, case.parameters["op"])
    check(case, ["x"], lambda x: op(x, case["f"], **case.only(*RESAMPLING)))


@pytest.mark.parametrize("case", cases("filtered_lrelu"))
def test_filtered_lrelu_agrees_with_the_reference(case):
    settings = case.only(*RESAMPLING, "slope", "clamp")
    check(case, ["x", "b"], lambda x, b=None: ops.filtered_lrelu(x, case["fu"], case["fd"], b, **settings))


@pytest.mark.parametrize("case", cases("bias_act"))
def test_bias_act_agrees_with_the_reference(case):
    settings = case.only("dim", "act", "alpha", "gain", "clamp")
    check(case, ["x", "b"], lambda x, b=None: ops.bias_act(x, b, **settings))


@pytest.mark.parametrize("case", cases("conv2d_resample"))
def test_conv2d_resample_agrees_with_the_reference(case):
    settings = case.only("up", "down", "padding", "groups", "flip_weight", "flip_filter")
    check(case, ["x", "w"], lambda x, w: ops.conv2d_resample(x, w, case["f"], **settings))


@pytest.mark.parametrize("fused", [None, True, False])
@pytest.mark.parametrize("case", cases("modulated_conv2d_sg2"))
def test_stylegan2_convolution_agrees_with_the_reference_fused_or_not(case, fused):
    settings = case.only("up", "down", "padding", "demodulate", "flip_weight")
    f = ops.setup_filter(case.parameters["resample_filter"])

    def op(x, w, s):
        return ops.modulated_conv2d_stylegan2(
            x, w, s, case["noise"], resample_filter=f, fused_modconv=fused, **settings
        )

    check(case, ["x", "w", "s"], op)


@pytest.mark.parametrize("case", cases("modulated_conv2d_sg3"))
def test_stylegan3_convolution_agrees_with_the_reference(case):
    settings = case.only("demodulate", "padding")
    gain = case["input_gain"]
    check(
        case,
        ["x", "w", "s"],
        lambda x, w, s: ops.modulated_conv2d_stylegan3(x, w, s, input_gain=gain, **settings),
    )


def check(case: Case, names: list[str], op: Callable[..., Tensor]) -> None:
    """Compare the result with and without gradients, the gradients, and a Hessian-vector product."""
    inputs = {name: case.need(name) for name in names if case[name] is not None}
    with torch.no_grad():
        assert relative_error(op(**inputs), case.need("y")) < TOLERANCE
    cotangent = case["cot"]
    if cotangent is None:
        return
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
    y = op(**leaves)
    assert relative_error(y.detach(), case.need("y")) < TOLERANCE
    first = torch.autograd.grad((y * cotangent).sum(), list(leaves.values()), retain_graph=True)
    for name, grad in zip(leaves, first, strict=True):
        assert relative_error(grad, case.need(f"grad_{name}")) < TOLERANCE, name
    if case["hvp_scalar"] is None:
        return
    energy = 0.5 * (cotangent * y.square()).sum()
    grads = torch.autograd.grad(energy, list(leaves.values()), create_graph=True)
    directional = sum((g * case.need(f"dir_{n}")).sum() for g, n in zip(grads, leaves, strict=True))
    assert isinstance(directional, Tensor)
    assert relative_error(directional.detach(), case.need("hvp_scalar")) < TOLERANCE
    second = torch.autograd.grad(directional, list(leaves.values()))
    for name, product in zip(leaves, second, strict=True):
        assert relative_error(product, case.need(f"hvp_{name}")) < TOLERANCE, name
