"""Shares images with the renderer in GPU memory where the window draws with the same GPU.

A test image decides, once for each renderer process: it is copied into a texture and read back. Where it fails, and
whenever a later copy fails, images go through main memory, and the reason is shown.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gui.canvas.texture import InteropDevice, StreamTexture
from renderer.messages import GpuFrameHandle, GpuOffer
from renderer.transport.frames import make_test_image


def open_device(bus: str) -> InteropDevice:
    """The GPU at a PCI address, for the current OpenGL context. Raises GpuError."""
    from gui.canvas.cuda_gl import CudaGlDevice

    return CudaGlDevice(bus)


class GpuInterop:
    """Decides whether images are shared in GPU memory. Needs a current OpenGL context."""

    def __init__(self, open_device: Callable[[str], InteropDevice] = open_device) -> None:
        self.device: InteropDevice | None = None  # None: images go through main memory
        self._open_device = open_device
        self._bus = ""
        self._reason = ""
        self._tried_offer: GpuOffer | None = None

    @property
    def transport(self) -> str:
        """How images get to the window, as a line of text."""
        if self.device is not None:
            return "straight from the GPU's memory"
        return f"through main memory: {self._reason}" if self._reason else "through main memory"

    def try_offer(self, offer: GpuOffer | None) -> tuple[str, bool] | None:
        """Test a new offer of the renderer; return the GPU's PCI address and whether to share, None without one."""
        if offer is None or offer is self._tried_offer:
            return None
        self._tried_offer = offer
        place = offer.test_frame
        if place is None:  # the renderer cannot share
            self.close()
            self._reason = offer.reason
            return None
        if self.device is not None and place.bus != self._bus:
            return place.bus, False  # a second GPU computes; the window draws with the first
        try:
            self.device, self._bus = self.device or self._open_device(place.bus), place.bus
            _run_test(place, self.device)
        except Exception as error:  # noqa: BLE001 - after any error images go through main memory
            self.fail(error)
        return place.bus, self.device is not None

    def fail(self, error: Exception) -> None:
        """Stop sharing after an error, until another renderer offers it."""
        self.close()
        self._reason = " ".join(str(error).split())[:200] or type(error).__name__

    def forget(self) -> None:
        """Release what belongs to a renderer that is gone."""
        self._tried_offer = None
        if self.device is not None:
            self.device.forget()

    def close(self) -> str | None:
        """Close the device; return its PCI address if it was in use."""
        if self.device is None:
            return None
        self.device.close()
        self.device, self._reason = None, ""
        return self._bus


def _run_test(place: GpuFrameHandle, device: InteropDevice) -> None:
    """Copy the test image into a texture and compare. Raises what the device raises, and ValueError."""
    texture = StreamTexture()
    try:
        for _ in range(2):  # StreamTexture alternates between two textures
            texture.copy_from_gpu(place, device)
            if not np.array_equal(texture.read(), make_test_image(place.height, place.width)):
                raise ValueError("a test picture came out of the texture wrong")
    finally:
        texture.close()
