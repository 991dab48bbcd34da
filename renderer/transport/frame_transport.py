"""How a finished picture gets to the window: on the GPU where the window has found that to work, else in main memory.

The first picture that a GPU computes is accompanied by an offer: a test picture in that GPU's memory. The window tries
to bring it into a texture and answers; until then, and wherever it says no, pictures go through main memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from renderer.messages import GpuFrameHandle, GpuOffer
from renderer.transport.frames import FrameHandle, FrameWriter, make_test_image
from renderer.transport.gpu_pool import GpuMemory, GpuPool

if TYPE_CHECKING:  # torch arrives while the renderer already listens
    import torch

    from renderer.stages.render_output import RenderOutput

GPU_ERRORS = RuntimeError, TypeError, ValueError  # GpuError is one, and so is what torch raises
TEST_IMAGE_SIZE = 48, 80  # height and width of the test picture

OnOffer = Callable[[GpuOffer], None]


def create_cuda_memory(device: torch.device) -> GpuMemory:
    """The memory of an NVIDIA GPU."""
    from renderer.transport.cuda_memory import CudaMemory

    return CudaMemory(device)


class FrameTransport:
    """Puts pictures where the window finds them."""

    def __init__(
        self,
        writer: FrameWriter,
        offer: OnOffer | None = None,
        memory: Callable[[torch.device], GpuMemory] = create_cuda_memory,
        device_type: str = "cuda",
    ) -> None:
        """Without `offer` (renderer and window in one process) all go through main memory."""
        self._writer, self._offer, self._memory, self._kind = writer, offer, memory, device_type
        self._pools: dict[torch.device, GpuPool | None] = {}
        self._shared_bus = ""  # PCI address of the GPU whose pictures the window takes

    def has_free_slot(self, view: str) -> bool:
        """Whether a picture can be written for the view now."""
        pools = list(self._pools.values())  # this is asked on the thread that listens, too
        return self._writer.has_free_slot(view) and all(pool is None or pool.has_free_slot(view) for pool in pools)

    def release(self, view: str, slot: int) -> None:
        """The window has done with a place in main memory."""
        self._writer.release(view, slot)

    def release_block(self, bus: str, number: int) -> None:
        """The window has done with a place on a GPU."""
        for pool in list(self._pools.values()):
            if pool is not None and pool.bus == bus:
                pool.release(number)

    def set_gpu_sharing(self, bus: str, wanted: bool) -> None:
        """The window takes pictures from this GPU from now on, or no longer does."""
        if wanted:
            self._shared_bus = bus
        elif self._shared_bus == bus:
            self._shared_bus = ""

    def publish(self, view: str, finished: RenderOutput) -> FrameHandle | GpuFrameHandle:
        """Write a picture; its place is then the window's."""
        pool = self._pool(finished.image.colors.device)
        if pool is not None and pool.bus == self._shared_bus:
            try:
                place, block = pool.acquire(view, finished.height, finished.width)
                block.begin_write()
                finished.write_rgba(block.pixels(finished.height, finished.width))
                block.end_write()
                return place
            except GPU_ERRORS as error:
                self._disable_gpu(finished.image.colors.device, error)
        place, frame = self._writer.acquire(view, finished.height, finished.width)
        finished.write_rgba(frame)
        return place

    def _pool(self, device: torch.device) -> GpuPool | None:
        """The pool of a device; made, and offered to the window, when its first picture is there."""
        if device.type != self._kind or self._offer is None:
            return None
        if device not in self._pools:
            import torch

            self._pools[device] = None
            try:
                pool = GpuPool(self._memory(device))
                place, block = pool.acquire("test", *TEST_IMAGE_SIZE)
                block.begin_write()
                block.pixels(*TEST_IMAGE_SIZE).copy_(torch.from_numpy(make_test_image(*TEST_IMAGE_SIZE)))
                block.end_write()
            except GPU_ERRORS as error:
                self._disable_gpu(device, error)
            else:
                self._pools[device] = pool
                self._offer(GpuOffer(place))
        return self._pools[device]

    def _disable_gpu(self, device: torch.device, error: Exception) -> None:
        self._pools[device] = None
        self._shared_bus = ""
        assert self._offer is not None
        self._offer(GpuOffer(None, " ".join(str(error).split())[:200]))
