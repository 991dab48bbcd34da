"""Pictures straight from the renderer's memory on the GPU into textures, where the window draws with the same GPU.

Whether that works is found out by a test picture, once for each renderer: it goes the whole way, and is read back from
the texture. Where it fails, and whenever anything fails later, pictures come through main memory; one line says why.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gui.canvas.texture import InteropDevice, StreamTexture
from renderer.messages import GpuOffer, GpuPlace
from renderer.transport.frames import pattern


def open_device(bus: str) -> InteropDevice:
    """The GPU at a PCI address, for the OpenGL context that is current. Raises GpuError."""
    from gui.canvas.cuda_gl import CudaGlDevice

    return CudaGlDevice(bus)


class GpuInterop:
    """Decides which way pictures take; needs a current OpenGL context."""

    def __init__(self, open_device: Callable[[str], InteropDevice] = open_device) -> None:
        self.device: InteropDevice | None = None  # None: pictures come through main memory
        self._open_device = open_device
        self._bus = ""
        self._reason = ""
        self._tried_offer: GpuOffer | None = None

    @property
    def transport(self) -> str:
        """One line for the person."""
        if self.device is not None:
            return "straight from the GPU's memory"
        return f"through main memory: {self._reason}" if self._reason else "through main memory"

    def try_offer(self, offer: GpuOffer | None) -> tuple[str, bool] | None:
        """Try what the renderer offers when it is seen first: the GPU's PCI address, and whether to share there."""
        if offer is None or offer is self._tried_offer:
            return None
        self._tried_offer = offer
        place = offer.place
        if place is None:  # the renderer itself cannot go on
            self.close()
            self._reason = offer.why
            return None
        if self.device is not None and place.bus != self._bus:
            return place.bus, False  # a second GPU computes, the window draws with the first
        try:
            self.device, self._bus = self.device or self._open_device(place.bus), place.bus
            _run_test(place, self.device)
        except Exception as error:  # noqa: BLE001 - whatever it was, there is the other way
            self.fail(error)
        return place.bus, self.device is not None

    def fail(self, error: Exception) -> None:
        """Something went wrong: no more sharing, until another renderer offers it."""
        self.close()
        self._reason = " ".join(str(error).split())[:200] or type(error).__name__

    def forget(self) -> None:
        """The renderer is gone."""
        self._tried_offer = None
        if self.device is not None:
            self.device.forget()

    def close(self) -> str | None:
        """Close the card; its PCI address if it was in use."""
        if self.device is None:
            return None
        self.device.close()
        self.device, self._reason = None, ""
        return self._bus


def _run_test(place: GpuPlace, device: InteropDevice) -> None:
    """Bring the test picture into a texture and compare. Raises what the card raises, and ValueError."""
    texture = StreamTexture()
    try:
        for _ in range(2):  # both of its textures
            texture.copy_from_gpu(place, device)
            if not np.array_equal(texture.read(), pattern(place.height, place.width)):
                raise ValueError("a test picture came out of the texture wrong")
    finally:
        texture.close()
