"""Opens thousands of damaged network files and counts the outcomes: `make soak`, or 200 of each kind in the tests.

    python tests/networks/soak_mutations.py --rounds 10000 --seed 1

Every kind of file is opened in a process of its own, so that a crash is detected. A file may load or be refused by a
CheckpointError of one sentence. Meanwhile an audit hook records whatever Python runs, imports, starts, opens for
writing or connects to, and most payloads would leave a file named `canary`.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KINDS = ("stylegan3 pickle", "stylegan2 pickle", "tensorflow pickle", "openmmlab pth", "safetensors")
SPARE = 24 << 20  # bytes that the reader may take beyond twice the file's size
LONGEST_SENTENCE = 600
OUTCOMES = {
    "loaded": "loaded",
    "broken": "refused as broken",
    "hostile": "refused as hostile",
    "foreign": "refused as no network file",
    "memory": "refused as too large",
}
SLOWEST = 20.0  # seconds for one tiny file

FORBIDDEN = {  # audit events; opening for writing is detected by its mode
    *("exec", "compile", "import", "code.__new__", "marshal.loads", "pickle.find_class", "builtins.input"),
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile", "subprocess.Popen"),
    *("os.remove", "os.rename", "os.chmod", "os.putenv", "shutil.rmtree", "webbrowser.open", "sys.setprofile"),
    *("ctypes.dlopen", "ctypes.dlsym", "ctypes.call_function"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo"),
}


def soak(kind: str, rounds: int, seed: int) -> dict[str, Any]:
    """Run one kind in a process of its own; return its counts, or the crash."""
    done = worker("--worker", kind, "--rounds", str(rounds), "--seed", str(seed))
    if done.returncode != 0:
        return {"kind": kind, "crash": f"exit status {done.returncode}: {done.stderr[-2000:]}"}
    return json.loads(done.stdout.splitlines()[-1])


class Watch:
    """Records forbidden events while armed. An audit hook cannot be removed, hence the process of its own."""

    def __init__(self) -> None:
        self.armed = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event in FORBIDDEN:
            self.seen.append(f"{event} {str(arguments)[:100]}")
        elif event == "open" and (_writes(arguments[1]) or _flags_write(arguments[2])):
            self.seen.append(f"open for writing {str(arguments)[:100]}")


def work(kind: str, rounds: int, seed: int) -> dict[str, Any]:
    """In the worker: mutate, open, and count the outcomes."""
    sys.path[:0] = [str(ROOT), str(HERE)]
    from checkpoint_writers import TINY_FILES
    from mutations import mutate

    from networks import CheckpointError, load_network

    counts: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    worst_memory, slowest = 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        original = TINY_FILES[kind](Path(folder))
        data = original.read_bytes()
        damaged = Path(folder) / f"damaged{original.suffix}"
        _warm_up(original, data)
        watch = Watch()
        for index in range(rounds):
            content, how = mutate(data, random.Random(f"{kind} {seed} {index}"))  # noqa: S311
            damaged.write_bytes(content)
            before = _reset_peak()
            start = time.monotonic()
            watch.armed = True
            try:
                load_network(damaged)
                outcome = "loaded"
            except CheckpointError as error:
                outcome = error.kind
                if not one_sentence(str(error), damaged.name):
                    wrong.append(f"round {index} ({how}): not one sentence: {error}")
            except BaseException as error:  # noqa: BLE001  (any other is what this looks for)
                outcome = "crash"
                wrong.append(f"round {index} ({how}): {type(error).__name__}: {str(error)[:200]}")
            finally:
                watch.armed = False
            slowest = max(slowest, time.monotonic() - start)
            extra = _peak() - before - 2 * len(content)
            worst_memory = max(worst_memory, extra)
            if extra > SPARE:
                wrong.append(f"round {index} ({how}): {extra} bytes beyond twice the file's size")
            counts[outcome] += 1
            counts[f"{how}: {outcome}"] += 1
        left = [path.name for path in Path(folder).iterdir() if path not in (original, damaged)]
        os.chdir(ROOT)
    if slowest > SLOWEST:
        wrong.append(f"the slowest took {slowest:.1f} s")
    return {
        "kind": kind,
        "rounds": rounds,
        "seed": seed,
        "counts": dict(counts),
        "wrong": wrong[:100],
        "ran": watch.seen[:100] + [f"left {name}" for name in left],
        "memory": worst_memory,
        "slowest": slowest,
    }


def judge(folder: Path) -> dict[str, Any]:
    """In a worker: open each file of a folder once; return outcome, sentence, seconds and memory by file name."""
    sys.path[:0] = [str(ROOT), str(HERE)]
    from checkpoint_writers import TINY_FILES

    from networks import CheckpointError, load_network

    files = sorted(folder.iterdir())
    with tempfile.TemporaryDirectory() as warm:
        for make in TINY_FILES.values():
            original = make(Path(warm))
            _warm_up(original, original.read_bytes())
    watch = Watch()
    found: dict[str, Any] = {}
    os.chdir(folder)
    for path in files:
        watch.seen = []
        before, start = _reset_peak(), time.monotonic()
        watch.armed = True
        try:
            load_network(path)
            kind, sentence = "loaded", ""
        except CheckpointError as error:
            kind, sentence = error.kind, str(error)
        finally:
            watch.armed = False
        seconds, memory = time.monotonic() - start, _peak() - before
        found[path.name] = {
            "kind": kind,
            "sentence": sentence,
            "seconds": seconds,
            "memory": memory,
            "size": path.stat().st_size,
            "ran": watch.seen,
        }
    found["left behind"] = [path.name for path in folder.iterdir() if path not in files]
    return found


def worker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this file in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def one_sentence(text: str, name: str) -> bool:
    """Whether a message is one sentence: one line, a full stop at its end only, and the name of the file."""
    inside = text.replace(name, "")[:-1]
    return (
        "\n" not in text
        and text.endswith(".")
        and len(text) <= LONGEST_SENTENCE
        and name in text
        and re.search(r"[.!?] [A-Z]", inside) is None
        and text.isprintable()
    )


def _warm_up(original: Path, data: bytes) -> None:
    """Import and allocate what opening and refusing files needs, before anything is measured."""
    from networks import CheckpointError, load_network

    for content in (data, data[: len(data) // 2], b"cos\nsystem\n.", data, b"\x80\x04\x95", data):
        path = original.with_name(f"warm{original.suffix}")
        path.write_bytes(content)
        with contextlib.suppress(CheckpointError):
            load_network(path)
        path.unlink()


def _reset_peak() -> int:
    """Reset the peak of memory and return the bytes in use. Linux only; 0 elsewhere, where memory is not measured."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    match = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _writes(mode: Any) -> bool:
    return isinstance(mode, str) and any(letter in mode for letter in "wax+")


