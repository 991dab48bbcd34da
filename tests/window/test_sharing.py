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
from loopback_gpu import Gpu, LoopbackBlock, LoopbackCard, LoopbackClient, LoopbackMemory

from gui.backend.headless import Headless
from gui.canvas import cuda_gl
from gui.canvas.gpu_interop import Sharing
from gui.canvas.texture import StreamTexture
from gui.canvas.views import Pictures
from renderer.client import OtherProcess
from renderer.messages import GpuOffer, GpuPlace, RendererLost, RenderFailure
from renderer.transport import cuda_driver, cuda_memory
from renderer.transport.cuda_driver import HANDLE, Driver, GpuError, _filled
from renderer.transport.frames import SLOTS, pattern
from renderer.transport.gpu_pool import SMALLEST, GpuPool
from session import Latent, Model, Scene


@pytest.fixture
def screen() -> Iterator[Headless]:
    with Headless(64, 64) as screen:
        yield screen


def sent(pool: GpuPool, picture: np.ndarray, view: str = "canvas") -> GpuPlace:
    place, block = pool.take(view, *picture.shape[:2])
    block.begin()
    block.pixels(*picture.shape[:2]).copy_(torch.from_numpy(picture))
    block.finish()
    return place


def plain(value: int, side: int = 64) -> np.ndarray:
    return np.full((side, side, 4), value, np.uint8)


def test_no_picture_is_written_before_the_window_has_copied_the_one_before() -> None:
    """The window gives a block back as soon as its copy is queued; the next picture waits on the GPU alone."""
    gpu = Gpu(slow=0.004)
    pool, card = GpuPool(LoopbackMemory(gpu)), LoopbackCard(gpu)
    copies = []
    for value in range(40):
        place = sent(pool, plain(value))
        copies.append(np.zeros(64 * 64 * 4, np.uint8))
        card.queue(place, copies[-1])
        pool.give_back(place.block)
    card.synchronize()
    assert [int(copy.min()) for copy in copies] == [int(copy.max()) for copy in copies] == list(range(40))


def test_a_view_has_no_more_than_its_share_and_memory_is_used_again() -> None:
    memory = LoopbackMemory(Gpu())
    pool = GpuPool(memory)
    places = [sent(pool, plain(value)) for value in range(SLOTS)]
    assert not pool.has_room("canvas")
    assert pool.has_room("other")
    with pytest.raises(LookupError):
        pool.take("canvas", 64, 64)
    for place in places:
        pool.give_back(place.block)
    made = memory.made
    assert made == SLOTS * SMALLEST
    for value in range(20):
        pool.give_back(sent(pool, plain(value), "other").block)
    assert memory.made == made
    large = sent(pool, plain(1, 1024))  # needs memory of its own
    assert large.block not in {place.block for place in places}
    pool.give_back(large.block)
    assert sent(pool, plain(2)).block != large.block  # the smallest that fits
    pool.give_back(99)  # of a renderer that is gone


def test_the_test_picture_decides(screen: Headless) -> None:
    gpu = Gpu()
    offer = GpuOffer(sent(GpuPool(LoopbackMemory(gpu)), pattern(48, 80), "test"))
    card = LoopbackCard(gpu)
    sharing = Sharing(lambda bus: card)
    assert sharing.consider(None) is None
    assert sharing.consider(offer) == (gpu.bus, True), sharing.transport
    assert sharing.card is card
    assert "GPU" in sharing.transport
    assert sharing.consider(offer) is None  # once is enough
    sharing.forget()
    assert gpu.opened == []
    assert sharing.consider(offer) == (gpu.bus, True)  # another renderer is tried again
    assert sharing.close() == gpu.bus
    assert card.closed and gpu.opened == []
    assert sharing.close() is None

    wrong = Sharing(lambda bus: LoopbackCard(gpu, wrong=True))
    assert wrong.consider(offer) == (gpu.bus, False)
    assert wrong.card is None
    assert "came out of the texture wrong" in wrong.transport
    assert gpu.opened == []


def test_what_the_renderer_or_the_card_cannot_do_is_one_line(screen: Headless) -> None:
    sharing = Sharing()
    assert sharing.transport == "through main memory"
    assert sharing.consider(GpuOffer(None, "Only Linux lets two processes share a GPU's memory")) is None
    assert sharing.transport == "through main memory: Only Linux lets two processes share a GPU's memory"
    place = GpuPlace("test", 0, "0000:01:00.0", 48, 80, *[bytes(HANDLE)] * 3)
    assert sharing.consider(GpuOffer(place)) == (place.bus, False)  # this machine's own OpenGL is no GPU's
    assert "OpenGL draws with" in sharing.transport


