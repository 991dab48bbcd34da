"""The C++ kernel is built, cached and loaded without any action of the user, and without getting in the way.

Each test has its own cache and processes; building takes about three seconds.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ops import kernels
from ops.kernels.cpu import build
from ops.kernels.cpu.cross_build import TARGETS

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.skipif(not build.find_compiler(), reason="there is no C++ compiler")

DESCRIBE = "import ops; print(ops.describe()); print(ops.kernels.active_backend())"


def run(code: str, cache: Path | None, **environment: str) -> str:
    process = start(code, cache, **environment)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return out.strip()


def start(code: str, cache: Path | None, **environment: str) -> subprocess.Popen[str]:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("BANDLIMIT_")}
    return subprocess.Popen(
        [sys.executable, *(["-m", "ops.kernels"] if code == "build" else ["-c", code])],
        cwd=ROOT,
        env={**variables, **({"BANDLIMIT_CACHE": str(cache)} if cache else {}), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the kernel in it; two processes built it at the same time."""
    cache = tmp_path_factory.mktemp("cache")
    builders = [start("build", cache) for _ in range(2)]
    for builder in builders:
        out, err = builder.communicate(timeout=200)
        assert out.startswith("The CPU kernel is ready"), err
    return cache


@pytest.fixture
def cache(built: Path, tmp_path: Path) -> Path:
    """A copy that the test may damage."""
    return Path(shutil.copytree(built, tmp_path / "cache"))


def test_two_processes_that_build_at_once_leave_whole_libraries_and_nothing_else(built):
    libraries = list((built / "kernels").iterdir())
    assert libraries
    assert all(path.suffix == build.SUFFIX for path in libraries)
    assert run(DESCRIBE, built).endswith(tuple(path.stem for path in libraries))


def test_denormals_survive_loading_the_kernel(built):
    code = "import torch, ops; assert ops.kernels.load(); print((torch.full([64], 1e-40) * 1.0).min().item() > 0)"
    assert run(code, built) == "True"
    code = "import ops; assert ops.kernels.load(); print(5e-324 * 1.0 > 0, 1e-310 / 2 > 0)"
    assert run(code, built) == "True True"


@pytest.mark.parametrize("damage", ["cut short", "altered", "emptied"])
def test_a_damaged_library_is_not_loaded(cache, monkeypatch, damage):
    monkeypatch.setenv("BANDLIMIT_CACHE", str(cache))
    assert build.find_libraries()
    for path in (cache / "kernels").iterdir():
        content = path.read_bytes()
        altered = content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]
        path.write_bytes({"cut short": content[:9000], "altered": altered, "emptied": b""}[damage])
    assert build.find_libraries() == []


def test_a_damaged_library_is_built_again(cache):
    for path in (cache / "kernels").iterdir():
        path.write_bytes(b"no library")
    assert run("build", cache).startswith("The CPU kernel is ready")
    assert "filtered_lrelu: C++" in run(DESCRIBE, cache)


def test_without_a_compiler_plain_torch_serves_and_says_why(tmp_path):
    output = run(DESCRIBE, tmp_path, PATH="", CXX="")
    assert "filtered_lrelu: plain torch" in output
    assert "no C++ compiler was found" in output
    assert output.endswith("\nplain torch")
    assert run("build", tmp_path, PATH="", CXX="").startswith("Plain torch serves the CPU: no C++ compiler")


def test_without_a_compiler_what_was_built_before_still_serves(built):
    assert "filtered_lrelu: C++" in run(DESCRIBE, built, PATH="", CXX="")


def test_a_compiler_that_fails_or_a_cache_that_cannot_be_written_leave_plain_torch(tmp_path):
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\necho 'fatal error: no headers' >&2\nexit 1\n")
    compiler.chmod(0o755)
    output = run("build", tmp_path, CXX=str(compiler))
    assert "fatal error: no headers" in output
    output = run("from cli import doctor; print(doctor.kernels())", tmp_path, CXX=str(compiler))
    assert "filtered_lrelu: plain torch (C++: broken refused the kernel: fatal error: no headers)" in output
    (tmp_path / "file").write_text("not a folder")
    assert run("build", tmp_path / "file").startswith("Plain torch serves the CPU: the kernel could not be built")


def test_a_cache_folder_may_have_any_name(tmp_path):
    cache = tmp_path / ("o'brien (x86) & $HOME | é" + ("\udce9" if sys.platform == "linux" else ""))
    assert run("build", cache).startswith("The CPU kernel is ready")


