"""Render errors as one sentence for the user."""

from __future__ import annotations

import traceback

from renderer.messages import RenderFailure, RenderRequest

# torch's wordings, over all devices, for running out of memory.
_OUT_OF_MEMORY_PHRASES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "cannot allocate",
    "Buffer size",
)
_BROKEN_DEVICE_PHRASES = ("CUDA error", "CUDNN_STATUS_EXECUTION_FAILED", "device-side assert")


class RenderError(Exception):
    """An error that the user can fix; `str()` is one sentence: what happened, where, what to do."""


def make_failure(request: RenderRequest, error: BaseException) -> RenderFailure:
    """Return the failure answer to a request. Call it in the `except` block, for the traceback."""
    return RenderFailure(request.view, request.id, request.scene, user_message(error), traceback.format_exc())


def user_message(error: BaseException) -> str:
    """Return the error as one sentence for the status bar."""
    from networks.errors import CheckpointError

    if isinstance(error, (RenderError, CheckpointError)):
        return str(error)
    if is_out_of_memory(error):
        return (
            "There is not enough memory for this picture: close other programs, choose another device, or open a "
            "smaller network."
        )
    first = next(iter(str(error).strip().splitlines()), "")
    return f"The picture could not be made ({type(error).__name__}: {first:.200}): copy the details into a report."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error means that memory ran out, on any device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _OUT_OF_MEMORY_PHRASES)


def is_fatal(error: BaseException) -> bool:
    """Whether the device is unusable until the process is restarted."""
    return (
        isinstance(error, RuntimeError)
        and any(word in str(error) for word in _BROKEN_DEVICE_PHRASES)
        and not is_out_of_memory(error)
    )
