"""Devices, pipes, sockets and sparse files where a command expects a file: one sentence, soon, in little memory."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS, MEMORY = 20.0, 600  # of computing for one command, so that nothing hangs; MB
IN_ONE_PROCESS = """
import contextlib, io, json, resource, sys
sys.path.insert(0, sys.argv[1])
import cli
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
answers = []
for command, *arguments in json.load(sys.stdin):
    import time
    began, said, err = time.process_time(), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(err):
        try:
            code = cli.run(command, arguments)
        except SystemExit as stopped:
            code = stopped.code
    answers.append([code, time.process_time() - began, said.getvalue(), err.getvalue()])
with open("/proc/self/status") as status:  # ru_maxrss would count what the process that started this one held
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024
print(json.dumps([answers, peak]))
"""

if sys.platform != "linux":
    pytest.skip("devices and pipes as Linux has them", allow_module_level=True)


@pytest.fixture
def special(tmp_path: Path) -> dict[str, Path]:
    """A path of each kind, by a name without a suffix."""
    kinds = {kind: tmp_path / kind for kind in ("pipe", "device", "sparse", "empty", "folder", "socket")}
    os.mkfifo(kinds["pipe"])
    kinds["device"].symlink_to("/dev/zero")
    with kinds["sparse"].open("wb") as file:
        file.truncate(2**30)
    kinds["empty"].touch()
    kinds["folder"].mkdir()
    bound = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(tmp_path)  # the name of a socket is short
    bound.bind("socket")
    os.chdir(here)
    bound.close()
    return kinds


def named(path: Path, suffix: str) -> str:
    """The same by a link of another name."""
    link = path.with_name(path.name + suffix)
    if not link.is_symlink():
        link.symlink_to(path.resolve() if path.name != "device" else "/dev/zero")
    return str(link)


def run_all(commands: list[list[str]]) -> list[tuple[int, str, str]]:
    """Run commands in one process of their own, so that torch is loaded once: exit status, output and error of each."""
    run = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS, str(ROOT)],
        input=json.dumps(commands), capture_output=True, text=True, timeout=150, cwd=ROOT, check=False,
    )  # fmt: skip
    assert run.returncode == 0 and not run.stderr, run.stderr
    answers, peak = json.loads(run.stdout)
    assert peak < MEMORY
    for command, (_, seconds, _, _) in zip(commands, answers, strict=True):
        assert seconds < SECONDS, (command, seconds)
    return [(code, out, err) for code, _, out, err in answers]


def test_every_file_argument_refuses_what_is_no_plain_file(special: dict[str, Path], tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "o.png")]
    dest = ["--dest", str(tmp_path / "o.safetensors")]
    commands: list[list[str]] = []
    for kind, path in special.items():
        for suffix in (".yaml", ".png"):
            commands.append(["render", named(path, suffix), *out])
        for suffix in (".npz", ".npy"):
            commands.append(["render", "--projected-w", named(path, suffix), "--outdir", str(tmp_path / "out")])
        commands.append(["render", "--network", f"file://{path}#sha256={'a' * 64}", *out])
        commands.append(["render", "--network", named(path, ".pkl"), *out])
        commands.append(["convert", "--source", named(path, ".pkl"), *dest])
        commands.append(["dataset", "--source", named(path, ".zip"), "--dest", str(tmp_path / "o.zip")])
        commands.append(["dataset", "letters", "--source", str(path), "--dest", str(tmp_path / "o.zip")])
        for name in ("cifar-10-python.tar.gz", "train-images-idx3-ubyte"):
            (tmp_path / f"{kind} files").mkdir(exist_ok=True)
            link = tmp_path / f"{kind} files" / name
            link.symlink_to(path.resolve() if kind != "device" else "/dev/zero")
            commands.append(["dataset", "--source", str(link), "--dest", str(tmp_path / "o.zip")])
        commands.append(["train", "--data", named(path, ".zip"), "--dry-run"])
        commands.append(["train", "--run", str(path), "--dry-run"])
    for command, (code, _, err) in zip(commands, run_all(commands), strict=True):
        assert code == 2 and err.count("\n") == 1 and "Error" not in err and "Errno" not in err, (command, code, err)
    assert not (tmp_path / "o.png").exists() and not (tmp_path / "o.zip").exists()


def test_a_folder_with_special_files_still_gives_its_pictures(special: dict[str, Path], tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(4):
        Image.new("RGB", (16, 16), (40 * i, 3, 3)).save(pictures / f"{i}.png")
    for kind, path in special.items():
        (pictures / f"z-{kind}.png").symlink_to(path.resolve() if kind != "device" else "/dev/zero")
    commands = [["dataset", "--source", str(pictures), "--dest", str(tmp_path / "o.zip")]]
    commands.append(["train", "--data", str(pictures), "--dry-run"])
    made, trained = run_all(commands)
    assert made[0] == 0 and "4 pictures of 16x16" in made[1]
    assert trained[0] in (0, 2) and "Traceback" not in trained[2]


def test_numbers_that_are_too_large_for_float32_are_said_without_a_warning(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.full((1, 4, 8), 1e300))
    [(code, _, err)] = run_all([["render", "--projected-w", str(tmp_path / "w.npy"), "--outdir", str(tmp_path)]])
    assert code == 2 and "finite" in err and err.count("\n") == 1
