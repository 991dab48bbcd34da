"""Pictures that stay on the GPU: whole, in order, closed again; and through main memory wherever that cannot be.

There is no GPU here. All but the driver's own calls is run with memory, streams and events of the same order that
live in main memory (loopback_gpu.py), into real textures; the driver's calls are held against cuda-bindings' types.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from ctypes.util import find_library
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from loopback_gpu import Gpu, LoopbackBlock, LoopbackClient, LoopbackDevice, LoopbackMemory

from gui.backend.headless import Headless
from gui.canvas import cuda_gl
from gui.canvas.gpu_interop import GpuInterop
from gui.canvas.texture import StreamTexture
from gui.canvas.views import ViewManager
from renderer.client import SubprocessRenderer
from renderer.messages import GpuFrameHandle, GpuOffer, RendererLost, RenderFailure
from renderer.transport import cuda_driver, cuda_memory
from renderer.transport.cuda_driver import HANDLE_BYTES, Driver, GpuError, _fill_handle
from renderer.transport.frames import SLOTS_PER_VIEW, make_test_image
from renderer.transport.gpu_pool import MIN_BLOCK_BYTES, GpuPool
from session import Latent, Model, Scene


@pytest.fixture
def screen() -> Iterator[Headless]:
    with Headless(64, 64) as screen:
        yield screen


def send(pool: GpuPool, picture: np.ndarray, view: str = "canvas") -> GpuFrameHandle:
    place, block = pool.acquire(view, *picture.shape[:2])
    block.begin_write()
    block.pixels(*picture.shape[:2]).copy_(torch.from_numpy(picture))
    block.end_write()
    return place


def uniform_image(value: int, side: int = 64) -> np.ndarray:
    return np.full((side, side, 4), value, np.uint8)


def test_no_picture_is_written_before_the_window_has_copied_the_one_before() -> None:
    """The window gives a block back as soon as its copy is queued; the next picture waits on the GPU alone."""
    gpu = Gpu(slow=0.004)
    pool, device = GpuPool(LoopbackMemory(gpu)), LoopbackDevice(gpu)
    copies = []
    for value in range(40):
        place = send(pool, uniform_image(value))
        copies.append(np.zeros(64 * 64 * 4, np.uint8))
        device.queue(place, copies[-1])
        pool.release(place.block)
    device.synchronize()
    assert [int(copy.min()) for copy in copies] == [int(copy.max()) for copy in copies] == list(range(40))


def test_a_view_has_no_more_than_its_share_and_memory_is_used_again() -> None:
    memory = LoopbackMemory(Gpu())
    pool = GpuPool(memory)
    places = [send(pool, uniform_image(value)) for value in range(SLOTS_PER_VIEW)]
    assert not pool.has_free_slot("canvas")
    assert pool.has_free_slot("other")
    with pytest.raises(LookupError):
        pool.acquire("canvas", 64, 64)
    for place in places:
        pool.release(place.block)
    made = memory.made
    assert made == SLOTS_PER_VIEW * MIN_BLOCK_BYTES
    for value in range(20):
        pool.release(send(pool, uniform_image(value), "other").block)
    assert memory.made == made
    large = send(pool, uniform_image(1, 1024))  # needs memory of its own
    assert large.block not in {place.block for place in places}
    pool.release(large.block)
    assert send(pool, uniform_image(2)).block != large.block  # the smallest that fits
    pool.release(99)  # of a renderer that is gone


def test_the_test_picture_decides(screen: Headless) -> None:
    gpu = Gpu()
    offer = GpuOffer(send(GpuPool(LoopbackMemory(gpu)), make_test_image(48, 80), "test"))
    device = LoopbackDevice(gpu)
    interop = GpuInterop(lambda bus: device)
    assert interop.try_offer(None) is None
    assert interop.try_offer(offer) == (gpu.bus, True), interop.transport
    assert interop.device is device
    assert "GPU" in interop.transport
    assert interop.try_offer(offer) is None  # once is enough
    interop.forget()
    assert gpu.opened == []
    assert interop.try_offer(offer) == (gpu.bus, True)  # another renderer is tried again
    assert interop.close() == gpu.bus
    assert device.closed and gpu.opened == []
    assert interop.close() is None

    wrong = GpuInterop(lambda bus: LoopbackDevice(gpu, wrong=True))
    assert wrong.try_offer(offer) == (gpu.bus, False)
    assert wrong.device is None
    assert "came out of the texture wrong" in wrong.transport
    assert gpu.opened == []


def test_what_the_renderer_or_the_card_cannot_do_is_one_line(screen: Headless) -> None:
    interop = GpuInterop()
    assert interop.transport == "through main memory"
    assert interop.try_offer(GpuOffer(None, "Only Linux lets two processes share a GPU's memory")) is None
    assert interop.transport == "through main memory: Only Linux lets two processes share a GPU's memory"
    place = GpuFrameHandle("test", 0, "0000:01:00.0", 48, 80, *[bytes(HANDLE_BYTES)] * 3)
    assert interop.try_offer(GpuOffer(place)) == (place.bus, False)  # this machine's own OpenGL is no GPU's
    assert "OpenGL draws with" in interop.transport


def test_a_second_gpu_leaves_the_first_in_use(screen: Headless) -> None:
    gpu, other = Gpu(), Gpu(bus="0000:02:00.0")
    interop = GpuInterop(lambda bus: LoopbackDevice(gpu))
    interop.try_offer(GpuOffer(send(GpuPool(LoopbackMemory(gpu)), make_test_image(48, 80))))
    device = interop.device
    assert interop.try_offer(GpuOffer(send(GpuPool(LoopbackMemory(other)), make_test_image(48, 80)))) == (
        other.bus,
        False,
    )
    assert interop.device is device is not None


def test_a_texture_takes_pictures_of_any_size_by_either_way(screen: Headless) -> None:
    gpu = Gpu()
    pool, device, texture = GpuPool(LoopbackMemory(gpu)), LoopbackDevice(gpu), StreamTexture()
    roll = np.random.default_rng(1)
    for turn in range(12):
        picture = roll.integers(0, 256, (int(roll.integers(1, 90)), int(roll.integers(1, 90)), 4), dtype=np.uint8)
        for _ in range(3):
            if turn % 3 == 2:
                texture.upload(picture)
            else:
                place = send(pool, picture)
                texture.copy_from_gpu(place, device)
                pool.release(place.block)
            texture.set_filter(zoom=0.3 + turn % 4)
            assert (texture.height, texture.width) == picture.shape[:2]
            assert np.array_equal(texture.read(), picture)
    shown, name, place = texture.read(), texture.name, send(pool, uniform_image(3))
    device.broken = True
    with pytest.raises(GpuError):
        texture.copy_from_gpu(place, device)
    assert texture.name == name
    assert np.array_equal(texture.read(), shown)  # what was in sight stays in sight
    device.close()
    another = LoopbackDevice(gpu)  # as after a renderer that was started again
    for value in (4, 5, 6):
        place = send(pool, np.full((texture.height, texture.width, 4), value, np.uint8))
        texture.copy_from_gpu(place, another)
        pool.release(place.block)
        assert np.all(texture.read() == value)
    texture.close()


def wait_for(views: ViewManager, true: Callable[[], object]) -> None:
    end = time.monotonic() + 40
    while not true():
        assert time.monotonic() < end
        views.poll()
        time.sleep(0.002)


def fail(answer: RenderFailure | RendererLost) -> None:
    raise AssertionError(answer)


def test_a_window_goes_over_to_the_gpu_and_back_and_shows_the_same(screen: Headless, network: Path) -> None:
    gpu = Gpu()
    device = LoopbackDevice(gpu)
    scene = Scene(model=Model(path=str(network)))
    with LoopbackClient(gpu) as client:
        views = ViewManager(client, fail)
        views.interop = GpuInterop(lambda bus: device)
        canvas = views.canvas

        def picture(seed: int) -> np.ndarray:
            wanted = replace(scene, latent=Latent(seed=seed))
            views.request_canvas(wanted)
            wait_for(views, lambda: canvas.result is not None and canvas.result.scene == wanted)
            assert canvas.result is not None
            assert canvas.pixels.shape == (*canvas.result.size, 4)
            return canvas.pixels

        first = [picture(seed) for seed in (0, 1)]
        wait_for(views, lambda: views.interop.device is not None)
        copies = device.copies
        for _ in range(4):  # more than there are slots
            for seed, expected in enumerate(first):
                assert np.array_equal(picture(seed), expected)
        assert device.copies >= copies + 7
        assert canvas.result is not None and canvas.result.gpu_frame is not None
        assert "straight" in views.transport
        device.broken = True
        assert np.array_equal(picture(0), first[0])
        assert canvas.result.gpu_frame is None
        assert "fallen off the bus" in views.interop.transport
        assert gpu.opened == []
        assert np.array_equal(picture(1), first[1])
        views.close()


class Failing(LoopbackMemory):
    """Memory that the driver refuses, from the start or from some moment on."""

    refuses = False

    def allocate(self, size: int) -> LoopbackBlock:
        self.refuse()
        return FailingBlock(self, size)

    def refuse(self) -> None:
        if self.refuses:
            raise GpuError("NVIDIA's driver failed in cuIpcGetMemHandle: operation not supported (error 801)")


class FailingBlock(LoopbackBlock):
    def __init__(self, memory: Failing, size: int) -> None:
        super().__init__(memory.gpu, memory.stream, size)
        self._memory = memory

    def end_write(self) -> None:
        self._memory.refuse()
        super().end_write()


@pytest.mark.parametrize("at_once", [True, False])
def test_memory_that_cannot_be_shared_costs_one_line_and_no_picture(at_once: bool, screen, network: Path) -> None:
    gpu = Gpu()
    scene = Scene(model=Model(path=str(network)))
    with LoopbackClient(gpu) as client:
        client.memory = memory = Failing(gpu)
        memory.refuses = at_once
        views = ViewManager(client, fail)
        views.interop = GpuInterop(lambda bus: LoopbackDevice(gpu))
        canvas, made = views.canvas, []
        for seed in range(8):
            wanted = replace(scene, latent=Latent(seed=seed % 2))
            views.request_canvas(wanted)
            wait_for(views, lambda wanted=wanted: canvas.result is not None and canvas.result.scene == wanted)
            made.append(canvas.pixels)
            if seed == 3 and not at_once:
                wait_for(views, lambda: views.interop.device is not None)
                memory.refuses = True
        assert all(np.array_equal(one, made[number % 2]) for number, one in enumerate(made))
        wait_for(views, lambda: "operation not supported" in views.interop.transport)
        assert views.interop.device is None
        assert gpu.opened == []
        views.close()


def test_a_picture_of_a_renderer_that_is_gone_is_not_looked_for(screen: Headless, network: Path) -> None:
    gpu = Gpu()
    device, heard = LoopbackDevice(gpu), []
    with LoopbackClient(gpu) as client:
        views = ViewManager(client, heard.append)
        views.interop = GpuInterop(lambda bus: device)
        views.request_canvas(Scene(model=Model(path=str(network))))
        wait_for(views, lambda: views.interop.device is not None and views.canvas.result is not None)
        result, copies = views.canvas.result, device.copies
        assert result is not None
        place = GpuFrameHandle("canvas", 7, gpu.bus, *result.size, *[b"gone"] * 3)
        client._on_message(("answer", replace(result, id=result.id + 1), place))
        client.offer = None
        client._on_answer(RendererLost("The renderer was killed."))
        views.poll()
        assert [type(answer) for answer in heard] == [RendererLost]
        assert gpu.opened == []
        assert device.copies == copies
        assert views.canvas.result is result
        views.close()


def test_a_renderer_on_the_cpu_offers_nothing(renderer: SubprocessRenderer, screen: Headless, network: Path) -> None:
    views = ViewManager(renderer, fail)
    views.request_canvas(Scene(model=Model(path=str(network))))
    wait_for(views, lambda: views.canvas.result is not None)
    assert renderer.offer is None
    assert views.interop.transport == "through main memory"
    views.close()


# ------------------------------------------------------------------------------------------- the driver's own calls


def calls() -> dict[str, tuple[object, ...]]:
    """The arguments of each call as renderer/transport/cuda_memory.py and gui/canvas/cuda_gl.py make it."""
    api = pytest.importorskip("cuda.bindings.driver")
    event, stream, resource = api.CUevent(3), api.CUstream(4), api.CUgraphicsResource(5)
    memory, array, context, device = api.CUdeviceptr(6), api.CUarray(7), api.CUcontext(8), api.CUdevice(0)
    return {
        "cuInit": (0,),
        "cuDeviceGet": (0,),
        "cuDeviceGetByPCIBusId": (b"0000:01:00.0",),
        "cuDeviceGetPCIBusId": (HANDLE_BYTES, device),
        "cuDevicePrimaryCtxRetain": (device,),
        "cuDevicePrimaryCtxRelease": (device,),
        "cuCtxPushCurrent": (context,),
        "cuCtxPopCurrent": (),
        "cuMemAlloc": (1 << 21,),
        "cuIpcGetMemHandle": (memory,),
        "cuIpcGetEventHandle": (event,),
        "cuIpcOpenMemHandle": (_fill_handle(api.CUipcMemHandle(), bytes(64)), 1),
        "cuIpcOpenEventHandle": (_fill_handle(api.CUipcEventHandle(), bytes(64)),),
        "cuIpcCloseMemHandle": (memory,),
        "cuEventCreate": (6,),
        "cuEventDestroy": (event,),
        "cuEventRecord": (event, stream),
        "cuEventSynchronize": (event,),
        "cuStreamCreate": (1,),
        "cuStreamDestroy": (stream,),
        "cuStreamSynchronize": (stream,),
        "cuStreamWaitEvent": (stream, event, 0),
        "cuGLGetDevices": (cuda_gl.MAX_DEVICES, api.CUGLDeviceList.CU_GL_DEVICE_LIST_ALL),
        "cuGraphicsGLRegisterImage": (3, cuda_gl.GL_TEXTURE_2D, 2),
        "cuGraphicsUnregisterResource": (resource,),
        "cuGraphicsMapResources": (1, resource, stream),
        "cuGraphicsUnmapResources": (1, resource, stream),
        "cuGraphicsSubResourceGetMappedArray": (resource, 0, 0),
        "cuMemcpy2DAsync": (cuda_gl.copy_params(api, memory, array, 48, 80), stream),
    }


def test_the_binding_takes_every_call_as_it_is_made() -> None:
    """Arguments are converted before the driver is looked for, so a wrong type shows without one."""
    if find_library("cuda"):
        pytest.skip("there is a driver, which would believe these made-up handles")
    api = pytest.importorskip("cuda.bindings.driver")
    made = calls()
    source = "".join(Path(module.__file__ or "").read_text() for module in (cuda_driver, cuda_memory, cuda_gl))
    named = {word for word in source.replace('"', " ").split() if word.startswith("cu") and word[2:3].isupper()}
    assert named - {"cuGetErrorString"} <= set(made), "a call without a test"
    for name, arguments in made.items():
        try:
            getattr(api, name)(*arguments)
        except RuntimeError as error:
            assert "cuda" in str(error)
    assert int(api.CUevent_flags.CU_EVENT_INTERPROCESS) | int(api.CUevent_flags.CU_EVENT_DISABLE_TIMING) == 6
    assert int(api.CUdevice(3)) == 3
    assert int(api.CUgraphicsResource(0)) == 0


def test_without_a_driver_or_the_binding_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform.startswith("linux"):
        try:
            Driver(ordinal=0)
        except GpuError as error:
            assert "driver" in str(error) or "cuda-bindings" in str(error)
        else:
            pytest.skip("there is a GPU")
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(GpuError, match="Only Linux"):
        Driver(bus="0000:01:00.0")
