"""The NVIDIA kernels compile at run time for every GPU from Turing to Blackwell, with nothing but NVRTC.

Nothing here runs on a GPU; where there is one, the last tests do.
"""

from __future__ import annotations

import ctypes
import re

import pytest
import torch
from cuda_on_cpu import random
from naive_resampling import relative_error

import ops
from ops.filtered_lrelu import FilteredLreluArgs, LeakyReluClamp, Resampler, resamplers
from ops.kernels.cuda import dispatch, driver, filtered_lrelu_tiling, nvrtc, upfirdn2d_tiling
from ops.kernels.cuda.kernel_source import PARAMETER_LIMIT, SHARED_LIMIT, Kernel
from ops.kernels.cuda.launch import _to_host
from ops.polyphase import AxisResampling

ARCHITECTURES = "sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"


def found() -> nvrtc.Nvrtc | None:
    try:
        return nvrtc.library()
    except nvrtc.NvrtcError:
        return None


needs_nvrtc = pytest.mark.skipif(found() is None, reason="no NVRTC here; `pip install nvidia-cuda-nvrtc` brings it")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available() or torch.version.cuda is None, reason="no NVIDIA GPU here")


def kernels() -> dict[str, Kernel]:
    """One of each kind, as live networks and training ask for them."""
    x = torch.empty(1, 1, 148, 148)
    made = {}
    for name, up, fd, sample in (
        ("separable", 2, random(12), "float16"),
        ("radial", 2, random(12, 12), "float16"),
        ("mirrored radial", 4, (lambda f: f + f.flip(1))(random(12, 12)), "bfloat16"),
    ):
        upsampler, downsampler = resamplers(x, random(6 * up), fd, up, 2, 11, 1.4)
        plan = _to_host(upsampler), None, _to_host(downsampler)
        made[name] = filtered_lrelu_tiling.filtered_lrelu(sample, 64, *plan, 0.2, 256.0)
        plan = _to_host(upsampler), _to_host(downsampler.adjoint()), _to_host(upsampler.adjoint())
        made[f"{name}, gradient"] = filtered_lrelu_tiling.filtered_lrelu("float32", 64, *plan, 0.2, 256.0)
    for name, f in (("upfirdn2d, patch", random(4, 4)), ("upfirdn2d, line", random(8))):
        span = AxisResampling.from_padding(64, 4, 2, 1, 2, 1)
        made[name] = upfirdn2d_tiling.upfirdn2d("float16", _to_host(Resampler(f, span, span)))
    made["swish"] = upfirdn2d_tiling.bias_act("float16", 4096, 64, 8, "swish", 0.0, 1.4, None)
    return made


@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kind_of_kernel_compiles_and_keeps_its_numbers_in_registers(architecture):
    compiler = nvrtc.library()
    if int(architecture[3:]) not in compiler.architectures():
        pytest.skip(f"NVRTC {compiler.version} does not know {architecture}")
    some = list(kernels().items())
    for name, kernel in some if architecture == "sm_90" else some[ARCHITECTURES.index(architecture) % 3 :: 3]:
        log: list[str] = []
        image = compiler.compile(kernel.source(), architecture, "--ptxas-options=-v", log=log)
        assert image.startswith(b"\x7fELF"), name
        spilt = re.findall(r"(\d+) bytes spill", "".join(log))
        assert spilt and set(spilt) == {"0"}, f"{name}: {log}"


def test_every_kernel_fits_what_each_gpu_gives_without_asking():
    for name, kernel in kernels().items():
        assert kernel.shared_words * 4 <= SHARED_LIMIT, name
        assert len(kernel.parameters) <= PARAMETER_LIMIT, name


@needs_nvrtc
def test_a_kernel_is_compiled_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("BANDLIMIT_CACHE", str(tmp_path))
    source = kernels()["swish"].source()
    first = nvrtc.compile_cached(source, "sm_90")
    (kept,) = (tmp_path / "kernels").iterdir()
    assert kept.read_bytes() == first
    kept.write_bytes(b"the one that was kept")
    assert nvrtc.compile_cached(source, "sm_90") == b"the one that was kept"
    assert nvrtc.compile_cached(source, "sm_80") != first
    assert len(list((tmp_path / "kernels").iterdir())) == 2


@needs_nvrtc
def test_a_gpu_newer_than_the_compiler_gets_code_that_its_driver_finishes(tmp_path, monkeypatch):
    monkeypatch.setenv("BANDLIMIT_CACHE", str(tmp_path))
    assert b".target sm_" in nvrtc.compile_cached(kernels()["swish"].source(), "sm_990")


@needs_nvrtc
def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BANDLIMIT_CACHE", str(tmp_path / "file"))
    assert nvrtc.compile_cached(kernels()["swish"].source(), "sm_90")


@needs_nvrtc
def test_an_error_is_one_sentence_with_the_compilers_words_as_details(tmp_path, monkeypatch):
    monkeypatch.setenv("BANDLIMIT_CACHE", str(tmp_path))
    with pytest.raises(nvrtc.NvrtcError, match=r"^NVRTC [\d.]+ could not compile a kernel for sm_90\.$") as failure:
        nvrtc.compile_cached("int f() { return nothing; }", "sm_90")
    assert "nothing" in failure.value.details
    with pytest.raises(nvrtc.NvrtcError, match="as old as sm_30"):
        nvrtc.compile_cached("", "sm_30")


def test_a_tensor_elsewhere_is_refused_in_words():
    assert dispatch.unsupported_reason("filtered_lrelu", torch.empty(1)) == "it is for NVIDIA GPUs"


def test_without_a_driver_a_sentence_says_so():
    try:
        ctypes.CDLL("nvcuda.dll" if driver.WINDOWS else "libcuda.so.1")
    except OSError:
        with pytest.raises(driver.DriverError, match=r"driver \(.*\) was not found; install it"):
            driver.library()
    else:
        pytest.skip("there is a driver")


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_on_a_gpu_the_kernels_serve_and_agree_with_the_cpu(dtype):
    x, b = random(2, 5, 21, 19, dtype=dtype), random(5, seed=1)
    for fd in (random(12), random(12, 12)):
        settings = {"up": 2, "down": 2, "padding": 11, "clamp": 0.8}
        made = ops.filtered_lrelu(x.cuda(), random(12).cuda(), fd.cuda(), b.cuda(), **settings)
        expected = ops.filtered_lrelu(x.float(), random(12), fd, b, **settings)
        assert relative_error(made.cpu(), expected) < (1e-5 if dtype == torch.float32 else 1.6e-2)
    for family in ("filtered_lrelu", "upfirdn2d", "bias_act"):
        assert dispatch.unsupported_reason(family, x.cuda()) is None
    assert f"filtered_lrelu: {dispatch.NAME}" in ops.describe("cuda")


@needs_gpu
def test_on_a_gpu_a_graph_records_and_repeats_the_kernels():
    x, f = random(1, 3, 20, 20).cuda(), random(12).cuda()
    args = FilteredLreluArgs(*resamplers(x, f, f, 2, 2, 11, 1.4), LeakyReluClamp(0.2, 1.0))

    def compute() -> torch.Tensor:
        return dispatch.filtered_lrelu(x, None, None, args)

    compute()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = compute()
    x.mul_(-1)
    graph.replay()
    assert torch.equal(y, compute())
