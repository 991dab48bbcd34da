"""A scene to its picture, stage by stage; each stage remembers what it was given and runs only when that changed."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from networks.architectures.layerwise import Step, SynthesisState
from networks.checkpoints.free_memory import free_memory
from networks.sampling import seeded_noise
from ops import kernels
from renderer.inspectors import inspect
from renderer.models.model_cache import LoadedModel, ModelCache, OnProgress
from renderer.models.model_info import get_model_info
from renderer.preview_policy import preview_model, upscale_preview
from renderer.stages.activation_cache import CachedRun, LayerInputs, cache_budget, choose_cached_layers, total_bytes
from renderer.stages.feature_maps import extract_map, find_step, map_stats, select_channels, selection_stats
from renderer.stages.render_output import RenderOutput
from renderer.stages.transforms import apply_to_output, plan_transform, transform_input
from session import Scene

T = TypeVar("T")
PREVIEW_SUFFIX = ", preview"  # after the name of a view: what is remembered of its previews
MAX_VIEWS = 8  # of those that were rendered last, something is remembered
OnLayer = Callable[[float | None], None]  # is told how many seconds are left, if known; raises to give up


def _never_cancel(_remaining: float | None) -> None:
    pass


def _ignore_progress(_what: str, _fraction: float | None) -> None:
    pass


class Engine:
    """Makes pictures. The same scene gives the same bits, whatever was made before; previews aside."""

    def __init__(self) -> None:
        self._models = ModelCache()
        self._views: OrderedDict[str, _ViewCache] = OrderedDict()  # the one rendered last is at the end

    def render(
        self,
        scene: Scene,
        view: str = "canvas",
        on_layer: OnLayer = _never_cancel,
        on_progress: OnProgress = _ignore_progress,
        moving: bool = False,
    ) -> RenderOutput:
        """The picture of a scene, for a view, which is what the stages remember.

        `check` is called after every layer and may raise; `tell` hears of slow loading; `moving`: a preview will do
        where the exact picture takes long (`Finished.preview` says which it is). Raises CheckpointError or Problem,
        each one sentence.
        """
        clock = _StageTimer()
        loaded = self._models.get(scene, view, on_progress)
        clock.lap("model", loaded)
        quicker = preview_model(scene, loaded) if moving else None
        with torch.inference_mode():  # not while loading: networks need weights that tell when they change
            if quicker is not None:
                return self._render_stages(scene, view + PREVIEW_SUFFIX, quicker, on_layer, clock, loaded)
            return self._render_stages(scene, view, loaded, on_layer, clock, loaded)

    def _render_stages(
        self, scene: Scene, view: str, loaded: LoadedModel, on_layer: OnLayer, clock: _StageTimer, exact: LoadedModel
    ) -> RenderOutput:
        """The stages behind the loaded network, which may be a quicker one than the exact one."""
        cache = self._view_cache(view, loaded)
        step = find_step(scene.capture, loaded)

        styles = cache.styles(_styles_key(scene), lambda: loaded.latents.styles(scene))
        if cache.styles.has_run and styles.seeds_mapped:
            cache.stages_run.append("mapping")
        clock.lap("mapping", loaded)

        moves = plan_transform(scene.transform, loaded)
        inputs = LayerInputs(
            loaded, styles.ws_cpu[0], _noise_key(scene, loaded), moves.at_input, _force_fp32(scene), kernels.serving()
        )
        state = self._run_layers(cache, inputs, styles.ws, step, on_layer)
        clock.lap("synthesis", loaded)

        captured = cache.captured(
            (state, step, scene.model.channel_order),
            lambda: upscale_preview(extract_map(step, state, loaded, scene.model), step, loaded),
        )
        shown = cache.transformed(
            (captured, moves if step is None else None), lambda: apply_to_output(captured, moves, step)
        )
        look = select_channels(scene.capture, shown)
        whole = cache.map_stats((shown,), lambda: map_stats(shown))
        stats = cache.stats((shown, scene.capture), lambda: selection_stats(whole, look))
        picture = cache.image((shown, scene.capture, scene.inspect), lambda: inspect(scene.inspect, look))
        if cache.image.has_run:
            cache.stages_run.append("picture")
        clock.lap("picture", loaded)

        self._enforce_cache_budget(loaded)
        return RenderOutput(
            picture,
            get_model_info(exact, scene.model, inputs.force_fp32),
            stats,
            {**whole.readings, **picture.readings},
            styles.shown_class,
            clock.milliseconds(),
            cache.stages_run[0] if cache.stages_run else "",
            loaded is not exact,
        )

    def reload(self, path: str) -> None:
        """Look at the file of this path again the next time it is asked for."""
        self._models.reload(path)

    def clear_caches(self) -> None:
        """Give back all memory that only saves time."""
        self._views.clear()
        self._models.evict_unused()

    def close(self) -> None:
        """Break off what is under way beside the pictures."""
        self._models.close()

    def _view_cache(self, view: str, loaded: LoadedModel) -> _ViewCache:
        """What the view remembers; nothing, where it turns to another network."""
        cache = self._views.get(view)
        if cache is None or cache.loaded is not loaded:
            cache = self._views[view] = _ViewCache(loaded)
            self._views.pop(view + PREVIEW_SUFFIX, None)
        else:
            cache.start_render()
        self._views.move_to_end(view)
        while len(self._views) > MAX_VIEWS:
            evicted, _ = self._views.popitem(last=False)
            self._models.release_view(evicted)
        return cache

    def _run_layers(
        self, cache: _ViewCache, inputs: LayerInputs, ws: Tensor, step: Step | None, on_layer: OnLayer
    ) -> SynthesisState:
        """What comes out of the captured layer, beginning at the deepest layer whose inputs some view has seen."""
        loaded = inputs.loaded
        steps = loaded.steps
        stop = len(steps) if step is None else step.index + 1
        runs = [view.layers for view in self._views.values() if view.layers is not None]
        source = max(runs, key=lambda run: run.resume_point(inputs, stop), default=None)
        run = source.with_inputs(inputs) if source is not None else CachedRun(inputs)
        start = run.resume_point(inputs, stop)
        keep = _cached_layers(loaded)
        run.states = {done: state for done, state in run.states.items() if done in keep or done in (start, stop)}
        cache.layers = run
        if start == stop:
            return run.states[stop]
        cache.stages_run.append(steps[start].name)
        del runs, source  # what is no longer valid makes room
        stopwatch = _LayerTimer(loaded, start, stop)

        def after(step: Step, state: SynthesisState) -> None:
            stopwatch.lap(step)
            if state.done in keep or state.done == stop:
                run.states[state.done] = state
            if state.done < stop:
                on_layer(stopwatch.remaining(state.done))

        with transform_input(loaded, inputs.transform):
            mode, seed = inputs.noise or ("const", 0)
            state = loaded.graphs.run(
                ws,
                start=start,
                state=run.states.get(start),
                stop=stop,
                noise_mode=mode,
                noise=seeded_noise(seed),
                force_fp32=inputs.force_fp32,
                on_step=after,
            )
        if start not in keep:
            run.states.pop(start, None)
        return state

    def _enforce_cache_budget(self, loaded: LoadedModel) -> None:
        """Let the views that were rendered longest ago forget their layers until the rest fits."""
        most = _cache_budget(loaded)
        for view in list(self._views.values())[:-1]:
            if (
                total_bytes(
                    state for other in self._views.values() if other.layers for state in other.layers.states.values()
                )
                <= most
            ):
                return
            view.layers = None


class _CachedStage:
    """The newest outcome of one stage and what it was made from."""

    def __init__(self) -> None:
        self.has_run = False
        self._key: Any = None
        self._value: Any = None

    def __call__(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What `make` gives, unless the key is still the same; networks, states and maps are compared by identity."""
        self.has_run = self._key is None or self._key != key
        if self.has_run:
            self._key = self._value = None  # a failure leaves nothing behind
            self._value = make()
            self._key = key
        return self._value


