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

Check = Callable[[ctypes.CDLL], str | None]


@dataclass
class _State:
    """What this process knows; written under `lock` alone."""

    library: ctypes.CDLL | None = None
    name: str = "plain torch"
    reason: str | None = None  # why there is none; None until the first ready()
    building: threading.Thread | None = None
    built: Path | build.BuildError | None = None
    check: Check | None = None  # set by cpu.py
    lock: threading.RLock = field(default_factory=threading.RLock)


_state = _State()


def ready(wait: bool = False) -> bool:
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
        if _state.building is None and _state.built is None and _found():
            return True
        if _state.building is not None:
            if wait:
                _state.building.join()
            if _state.building.is_alive():
                _state.reason = "it is being built; the next network to be loaded will have it"
                return False
            _state.building = None
        if isinstance(_state.built, Path):
            _state.reason = _adopt(_state.built)
        else:
            _state.reason = str(
                _state.built or "its build was broken off; the next network to be loaded starts another"
            )
        return _state.library is not None


def serving() -> str:
    """The name of what computes: "plain torch", or "C++" and which build. Results agree bit for bit under one name."""
    return _state.name


def why_not() -> str | None:
    """None if the C++ kernel serves, else the reason. The first call of a process decides, as `ready()` does."""
    if _state.library is None and _state.reason is None:
        ready()
    return None if _state.library is not None else _state.reason


def building() -> bool:
    """Whether a build is under way."""
    return _state.building is not None and _state.building.is_alive()


def library() -> ctypes.CDLL | None:
    """The library in use."""
    return _state.library


def checked_by(check: Check) -> None:
    """What a library has to pass before it is used: `check` returns what is wrong with it, or None."""
    _state.check = check


def _found() -> bool:
    """Adopt what is there already, or else begin to build."""
    reasons = []
    for path in build.find():
        reason = _adopt(path)
        if reason is None:
            return True
        reasons.append(reason)
        if path.parent != build.PREBUILT:  # this compiler would make the same again
            _state.built = build.BuildError(reason)
    if _state.built is None and build.compiler():
        building = threading.Thread(target=_build, name="kernel build", daemon=True)
        try:
            building.start()
            _state.building = building
        except RuntimeError as error:  # too little memory, or too many threads
            _state.built = build.BuildError(f"its build could not begin: {error}")
    elif _state.built is None:
        reasons = reasons or [f"{build.no_compiler()}, and no prebuilt library is there"]
        _state.built = build.BuildError(reasons[0])
    return False


def _build() -> None:
    try:
        _state.built = build.build()
    except build.BuildError as error:
        _state.built = error


def _adopt(path: Path) -> str | None:
    """Use this library from now on, or say why it cannot be."""
    try:
        found = ctypes.CDLL(str(path))
        version = found.bandlimit_version()
    except (OSError, AttributeError) as error:
        return f"{path.name} could not be loaded: {error}"
    if version != VERSION:
        return f"{path.name} is of another version ({version}, not {VERSION})"
    try:
        wrong = _state.check(found) if _state.check else None
    except (MemoryError, RuntimeError) as error:  # torch's own word for too little memory is a RuntimeError
        return f"its self-check was broken off ({str(error).partition(chr(10))[0]})"
    if wrong:
        return f"it failed its self-check: {wrong}"
    _state.library, _state.name = found, f"C++ {path.stem}"
    return None