def test_a_second_gpu_leaves_the_first_in_use(screen: Headless) -> None:
    gpu, other = Gpu(), Gpu(bus="0000:02:00.0")
    sharing = Sharing(lambda bus: LoopbackCard(gpu))
    sharing.consider(GpuOffer(sent(GpuPool(LoopbackMemory(gpu)), pattern(48, 80))))
    card = sharing.card
    assert sharing.consider(GpuOffer(sent(GpuPool(LoopbackMemory(other)), pattern(48, 80)))) == (other.bus, False)
    assert sharing.card is card is not None


def test_a_texture_takes_pictures_of_any_size_by_either_way(screen: Headless) -> None:
    gpu = Gpu()
    pool, card, texture = GpuPool(LoopbackMemory(gpu)), LoopbackCard(gpu), StreamTexture()
    roll = np.random.default_rng(1)
    for turn in range(12):
        picture = roll.integers(0, 256, (int(roll.integers(1, 90)), int(roll.integers(1, 90)), 4), dtype=np.uint8)
        for _ in range(3):
            if turn % 3 == 2:
                texture.upload(picture)
            else:
                place = sent(pool, picture)
                texture.take(place, card)
                pool.give_back(place.block)
            texture.look(zoom=0.3 + turn % 4)
            assert (texture.height, texture.width) == picture.shape[:2]
            assert np.array_equal(texture.read(), picture)
    shown, name, place = texture.read(), texture.name, sent(pool, plain(3))
    card.broken = True
    with pytest.raises(GpuError):
        texture.take(place, card)
    assert texture.name == name
    assert np.array_equal(texture.read(), shown)  # what was in sight stays in sight
    card.close()
    another = LoopbackCard(gpu)  # as after a renderer that was started again
    for value in (4, 5, 6):
        place = sent(pool, np.full((texture.height, texture.width, 4), value, np.uint8))
        texture.take(place, another)
        pool.give_back(place.block)
        assert np.all(texture.read() == value)
    texture.close()


def wait_for(pictures: Pictures, true: Callable[[], object]) -> None:
    end = time.monotonic() + 40
    while not true():
        assert time.monotonic() < end
        pictures.poll()
        time.sleep(0.002)


def told(answer: RenderFailure | RendererLost) -> None:
    raise AssertionError(answer)


def test_a_window_goes_over_to_the_gpu_and_back_and_shows_the_same(screen: Headless, network: Path) -> None:
    gpu = Gpu()
    card = LoopbackCard(gpu)
    scene = Scene(model=Model(path=str(network)))
    with LoopbackClient(gpu) as client:
        pictures = Pictures(client, told)
        pictures.sharing = Sharing(lambda bus: card)
        canvas = pictures.canvas

        def picture(seed: int) -> np.ndarray:
            wanted = replace(scene, latent=Latent(seed=seed))
            pictures.show(wanted)
            wait_for(pictures, lambda: canvas.result is not None and canvas.result.scene == wanted)
            assert canvas.result is not None
            assert canvas.pixels.shape == (*canvas.result.size, 4)
            return canvas.pixels

        first = [picture(seed) for seed in (0, 1)]
        wait_for(pictures, lambda: pictures.sharing.card is not None)
        copies = card.copies
        for _ in range(4):  # more than there are slots
            for seed, expected in enumerate(first):
                assert np.array_equal(picture(seed), expected)
        assert card.copies >= copies + 7
        assert canvas.result is not None and canvas.result.place is not None
        assert "straight" in pictures.transport
        card.broken = True
        assert np.array_equal(picture(0), first[0])
        assert canvas.result.place is None
        assert "fallen off the bus" in pictures.sharing.transport
        assert gpu.opened == []
        assert np.array_equal(picture(1), first[1])
        pictures.close()


class Failing(LoopbackMemory):
    """Memory that the driver refuses, from the start or from some moment on."""

    refuses = False

    def make(self, size: int) -> LoopbackBlock:
        self.refuse()
        return FailingBlock(self, size)

    def refuse(self) -> None:
        if self.refuses:
            raise GpuError("NVIDIA's driver failed in cuIpcGetMemHandle: operation not supported (error 801)")


class FailingBlock(LoopbackBlock):
    def __init__(self, memory: Failing, size: int) -> None:
        super().__init__(memory.gpu, memory.stream, size)
        self._memory = memory

    def finish(self) -> None:
        self._memory.refuse()
        super().finish()


