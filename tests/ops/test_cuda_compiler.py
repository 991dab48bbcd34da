"""The CUDA kernels compile at run time for every GPU from Turing to Blackwell, with nothing but NVRTC.

Only the last tests need a GPU, and are skipped without one.
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


def find_nvrtc() -> nvrtc.Nvrtc | None:
    try:
        return nvrtc.library()
    except nvrtc.NvrtcError:
        return None


needs_nvrtc = pytest.mark.skipif(
    find_nvrtc() is None, reason="no NVRTC here; `pip install nvidia-cuda-nvrtc` brings it"
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available() or torch.version.cuda is None, reason="no NVIDIA GPU here")


def kernels() -> dict[str, Kernel]:
    """One kernel of each kind, as live networks and training use them."""
    x = torch.empty(1, 1, 148, 148)
    kernels_by_name = {}
    for name, up, fd, sample in (
        ("separable", 2, random(12), "float16"),
        ("radial", 2, random(12, 12), "float16"),
        ("mirrored radial", 4, (lambda f: f + f.flip(1))(random(12, 12)), "bfloat16"),
    ):
        upsampler, downsampler = resamplers(x, random(6 * up), fd, up, 2, 11, 1.4)
        stages = _to_host(upsampler), None, _to_host(downsampler)
        kernels_by_name[name] = filtered_lrelu_tiling.filtered_lrelu(sample, 64, *stages, 0.2, 256.0)
        stages = _to_host(upsampler), _to_host(downsampler.adjoint()), _to_host(upsampler.adjoint())
        kernels_by_name[f"{name}, gradient"] = filtered_lrelu_tiling.filtered_lrelu("float32", 64, *stages, 0.2, 256.0)
    for name, f in (("upfirdn2d, patch", random(4, 4)), ("upfirdn2d, line", random(8))):
        axis = AxisResampling.from_padding(64, 4, 2, 1, 2, 1)
        kernels_by_name[name] = upfirdn2d_tiling.upfirdn2d("float16", _to_host(Resampler(f, axis, axis)))
    kernels_by_name["swish"] = upfirdn2d_tiling.bias_act("float16", 4096, 64, 8, "swish", 0.0, 1.4, None)
    return kernels_by_name


@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kind_of_kernel_compiles_without_spilling_registers(architecture):
    compiler = nvrtc.library()
    if int(architecture[3:]) not in compiler.architectures():
        pytest.skip(f"NVRTC {compiler.version} does not know {architecture}")
    cases = list(kernels().items())
    # All for sm_90; every third one for the others, which saves time.
    for name, kernel in cases if architecture == "sm_90" else cases[ARCHITECTURES.index(architecture) % 3 :: 3]:
        log: list[str] = []
        image = compiler.compile(kernel.source(), architecture, "--ptxas-options=-v", log=log)
        assert image.startswith(b"\x7fELF"), name
        spilled = re.findall(r"(\d+) bytes spill", "".join(log))
        assert spilled and set(spilled) == {"0"}, f"{name}: {log}"


def test_every_kernel_fits_the_default_limits_of_every_gpu():
    for name, kernel in kernels().items():
        assert kernel.shared_words * 4 <= SHARED_LIMIT, name
        assert len(kernel.parameters) <= PARAMETER_LIMIT, name


@needs_nvrtc
def test_a_kernel_is_compiled_once_and_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("BANDLIMIT_CACHE", str(tmp_path))
    source = kernels()["swish"].source()
    first = nvrtc.compile_cached(source, "sm_90")
    (cached,) = (tmp_path / "kernels").iterdir()
    assert cached.read_bytes() == first
    cached.write_bytes(b"the cached file")
    assert nvrtc.compile_cached(source, "sm_90") == b"the cached file"
    assert nvrtc.compile_cached(source, "sm_80") != first
    assert len(list((tmp_path / "kernels").iterdir())) == 2


@needs_nvrtc
def test_a_gpu_newer_than_nvrtc_gets_ptx_that_its_driver_compiles(tmp_path, monkeypatch):
    monkeypatch.setenv("BANDLIMIT_CACHE", str(tmp_path))
    assert b".target sm_" in nvrtc.compile_cached(kernels()["swish"].source(), "sm_990")


@needs_nvrtc
def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch):
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


def test_a_tensor_on_another_device_is_refused_with_a_reason():
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
def test_on_a_gpu_the_kernels_are_used_and_agree_with_the_cpu(dtype):
    x, b = random(2, 5, 21, 19, dtype=dtype), random(5, seed=1)
    for fd in (random(12), random(12, 12)):
        settings = {"up": 2, "down": 2, "padding": 11, "clamp": 0.8}
        result = ops.filtered_lrelu(x.cuda(), random(12).cuda(), fd.cuda(), b.cuda(), **settings)
        expected = ops.filtered_lrelu(x.float(), random(12), fd, b, **settings)
        assert relative_error(result.cpu(), expected) < (1e-5 if dtype == torch.float32 else 1.6e-2)
    for family in ("filtered_lrelu", "upfirdn2d", "bias_act"):
        assert dispatch.unsupported_reason(family, x.cuda()) is None
    assert f"filtered_lrelu: {dispatch.NAME}" in ops.describe("cuda")


@needs_gpu
def test_on_a_gpu_a_graph_records_and_replays_the_kernels():
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