def test_a_compiler_may_be_a_command_with_arguments(monkeypatch):
    monkeypatch.setenv("CXX", f"{shlex.quote(sys.executable)} -m ziglang 'c++'")
    assert build.find_compiler() == [sys.executable, "-m", "ziglang", "c++"]


def test_a_cxx_that_is_no_compiler_is_named(tmp_path):
    assert "no C++ compiler was found (CXX is nonsense -O2)" in run("build", tmp_path, CXX="nonsense -O2")
    assert "no C++ compiler was found (CXX is g++ ')" in run("build", tmp_path, CXX="g++ '")


def test_without_a_home_folder_plain_torch_serves_and_says_what_to_do():
    output = run(
        f"{DESCRIBE}; from ops.kernels import load; load(wait=True); {DESCRIBE}", None, HOME="~", USERPROFILE="~"
    )
    assert "there is no home folder to keep it in; set BANDLIMIT_CACHE" in output
    assert output.endswith("\nplain torch")


def test_a_release_library_that_cannot_be_loaded_does_not_prevent_a_build(built, tmp_path):
    digest = hashlib.sha256(b"no library").hexdigest()[:16]
    for target in TARGETS:
        (tmp_path / f"{target.name}-{build.source_key()}-{digest}{target.suffix}").write_bytes(b"no library")
    release = f"from pathlib import Path; from ops.kernels.cpu import build; build.PREBUILT = Path({str(tmp_path)!r});"
    assert "filtered_lrelu: C++" in run(f"{release} {DESCRIBE}", built)
    assert "filtered_lrelu: C++" in run(f"{release} import ops; ops.kernels.load(wait=True); {DESCRIBE}", tmp_path)


def test_a_kernel_that_fails_its_self_test_is_refused(tmp_path):
    code = (
        "import ops; from ops.kernels.cpu import loader; loader.set_self_test(lambda library: 'separable');"
        "print(ops.kernels.load(wait=True)); print(ops.describe())"
    )
    output = run(code, tmp_path)
    assert output.startswith("False")
    assert "filtered_lrelu: plain torch (C++: it failed its self-check: separable)" in output


def test_the_backend_changes_only_in_load(tmp_path):
    code = """
import time, torch, ops
x, f = torch.randn(1, 20, 16, 16), torch.randn(12)
layer = lambda: ops.filtered_lrelu(x, f, f, None, 2, 2, 9)
first = layer()  # starts to build
assert ops.kernels.active_backend() == "plain torch", ops.kernels.active_backend()
from ops.kernels.cpu import loader
while loader.is_building():
    time.sleep(0.1)
assert torch.equal(layer(), first)
assert ops.kernels.active_backend() == "plain torch"
assert ops.kernels.load()
assert ops.kernels.active_backend().startswith("C++")
print((layer() - first).abs().max().item() < 1e-5 * first.abs().max().item())
"""
    assert run(code, tmp_path) == "True"


def test_an_environment_variable_forbids_the_kernel(built):
    output = run(DESCRIBE, built, BANDLIMIT_KERNELS="torch")
    assert "filtered_lrelu: plain torch" in output
    assert "BANDLIMIT_KERNELS=torch forbids it" in output


def test_the_active_backend_and_the_reason_agree_with_load():
    loaded = kernels.load(wait=True)
    assert loaded == (kernels.unavailable_reason() is None)
    assert kernels.active_backend().startswith("C++" if loaded else "plain torch")


def test_the_former_names_still_work():
    assert kernels.ready(wait=True) == (kernels.why_not() is None)
    assert kernels.serving() == kernels.active_backend()


LIMIT = """
import resource, ops
from ops.kernels.cpu import loader, self_test
def limit_memory(library=None):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used, used))
    return library and self_test.find_error(library)
"""
LOAD = "print(ops.kernels.load(), ops.kernels.unavailable_reason())"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not enforce this limit")
def test_too_little_memory_to_build_or_test_the_kernel_leaves_plain_torch(built, tmp_path):
    output = run(f"{LIMIT}\nloader.set_self_test(limit_memory); {LOAD}", built)
    assert output.startswith("False its self-check was broken off (")
    assert run(f"{LIMIT}\nlimit_memory(); {LOAD}", tmp_path).startswith("False its build could not begin")