@dataclass
class _ViewCache:
    """What one view remembers of one network."""

    loaded: LoadedModel
    layers: CachedRun | None = None
    styles: _CachedStage = field(default_factory=_CachedStage)
    captured: _CachedStage = field(default_factory=_CachedStage)
    transformed: _CachedStage = field(default_factory=_CachedStage)
    map_stats: _CachedStage = field(default_factory=_CachedStage)
    stats: _CachedStage = field(default_factory=_CachedStage)
    image: _CachedStage = field(default_factory=_CachedStage)
    stages_run: list[str] = field(default_factory=lambda: ["model"])

    def start_render(self) -> None:
        """Another picture of the same network."""
        self.stages_run = []


class _StageTimer:
    """Milliseconds of each stage, with the work that a GPU still had to do."""

    def __init__(self) -> None:
        self._began = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str, loaded: LoadedModel) -> None:
        if loaded.device.type == "cuda":
            torch.cuda.synchronize(loaded.device)
        now = time.perf_counter()
        self._laps[stage] = (now - self._last) * 1000
        self._last = now

    def milliseconds(self) -> dict[str, float]:
        return {**self._laps, "total": (self._last - self._began) * 1000}


class _LayerTimer:
    """Learns what each layer costs, and says how long the rest takes. A GPU's layers cannot be timed one by one."""

    def __init__(self, loaded: LoadedModel, start: int, stop: int) -> None:
        self._loaded, self._stop, self._known = loaded, stop, len(loaded.layer_seconds) == len(loaded.steps)
        self._fresh = [] if start == 0 and loaded.device.type == "cpu" else None
        self._last = time.perf_counter()

    def lap(self, step: Step) -> None:
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        costs = self._loaded.layer_seconds
        if self._known:
            costs[step.index] += 0.3 * (seconds - costs[step.index])
        elif self._fresh is not None:
            self._fresh.append(seconds)
            if len(self._fresh) == len(self._loaded.steps):
                self._loaded.layer_seconds = self._fresh
                self._loaded.cached_layers = None  # decided again, now that the costs are known

    def remaining(self, done: int) -> float | None:
        return sum(self._loaded.layer_seconds[done : self._stop]) if self._known else None


def _styles_key(scene: Scene) -> tuple[Any, ...]:
    """All that w depends on; what only matters in motion is left out."""
    latent, mixing = scene.latent, scene.mixing
    return replace(latent, drift_x=0, drift_y=0), replace(mixing, drift=0) if mixing.layers else None, scene.truncation


def _noise_key(scene: Scene, loaded: LoadedModel) -> tuple[str, int] | None:
    if not loaded.has_noise:
        return None
    return scene.noise.mode, scene.noise.seed if scene.noise.mode == "random" else 0


def _force_fp32(scene: Scene) -> bool:
    return scene.compute.precision == "float32"


def _cache_budget(loaded: LoadedModel) -> int:
    if loaded.cache_budget is None:
        loaded.cache_budget = cache_budget(loaded.device, free_memory(loaded.device))
    return loaded.cache_budget


def _cached_layers(loaded: LoadedModel) -> frozenset[int]:
    """After which layers what comes out is kept for later."""
    if loaded.cached_layers is None:
        sizes = [step.channels * step.size**2 * 4 for step in loaded.steps]
        costs = loaded.layer_seconds or [float(size) for size in sizes]
        loaded.cached_layers = choose_cached_layers(costs, sizes, _cache_budget(loaded))
    return loaded.cached_layers
