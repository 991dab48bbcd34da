"""How a finished picture gets to the window: on the GPU where the window has found that to work, else in main memory.

The first picture that a GPU computes is accompanied by an offer: a test picture in that GPU's memory. The window tries
to bring it into a texture and answers; until then, and wherever it says no, pictures go through main memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from renderer.messages import GpuOffer, GpuPlace
from renderer.transport.frames import FrameWriter, Place, pattern
from renderer.transport.gpu_pool import GpuPool, Memory

if TYPE_CHECKING:  # torch arrives while the renderer already listens
    import torch

    from renderer.stages.render_output import Finished

FAILURES = RuntimeError, TypeError, ValueError  # GpuError is one, and so is what torch raises
TEST_SIZE = 48, 80  # height and width of the test picture

Offer = Callable[[GpuOffer], None]


def cuda_memory(device: torch.device) -> Memory:
    """The memory of an NVIDIA GPU."""
    from renderer.transport.cuda_memory import CudaMemory

    return CudaMemory(device)


class Carrier:
    """Puts pictures where the window finds them."""

    def __init__(
        self,
        writer: FrameWriter,
        offer: Offer | None = None,
        memory: Callable[[torch.device], Memory] = cuda_memory,
        kind: str = "cuda",
    ) -> None:
        """Without `offer` (renderer and window in one process) all go through main memory."""
        self._writer, self._offer, self._memory, self._kind = writer, offer, memory, kind
        self._pools: dict[torch.device, GpuPool | None] = {}
        self._wanted = ""  # PCI address of the GPU whose pictures the window takes

    def has_room(self, view: str) -> bool:
        """Whether a picture can be written for the view now."""
        pools = list(self._pools.values())  # this is asked on the thread that listens, too
        return self._writer.has_room(view) and all(pool is None or pool.has_room(view) for pool in pools)

    def give_back(self, view: str, slot: int) -> None:
        """The window has done with a place in main memory."""
        self._writer.give_back(view, slot)

    def give_back_block(self, bus: str, number: int) -> None:
        """The window has done with a place on a GPU."""
        for pool in list(self._pools.values()):
            if pool is not None and pool.bus == bus:
                pool.give_back(number)

    def share(self, bus: str, wanted: bool) -> None:
        """The window takes pictures from this GPU from now on, or no longer does."""
        if wanted:
            self._wanted = bus
        elif self._wanted == bus:
            self._wanted = ""

    def carry(self, view: str, finished: Finished) -> Place | GpuPlace:
        """Write a picture; its place is then the window's."""
        pool = self._pool(finished.shown.colours.device)
        if pool is not None and pool.bus == self._wanted:
            try:
                place, block = pool.take(view, finished.height, finished.width)
                block.begin()
                finished.write(block.pixels(finished.height, finished.width))
                block.finish()
                return place
            except FAILURES as error:
                self._give_up(finished.shown.colours.device, error)
        place, frame = self._writer.take(view, finished.height, finished.width)
        finished.write(frame)
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
                place, block = pool.take("test", *TEST_SIZE)
                block.begin()
                block.pixels(*TEST_SIZE).copy_(torch.from_numpy(pattern(*TEST_SIZE)))
                block.finish()
            except FAILURES as error:
                self._give_up(device, error)
            else:
                self._pools[device] = pool
                self._offer(GpuOffer(place))
        return self._pools[device]

    def _give_up(self, device: torch.device, error: Exception) -> None:
        self._pools[device] = None
        self._wanted = ""
        assert self._offer is not None
        self._offer(GpuOffer(None, " ".join(str(error).split())[:200]))
