"""GPU memory that another process can open: the renderer's side. Not yet run on a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from renderer.transport.cuda_driver import Driver


class CudaMemory:
    """Allocates shareable memory on torch's device; blocks of torch's own allocator cannot be shared one by one."""

    def __init__(self, device: torch.device) -> None:
        """Raises GpuError if the driver cannot be used."""
        ordinal = torch.cuda.current_device() if device.index is None else device.index
        self._device = torch.device("cuda", ordinal)
        self._driver = Driver(ordinal)
        self.bus = self._driver.bus

    def allocate(self, size: int) -> CudaBlock:
        """Allocate a block of `size` bytes, a multiple of 2 MiB. Raises GpuError."""
        driver = self._driver
        with driver.make_current():
            address = driver("cuMemAlloc", size)
            ready, done = driver.create_event(), driver.create_event()
            handles = driver.export_memory(address), driver.export_event(ready), driver.export_event(done)
        return CudaBlock(driver, self._device, int(address), ready, done, handles)


@dataclass
class CudaBlock:
    """A `gpu_pool.GpuBlock`; all work is queued on torch's current stream."""

    driver: Driver
    device: torch.device
    address: int
    ready: Any
    done: Any
    handles: tuple[bytes, bytes, bytes]

    def begin_write(self) -> None:
        with self.driver.make_current():
            self.driver("cuStreamWaitEvent", self._stream(), self.done, 0)

    def pixels(self, height: int, width: int) -> Tensor:
        return torch.as_tensor(_CudaArray(self.address, height, width), device=self.device)

    def end_write(self) -> None:
        with self.driver.make_current():
            self.driver("cuEventRecord", self.ready, self._stream())
            self.driver("cuEventSynchronize", self.ready)

    def _stream(self) -> Any:
        return self.driver.api.CUstream(torch.cuda.current_stream(self.device).cuda_stream)


class _CudaArray:
    """Raw GPU memory as a CUDA array, for `torch.as_tensor` without a copy."""

    def __init__(self, address: int, height: int, width: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (height, width, 4),
            "typestr": "|u1",
            "data": (address, False),
            "strides": None,
            "version": 2,
        }
