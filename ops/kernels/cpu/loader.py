"""Which CPU kernel this process uses: found, or built in the background while plain torch serves, checked, adopted."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ops.kernels.cpu import build

VERSION = 5  # of what kernel.cpp exports

SelfTest = Callable[[ctypes.CDLL], str | None]


@dataclass
class _State:
    """What this process knows; written under `lock` alone."""

    library: ctypes.CDLL | None = None
    name: str = "plain torch"
    reason: str | None = None  # why there is none; None until the first ready()
    build_thread: threading.Thread | None = None
    build_result: Path | build.BuildError | None = None
    self_test: SelfTest | None = None  # set by cpu.py
    lock: threading.RLock = field(default_factory=threading.RLock)


_state = _State()


def load(wait: bool = False) -> bool:
    """Whether the C++ kernel serves from now on.

    Adopts a library that is in the cache or came with the release, after comparing it with plain torch. Where none
    serves, builds one: in the background, to be adopted by a later call, or at once if `wait`. BANDLIMIT_KERNELS=torch
    forbids it all. Never raises: `why_not()` has the reason.
    """
    with _state.lock:
        if _state.library is not None:
            return True
        if os.environ.get("BANDLIMIT_KERNELS") == "torch":
            _state.reason = "BANDLIMIT_KERNELS=torch forbids it"
            return False
        if _state.build_thread is None and _state.build_result is None and _adopt_or_build():
            return True
        if _state.build_thread is not None:
            if wait:
                _state.build_thread.join()
            if _state.build_thread.is_alive():
                _state.reason = "it is being built; the next network to be loaded will have it"
                return False
            _state.build_thread = None
        if isinstance(_state.build_result, Path):
            _state.reason = _adopt(_state.build_result)
        else:
            _state.reason = str(
                _state.build_result or "its build was broken off; the next network to be loaded starts another"
            )
        return _state.library is not None


def active_backend() -> str:
    """The name of what computes: "plain torch", or "C++" and which build. Results agree bit for bit under one name."""
    return _state.name


def unavailable_reason() -> str | None:
    """None if the C++ kernel serves, else the reason. The first call of a process decides, as `ready()` does."""
    if _state.library is None and _state.reason is None:
        load()
    return None if _state.library is not None else _state.reason


def is_building() -> bool:
    """Whether a build is under way."""
    return _state.build_thread is not None and _state.build_thread.is_alive()


def library() -> ctypes.CDLL | None:
    """The library in use."""
    return _state.library


def set_self_test(check: SelfTest) -> None:
    """What a library has to pass before it is used: `check` returns what is wrong with it, or None."""
    _state.self_test = check


def _adopt_or_build() -> bool:
    """Adopt what is there already, or else begin to build."""
    reasons = []
    for path in build.find_libraries():
        reason = _adopt(path)
        if reason is None:
            return True
        reasons.append(reason)
        if path.parent != build.PREBUILT:  # this compiler would make the same again
            _state.build_result = build.BuildError(reason)
    if _state.build_result is None and build.find_compiler():
        building = threading.Thread(target=_build, name="kernel build", daemon=True)
        try:
            building.start()
            _state.build_thread = building
        except RuntimeError as error:  # too little memory, or too many threads
            _state.build_result = build.BuildError(f"its build could not begin: {error}")
    elif _state.build_result is None:
        reasons = reasons or [f"{build.explain_no_compiler()}, and no prebuilt library is there"]
        _state.build_result = build.BuildError(reasons[0])
    return False


def _build() -> None:
    try:
        _state.build_result = build.build()
    except build.BuildError as error:
        _state.build_result = error


def _adopt(path: Path) -> str | None:
    """Use this library from now on, or say why it cannot be."""
    try:
        library = ctypes.CDLL(str(path))
        version = library.bandlimit_version()
    except (OSError, AttributeError) as error:
        return f"{path.name} could not be loaded: {error}"
    if version != VERSION:
        return f"{path.name} is of another version ({version}, not {VERSION})"
    try:
        error_found = _state.self_test(library) if _state.self_test else None
    except (MemoryError, RuntimeError) as error:  # torch's own word for too little memory is a RuntimeError
        return f"its self-check was broken off ({str(error).partition(chr(10))[0]})"
    if error_found:
        return f"it failed its self-check: {error_found}"
    _state.library, _state.name = library, f"C++ {path.stem}"
    return None
