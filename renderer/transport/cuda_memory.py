"""An NVIDIA GPU's memory as another process can open it: the renderer's half. It has not been seen running yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from renderer.transport.cuda_driver import Driver


class CudaMemory:
    """Memory of torch's device, apart from torch's own, whose pieces cannot be shared one by one."""

    def __init__(self, device: torch.device) -> None:
        """Raises GpuError."""
        ordinal = torch.cuda.current_device() if device.index is None else device.index
        self._device = torch.device("cuda", ordinal)
        self._driver = Driver(ordinal)
        self.bus = self._driver.bus

    def allocate(self, size: int) -> CudaBlock:
        """So many bytes, a multiple of 2 MiB."""
        driver = self._driver
        with driver.make_current():
            address = driver("cuMemAlloc", size)
            ready, done = driver.create_event(), driver.create_event()
            handles = driver.export_memory(address), driver.export_event(ready), driver.export_event(done)
        return CudaBlock(driver, self._device, int(address), ready, done, handles)


@dataclass
class CudaBlock:
    """See renderer/transport/gpu_pool.py. All is queued on torch's stream of the moment."""

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
    """What torch makes a tensor of without copying."""

    def __init__(self, address: int, height: int, width: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (height, width, 4),
            "typestr": "|u1",
            "data": (address, False),
            "strides": None,
            "version": 2,
        }
