"""Sends frames to the window: in GPU memory if the window has found that to work, else in main memory.

The first image rendered on a GPU is accompanied by an offer: a test frame in that GPU's memory. The window tries to
copy it into a texture and answers. Until then, or if it fails, frames go through main memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from renderer.messages import GpuFrameHandle, GpuOffer
from renderer.transport.frames import FrameHandle, FrameWriter, make_test_image
from renderer.transport.gpu_pool import GpuMemory, GpuPool

if TYPE_CHECKING:  # torch is imported while messages are already received
    import torch

    from renderer.stages.render_output import RenderOutput

GPU_ERRORS = RuntimeError, TypeError, ValueError  # GpuError and what torch raises
TEST_IMAGE_SIZE = 48, 80  # height and width

OnOffer = Callable[[GpuOffer], None]


def create_cuda_memory(device: torch.device) -> GpuMemory:
    """Return the allocator of shareable memory on an NVIDIA GPU. Raises GpuError."""
    from renderer.transport.cuda_memory import CudaMemory

    return CudaMemory(device)


class FrameTransport:
    """Writes frames into shared memory and tracks which slots the window holds."""

    def __init__(
        self,
        writer: FrameWriter,
        offer: OnOffer | None = None,
        memory: Callable[[torch.device], GpuMemory] = create_cuda_memory,
        device_type: str = "cuda",
    ) -> None:
        """Without `offer` (renderer and window in one process), all frames go through main memory."""
        self._writer, self._offer, self._memory, self._kind = writer, offer, memory, device_type
        self._pools: dict[torch.device, GpuPool | None] = {}
        self._shared_bus = ""  # PCI bus id of the GPU whose memory the window reads

    def has_free_slot(self, view: str) -> bool:
        """Whether a frame can be written for the view now."""
        pools = list(self._pools.values())  # also called on the receiving thread
        return self._writer.has_free_slot(view) and all(pool is None or pool.has_free_slot(view) for pool in pools)

    def release(self, view: str, slot: int) -> None:
        """Free a slot in main memory that the window no longer uses."""
        self._writer.release(view, slot)

    def release_block(self, bus: str, number: int) -> None:
        """Free a block of GPU memory that the window no longer uses."""
        for pool in list(self._pools.values()):
            if pool is not None and pool.bus == bus:
                pool.release(number)

    def set_gpu_sharing(self, bus: str, wanted: bool) -> None:
        """Turn sharing of this GPU's memory on or off, as the window asks."""
        if wanted:
            self._shared_bus = bus
        elif self._shared_bus == bus:
            self._shared_bus = ""

    def publish(self, view: str, output: RenderOutput) -> FrameHandle | GpuFrameHandle:
        """Write a frame and return its handle; the slot belongs to the window until it is released."""
        pool = self._pool(output.image.colors.device)
        if pool is not None and pool.bus == self._shared_bus:
            try:
                handle, block = pool.acquire(view, output.height, output.width)
                block.begin_write()
                output.write_rgba(block.pixels(output.height, output.width))
                block.end_write()
                return handle
            except GPU_ERRORS as error:
                self._disable_gpu(output.image.colors.device, error)
        handle, frame = self._writer.acquire(view, output.height, output.width)
        output.write_rgba(frame)
        return handle

    def _pool(self, device: torch.device) -> GpuPool | None:
        """Return the pool of a device; create it and offer it to the window at its first image."""
        if device.type != self._kind or self._offer is None:
            return None
        if device not in self._pools:
            import torch

            self._pools[device] = None
            try:
                pool = GpuPool(self._memory(device))
                handle, block = pool.acquire("test", *TEST_IMAGE_SIZE)
                block.begin_write()
                block.pixels(*TEST_IMAGE_SIZE).copy_(torch.from_numpy(make_test_image(*TEST_IMAGE_SIZE)))
                block.end_write()
            except GPU_ERRORS as error:
                self._disable_gpu(device, error)
            else:
                self._pools[device] = pool
                self._offer(GpuOffer(handle))
        return self._pools[device]

    def _disable_gpu(self, device: torch.device, error: Exception) -> None:
        self._pools[device] = None
        self._shared_bus = ""
        assert self._offer is not None
        self._offer(GpuOffer(None, " ".join(str(error).split())[:200]))