def _flags_write(flags: Any) -> bool:
    return isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) != 0


def flat(results: list[dict[str, Any]]) -> dict[str, object]:
    """Return the counts of several kinds as rows of one table."""
    rows: dict[str, object] = {}
    for result in results:
        kind = result["kind"]
        if "crash" in result:
            rows[f"{kind}: the process died"] = result["crash"][:200]
            continue
        rows[f"{kind}: damaged copies opened"] = result["rounds"]
        for outcome, meaning in OUTCOMES.items():
            rows[f"{kind}: {meaning}"] = result["counts"].get(outcome, 0)
        rows[f"{kind}: anything else (crash, two sentences, memory, time)"] = len(result["wrong"])
        rows[f"{kind}: ran, imported, started, written or connected to"] = len(result["ran"])
        rows[f"{kind}: most memory beyond twice the file's size"] = f"{result['memory'] / 1e6:.1f} MB"
        rows[f"{kind}: slowest"] = f"{result['slowest']:.2f} s"
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10_000, help="damaged copies of each kind of file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worker", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.judge:
        print(json.dumps(judge(options.judge)))
        return 0
    if options.worker:
        print(json.dumps(work(options.worker, options.rounds, options.seed)))
        return 0
    results = []
    for kind in KINDS:
        result = soak(kind, options.rounds, options.seed)
        results.append(result)
        print(json.dumps(result), flush=True)
    return int(any("crash" in result or result["wrong"] or result["ran"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
