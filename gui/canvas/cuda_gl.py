"""CUDA and OpenGL interop: copies the renderer's images on an NVIDIA GPU into textures. Not yet seen running.

All calls are made on the thread that draws. Nothing here blocks: the copy is queued between two events, and OpenGL's
later commands follow it because CUDA holds the texture until then.
"""

from __future__ import annotations

import contextlib
from typing import Any

from renderer.messages import GpuFrameHandle
from renderer.transport.cuda_driver import Driver, GpuError

GL_TEXTURE_2D = 0x0DE1
MAX_DEVICES = 16  # GPUs of one OpenGL context


class CudaGlDevice:
    """An `InteropDevice` by CUDA. Raises GpuError where OpenGL draws with another device."""

    def __init__(self, bus: str) -> None:
        from OpenGL import GL

        vendor, name = (
            (GL.glGetString(what) or b"").decode(errors="replace") for what in (GL.GL_VENDOR, GL.GL_RENDERER)
        )
        if "NVIDIA" not in vendor:  # with another driver's context, NVIDIA's answers are undefined
            raise GpuError(f"OpenGL draws with {name or 'another driver'}, not with the GPU that computes")
        self._driver = driver = Driver(bus=bus)
        self._handles: dict[int, list[Any]] = {}  # by block: memory, ready event, done event
        self._textures: list[CudaTexture] = []
        try:
            with driver.make_current():
                count, devices = driver("cuGLGetDevices", MAX_DEVICES, driver.api.CUGLDeviceList.CU_GL_DEVICE_LIST_ALL)
                if int(driver.device) not in [int(device) for device in devices[: int(count)]]:
                    raise GpuError(f"OpenGL draws with {name}, and another GPU ({driver.bus}) computes")
                self._stream = driver("cuStreamCreate", int(driver.api.CUstream_flags.CU_STREAM_NON_BLOCKING))
        except GpuError:
            driver.close()
            raise

    def register(self, texture: int) -> CudaTexture:
        """Register an RGBA8 texture whose memory is allocated for good."""
        flag = int(self._driver.api.CUgraphicsRegisterFlags.CU_GRAPHICS_REGISTER_FLAGS_WRITE_DISCARD)
        with self._driver.make_current():
            resource = self._driver("cuGraphicsGLRegisterImage", texture, GL_TEXTURE_2D, flag)
        if not int(resource):  # cuda-bindings 12.9.3 reports success in this case
            raise GpuError("The texture could not be registered with CUDA; install another version of cuda-bindings")
        self._textures = [texture for texture in self._textures if texture.resource is not None]
        self._textures.append(CudaTexture(self._driver, resource))
        return self._textures[-1]

    def copy(self, place: GpuFrameHandle, target: CudaTexture) -> None:
        driver, stream = self._driver, self._stream
        with driver.make_current():
            memory, ready, done = self._handles.get(place.block) or self._open(place)
            driver("cuStreamWaitEvent", stream, ready, 0)
            driver("cuGraphicsMapResources", 1, target.resource, stream)
            try:
                array = driver("cuGraphicsSubResourceGetMappedArray", target.resource, 0, 0)
                driver("cuMemcpy2DAsync", copy_params(driver.api, memory, array, place.height, place.width), stream)
            finally:
                driver("cuGraphicsUnmapResources", 1, target.resource, stream)
            driver("cuEventRecord", done, stream)

    def forget(self) -> None:
        opened, self._handles = self._handles, {}
        with contextlib.suppress(GpuError), self._driver.make_current():
            with contextlib.suppress(GpuError):
                self._driver(
                    "cuStreamSynchronize", self._stream
                )  # so that nothing queued still uses the renderer's memory
            for handles in opened.values():
                for name, handle in zip(
                    ("cuIpcCloseMemHandle", "cuEventDestroy", "cuEventDestroy"), handles, strict=False
                ):
                    with contextlib.suppress(GpuError):
                        self._driver(name, handle)

    def close(self) -> None:
        self.forget()
        for texture in self._textures:  # while the OpenGL context still exists
            texture.release()
        with contextlib.suppress(GpuError):
            with self._driver.make_current():
                self._driver("cuStreamDestroy", self._stream)
            self._driver.close()

    def _open(self, place: GpuFrameHandle) -> list[Any]:
        handles = self._handles.setdefault(
            place.block, []
        )  # appended one by one, so that all are closed even if a later one fails
        handles.append(self._driver.open_memory(place.memory_handle))
        handles.append(self._driver.open_event(place.ready_event))
        handles.append(self._driver.open_event(place.done_event))
        return handles


class CudaTexture:
    """A texture registered with CUDA."""

    def __init__(self, driver: Driver, resource: Any) -> None:
        self._driver, self.resource = driver, resource

    def release(self) -> None:
        resource, self.resource = self.resource, None
        if resource is not None:
            with contextlib.suppress(GpuError), self._driver.make_current():
                self._driver("cuGraphicsUnregisterResource", resource)


def copy_params(api: Any, memory: Any, array: Any, height: int, width: int) -> Any:
    """The parameters of a copy from RGBA rows in linear memory to a texture's array."""
    params = api.CUDA_MEMCPY2D()
    params.srcMemoryType, params.srcDevice, params.srcPitch = api.CUmemorytype.CU_MEMORYTYPE_DEVICE, memory, width * 4
    params.dstMemoryType, params.dstArray = api.CUmemorytype.CU_MEMORYTYPE_ARRAY, array
    params.WidthInBytes, params.Height = width * 4, height
    return params
