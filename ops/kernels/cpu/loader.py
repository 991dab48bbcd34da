"""Choose the CPU kernel library of this process: from the cache, a release, or a build in the background.

Until a library is built and has passed its self-test, plain torch serves.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ops.kernels.cpu import build

VERSION = 5  # of the interface, see c_api.cpp

SelfTest = Callable[[ctypes.CDLL], str | None]


@dataclass
class _State:
    """The state of this process; written only while `lock` is held."""

    library: ctypes.CDLL | None = None
    name: str = "plain torch"
    reason: str | None = None  # why there is no library; None before the first load()
    build_thread: threading.Thread | None = None
    build_result: Path | build.BuildError | None = None
    self_test: SelfTest | None = None  # returns what the library computes wrongly, or None
    lock: threading.RLock = field(default_factory=threading.RLock)


_state = _State()


def load(wait: bool = False) -> bool:
    """Load the library if there is one, and return whether the C++ kernel is in use from now on.

    Takes a library from the cache or the release, after comparing it with plain torch. If there is none, builds one: in
    the background, for a later call to load, or at once if `wait`. BANDLIMIT_KERNELS=torch forbids it all. Never
    raises: `unavailable_reason()` says what failed.
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
    """Return "plain torch", or "C++" with the library's name. Results under the same name are bit-identical."""
    return _state.name


def unavailable_reason() -> str | None:
    """Return why plain torch serves, or None if the C++ kernel does.

    Calls `load()` if it was never called.
    """
    if _state.library is None and _state.reason is None:
        load()
    return None if _state.library is not None else _state.reason


def is_building() -> bool:
    """Return whether a build is in progress."""
    return _state.build_thread is not None and _state.build_thread.is_alive()


def library() -> ctypes.CDLL | None:
    """Return the library in use."""
    return _state.library


def set_self_test(self_test: SelfTest) -> None:
    """Set the test that a library must pass before it is used: it returns what is computed wrongly, or None."""
    _state.self_test = self_test


def _adopt_or_build() -> bool:
    """Use a library that exists already, else start a build; return whether one is in use."""
    reasons = []
    for path in build.find_libraries():
        reason = _adopt(path)
        if reason is None:
            return True
        reasons.append(reason)
        if path.parent != build.PREBUILT:  # a new build would be the same
            _state.build_result = build.BuildError(reason)
    if _state.build_result is None and build.find_compiler():
        thread = threading.Thread(target=_build, name="kernel build", daemon=True)
        try:
            thread.start()
            _state.build_thread = thread
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
    """Use this library from now on and return None, or return why it cannot be used."""
    try:
        library = ctypes.CDLL(str(path))
        version = library.bandlimit_version()
    except (OSError, AttributeError) as error:
        return f"{path.name} could not be loaded: {error}"
    if version != VERSION:
        return f"{path.name} is of another version ({version}, not {VERSION})"
    try:
        error_found = _state.self_test(library) if _state.self_test else None
    except (MemoryError, RuntimeError) as error:  # torch raises RuntimeError if memory runs out
        return f"its self-check was broken off ({str(error).partition(chr(10))[0]})"
    if error_found:
        return f"it failed its self-check: {error_found}"
    _state.library, _state.name = library, f"C++ {path.stem}"
    return None