@pytest.mark.parametrize("at_once", [True, False])
def test_memory_that_cannot_be_shared_costs_one_line_and_no_picture(at_once: bool, screen, network: Path) -> None:
    gpu = Gpu()
    scene = Scene(model=Model(path=str(network)))
    with LoopbackClient(gpu) as client:
        client.memory = memory = Failing(gpu)
        memory.refuses = at_once
        pictures = Pictures(client, told)
        pictures.sharing = Sharing(lambda bus: LoopbackCard(gpu))
        canvas, made = pictures.canvas, []
        for seed in range(8):
            wanted = replace(scene, latent=Latent(seed=seed % 2))
            pictures.show(wanted)
            wait_for(pictures, lambda wanted=wanted: canvas.result is not None and canvas.result.scene == wanted)
            made.append(canvas.pixels)
            if seed == 3 and not at_once:
                wait_for(pictures, lambda: pictures.sharing.card is not None)
                memory.refuses = True
        assert all(np.array_equal(one, made[number % 2]) for number, one in enumerate(made))
        wait_for(pictures, lambda: "operation not supported" in pictures.sharing.transport)
        assert pictures.sharing.card is None
        assert gpu.opened == []
        pictures.close()


def test_a_picture_of_a_renderer_that_is_gone_is_not_looked_for(screen: Headless, network: Path) -> None:
    gpu = Gpu()
    card, heard = LoopbackCard(gpu), []
    with LoopbackClient(gpu) as client:
        pictures = Pictures(client, heard.append)
        pictures.sharing = Sharing(lambda bus: card)
        pictures.show(Scene(model=Model(path=str(network))))
        wait_for(pictures, lambda: pictures.sharing.card is not None and pictures.canvas.result is not None)
        result, copies = pictures.canvas.result, card.copies
        assert result is not None
        place = GpuPlace("canvas", 7, gpu.bus, *result.size, *[b"gone"] * 3)
        client._heard(("answer", replace(result, id=result.id + 1), place))
        client.offer = None
        client._came(RendererLost("The renderer was killed."))
        pictures.poll()
        assert [type(answer) for answer in heard] == [RendererLost]
        assert gpu.opened == []
        assert card.copies == copies
        assert pictures.canvas.result is result
        pictures.close()


def test_a_renderer_on_the_cpu_offers_nothing(renderer: OtherProcess, screen: Headless, network: Path) -> None:
    pictures = Pictures(renderer, told)
    pictures.show(Scene(model=Model(path=str(network))))
    wait_for(pictures, lambda: pictures.canvas.result is not None)
    assert renderer.offer is None
    assert pictures.sharing.transport == "through main memory"
    pictures.close()


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
        "cuDeviceGetPCIBusId": (HANDLE, device),
        "cuDevicePrimaryCtxRetain": (device,),
        "cuDevicePrimaryCtxRelease": (device,),
        "cuCtxPushCurrent": (context,),
        "cuCtxPopCurrent": (),
        "cuMemAlloc": (1 << 21,),
        "cuIpcGetMemHandle": (memory,),
        "cuIpcGetEventHandle": (event,),
        "cuIpcOpenMemHandle": (_filled(api.CUipcMemHandle(), bytes(64)), 1),
        "cuIpcOpenEventHandle": (_filled(api.CUipcEventHandle(), bytes(64)),),
        "cuIpcCloseMemHandle": (memory,),
        "cuEventCreate": (6,),
        "cuEventDestroy": (event,),
        "cuEventRecord": (event, stream),
        "cuEventSynchronize": (event,),
        "cuStreamCreate": (1,),
        "cuStreamDestroy": (stream,),
        "cuStreamSynchronize": (stream,),
        "cuStreamWaitEvent": (stream, event, 0),
        "cuGLGetDevices": (cuda_gl.MOST, api.CUGLDeviceList.CU_GL_DEVICE_LIST_ALL),
        "cuGraphicsGLRegisterImage": (3, cuda_gl.GL_TEXTURE_2D, 2),
        "cuGraphicsUnregisterResource": (resource,),
        "cuGraphicsMapResources": (1, resource, stream),
        "cuGraphicsUnmapResources": (1, resource, stream),
        "cuGraphicsSubResourceGetMappedArray": (resource, 0, 0),
        "cuMemcpy2DAsync": (cuda_gl.copy_job(api, memory, array, 48, 80), stream),
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
