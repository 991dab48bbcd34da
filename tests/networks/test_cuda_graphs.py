"""Runs replayed as graphs give the images of runs layer by layer, and are recorded again after every change.

CUDA graphs are tested where there is a GPU. The logic of the cache is tested everywhere, with recordings that repeat
the work in the same memory, as a graph does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from networks.architectures.layerwise import Step, SynthesisState
from networks.architectures.stylegan2 import Generator as StyleGAN2
from networks.architectures.stylegan3 import Generator as StyleGAN3
from networks.config import StyleGAN2Config, StyleGAN3Config
from networks.inference import cuda_graphs as module
from networks.inference.cuda_graphs import MAX_GRAPHS, WARMUP_RUNS, CudaGraphCache, Work

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available() or torch.version.cuda is None, reason="no NVIDIA GPU here")
SMALL: dict[str, Any] = {
    "img_resolution": 16,
    "z_dim": 8,
    "w_dim": 8,
    "mapping_num_layers": 1,
    "channel_base": 256,
    "channel_max": 16,
}


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


class Recorder:
    """Records on the CPU: a replay writes to the memory of the recorded run, as that of a CUDA graph does."""

    def __init__(self) -> None:
        self.recorded = self.repeated = 0

    def __call__(self, work: Work) -> tuple[Callable[[], None], SynthesisState]:
        self.recorded += 1
        first = work()
        places = [t.clone() if t is not None else None for t in (first.x, first.image, first.shortcut)]

        def repeat() -> None:
            self.repeated += 1
            outputs = work()
            for place, t in zip(places, (outputs.x, outputs.image, outputs.shortcut), strict=True):
                if place is not None and t is not None:
                    place.copy_(t)

        x, image, shortcut = places
        assert x is not None
        return repeat, SynthesisState(x, image, shortcut, first.done)


def three() -> StyleGAN3:
    torch.manual_seed(1)
    return StyleGAN3(StyleGAN3Config(**SMALL)).eval().requires_grad_(False)


def two() -> StyleGAN2:
    torch.manual_seed(1)
    config = StyleGAN2Config(**SMALL, architecture="resnet")
    return StyleGAN2(config).eval().requires_grad_(False)


def some_ws(G: StyleGAN2 | StyleGAN3, seed: int, batch: int = 1) -> Tensor:
    return torch.randn([batch, G.num_ws, G.w_dim], generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("make", [two, three])
def test_replayed_images_and_feature_maps_equal_runs_layer_by_layer(make):
    G, record = make(), Recorder()
    graphs = CudaGraphCache(G.synthesis, record)
    kept = []
    for stop in (None, 4):
        for seed in range(WARMUP_RUNS + 4):
            ws = some_ws(G, seed)
            heard: list[tuple[Step, SynthesisState]] = []
            state = graphs.run(ws, stop=stop, on_step=lambda step, state, heard=heard: heard.append((step, state)))
            expected = G.synthesis.run(ws, stop=stop)
            assert state.done == expected.done
            assert heard[-1] == (G.synthesis.steps[state.done - 1], state)
            kept.append((state, expected))
    for state, expected in kept:  # earlier results were not overwritten
        assert torch.equal(state.x, expected.x)
        assert (state.image is None) == (expected.image is None)
        assert state.image is None or torch.equal(state.image, expected.image)
    assert (record.recorded, record.repeated) == (2, 8)
    assert graphs.recorded == 2


def test_changed_weights_shapes_and_options_are_recorded_again():
    G, record = three(), Recorder()
    graphs = CudaGraphCache(G.synthesis, record)
    ws = some_ws(G, 0)

    def settled(ws: Tensor = ws, **options) -> None:
        for _ in range(WARMUP_RUNS + 2):
            assert torch.equal(graphs.run(ws, **options).x, G.synthesis.run(ws, **options).x)

    layer = G.synthesis.layer(G.synthesis.layer_names[3])
    settled()
    assert record.recorded == 1
    for number, change in enumerate(
        (
            lambda: layer.bias.add_(1),
            lambda: setattr(layer, "weight", torch.nn.Parameter(torch.randn_like(layer.weight), requires_grad=False)),
            lambda: G.load_state_dict({name: t * 1.1 for name, t in G.state_dict().items()}),
        ),
        2,
    ):
        change()
        settled()
        assert record.recorded == number
    G.synthesis.input.transform[0, 2] += 0.3  # is read by every run, so nothing is recorded again
    settled()
    assert record.recorded == 4
    settled(some_ws(G, 1, batch=2))
    settled(ws, force_fp32=True)
    assert record.recorded == 6
    assert graphs.recorded == MAX_GRAPHS
    graphs.clear()
    assert graphs.recorded == 0
    settled()


def test_runs_that_cannot_be_replayed_are_not_recorded(monkeypatch):
    G, record = two(), Recorder()
    graphs = CudaGraphCache(G.synthesis, record)
    ws = some_ws(G, 0)
    state = G.synthesis.run(ws, stop=2)
    for _ in range(WARMUP_RUNS + 2):
        graphs.run(ws, noise_mode="random")
        resumed = graphs.run(ws, start=2, state=state)
        assert torch.equal(resumed.x, G.synthesis.run(ws).x)
        with torch.enable_grad():
            graphs.run(ws)
    assert record.recorded == 0
    for _ in range(WARMUP_RUNS + 2):
        assert CudaGraphCache(G.synthesis).run(ws).done == len(G.synthesis.steps)  # a CPU has no graphs
    monkeypatch.setattr(module, "MAX_GRAPH_SECONDS", 0.0)
    for _ in range(WARMUP_RUNS + 2):
        graphs.run(ws)
    assert record.recorded == 0
    assert "can be cancelled between layers" in graphs.reason


def test_a_failed_recording_is_reported_once_and_runs_continue():
    G = three()
    tries = []

    def refuse(work: Work):
        tries.append(work)
        raise RuntimeError("operation not permitted when stream is capturing")

    graphs, ws = CudaGraphCache(G.synthesis, refuse), some_ws(G, 0)
    for seed in range(WARMUP_RUNS + 4):
        ws = some_ws(G, seed)
        assert torch.equal(graphs.run(ws).x, G.synthesis.run(ws).x)
    assert len(tries) == 1
    assert graphs.reason == "recording failed: operation not permitted when stream is capturing"
    G.synthesis.layer(G.synthesis.layer_names[0]).bias.add_(1)  # with other weights it is tried again
    for _ in range(WARMUP_RUNS + 2):
        graphs.run(ws)
    assert len(tries) == 2


@needs_gpu
@pytest.mark.parametrize("make", [two, three])
def test_on_a_gpu_graphs_give_the_same_images(make):
    G = make().cuda()
    graphs = CudaGraphCache(G.synthesis)
    for seed in range(WARMUP_RUNS + 4):
        ws = some_ws(G, seed).cuda()
        outputs, expected = G.synthesis.to_image(graphs.run(ws)), G.synthesis.to_image(G.synthesis.run(ws))
        assert (outputs - expected).abs().max() <= 1e-3 * expected.abs().max()
    assert graphs.recorded == 1, graphs.reason


def test_the_renderers_frames_are_the_same_with_graphs(tmp_path):
    """Dragging, viewing layers, moving the input and mixing, in any order; results that a view caches stay valid."""
    from networks import save_networks
    from renderer.engine import Engine
    from session import Capture, Latent, Mixing, Model, Scene, Transform

    G = three()
    G.mapping.w_avg.normal_()
    file = save_networks(tmp_path / "network.safetensors", {"G_ema": G})
    base = Scene(model=Model(path=str(file)))
    layer = G.synthesis.layer_names[5]
    scenes = [replace(base, latent=Latent(seed=seed)) for seed in range(WARMUP_RUNS + 3)]
    scenes += [replace(base, latent=Latent(seed=seed), capture=Capture(layer=layer)) for seed in range(WARMUP_RUNS + 3)]
    scenes += [replace(base, transform=Transform(rotate=angle)) for angle in range(0, 50, 10)]
    scenes += [replace(base, mixing=Mixing(layers=(row,), seed=3)) for row in (9, 4, 12)]
    scenes += scenes[::-1]

    def pixels(engine: Engine, scene: Scene) -> Tensor:
        finished = engine.render(scene)
        frame = torch.zeros(finished.height, finished.width, 4, dtype=torch.uint8)
        finished.write_rgba(frame)
        return frame

    engine, record = Engine(), Recorder()
    pixels(engine, base)
    (loaded,) = engine._models._loaded.values()
    loaded.graphs = CudaGraphCache(loaded.network.synthesis, record)
    plain = Engine()
    for scene in scenes:
        assert torch.equal(pixels(engine, scene), pixels(plain, scene))
    assert record.recorded >= 2
    assert record.repeated > 8
    assert "CUDA graphs" in engine.render(base).model.kernels
    engine.close()
    plain.close()
