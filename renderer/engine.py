"""Renders a scene in stages; each stage caches its last output and runs only when its inputs have changed."""

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
from renderer.stages.feature_maps import (
    extract_map,
    find_step,
    map_stats,
    probe_values,
    select_channels,
    selection_stats,
)
from renderer.stages.render_output import RenderOutput
from renderer.stages.transforms import apply_to_output, plan_transform, transform_input
from session import Scene

T = TypeVar("T")
PREVIEW_SUFFIX = ", preview"  # appended to a view's name for the cache of its previews
MAX_VIEWS = 8  # most recently rendered views that keep a cache
OnLayer = Callable[[float | None], None]  # gets the seconds left, if known; may raise to cancel the render


def _never_cancel(_remaining: float | None) -> None:
    pass


def _ignore_progress(_what: str, _fraction: float | None) -> None:
    pass


class Engine:
    """Renders scenes. Equal scenes give equal bits, whatever was rendered before, except for previews."""

    def __init__(self) -> None:
        self._models = ModelCache()
        self._views: OrderedDict[str, _ViewCache] = OrderedDict()  # least recently rendered first

    def render(
        self,
        scene: Scene,
        view: str = "canvas",
        on_layer: OnLayer = _never_cancel,
        on_progress: OnProgress = _ignore_progress,
        moving: bool = False,
        probe: tuple[int, int] | None = None,
    ) -> RenderOutput:
        """Render a scene.

        Args:
            scene: what to render.
            view: key of the caches; each view resumes from its own last render.
            on_layer: called after every layer with the estimated seconds left; may raise to cancel the render.
            on_progress: called with a message and a fraction while a network is loaded; may raise as well.
            moving: a preview is enough if the exact image is slow (`RenderOutput.preview` tells which it is).
            probe: pixel (x, y) of the map shown whose values become the reading "probe".

        Raises:
            CheckpointError, RenderError: the image cannot be made; each is one sentence.
        """
        timer = _StageTimer()
        loaded = self._models.get(scene, view, on_progress)
        timer.lap("model", loaded)
        preview = preview_model(scene, loaded) if moving else None
        with torch.inference_mode():  # not while loading: inference tensors have no version counter
            if preview is not None:
                return self._render_stages(scene, view + PREVIEW_SUFFIX, preview, on_layer, timer, loaded, probe)
            return self._render_stages(scene, view, loaded, on_layer, timer, loaded, probe)

    def _render_stages(
        self,
        scene: Scene,
        view: str,
        loaded: LoadedModel,
        on_layer: OnLayer,
        timer: _StageTimer,
        exact: LoadedModel,
        probe: tuple[int, int] | None,
    ) -> RenderOutput:
        """Run all stages after loading. `loaded` is the network to run: `exact`, or its preview."""
        cache = self._view_cache(view, loaded)
        step = find_step(scene.capture, loaded)

        styles = cache.styles(_styles_key(scene), lambda: loaded.latents.styles(scene))
        if cache.styles.has_run and styles.seeds_mapped:
            cache.stages_run.append("mapping")
        timer.lap("mapping", loaded)

        plan = plan_transform(scene.transform, loaded)
        inputs = LayerInputs(
            loaded,
            styles.ws_cpu[0],
            _noise_key(scene, loaded),
            plan.at_input,
            _force_fp32(scene),
            kernels.active_backend(),
        )
        state = self._run_layers(cache, inputs, styles.ws, step, on_layer)
        timer.lap("synthesis", loaded)

        captured = cache.captured(
            (state, step, scene.model.channel_order),
            lambda: upscale_preview(extract_map(step, state, loaded, scene.model), step, loaded),
        )
        feature_map = cache.transformed(
            (captured, plan if step is None else None), lambda: apply_to_output(captured, plan, step)
        )
        selection = select_channels(scene.capture, feature_map)
        full_stats = cache.map_stats((feature_map,), lambda: map_stats(feature_map))
        stats = cache.stats((feature_map, scene.capture), lambda: selection_stats(full_stats, selection))
        image = cache.image((feature_map, scene.capture, scene.inspect), lambda: inspect(scene.inspect, selection))
        probed = probe_values(feature_map, probe) if scene.inspect.chosen.spatial else {}
        if cache.image.has_run:
            cache.stages_run.append("picture")
        timer.lap("picture", loaded)

        self._enforce_cache_budget(loaded)
        return RenderOutput(
            image,
            get_model_info(exact, scene.model, inputs.force_fp32),
            stats,
            {**full_stats.readings, **image.readings, **probed},
            styles.shown_class,
            timer.milliseconds(),
            cache.stages_run[0] if cache.stages_run else "",
            loaded is not exact,
        )

    def reload(self, path: str) -> None:
        """Check the file at this path for changes at its next use."""
        self._models.reload(path)

    def clear_caches(self) -> None:
        """Free the memory of all caches."""
        self._views.clear()
        self._models.evict_unused()

    def close(self) -> None:
        """Stop background work, such as downloads."""
        self._models.close()

    def _view_cache(self, view: str, loaded: LoadedModel) -> _ViewCache:
        """Return the cache of a view, an empty one if it now shows another network."""
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
        """Run the layers up to and including `step` (None: all), resuming from the latest valid state of any view."""
        loaded = inputs.loaded
        steps = loaded.steps
        stop = len(steps) if step is None else step.index + 1
        runs = [view.layers for view in self._views.values() if view.layers is not None]
        best_run = max(runs, key=lambda run: run.resume_point(inputs, stop), default=None)
        run = best_run.with_inputs(inputs) if best_run is not None else CachedRun(inputs)
        start = run.resume_point(inputs, stop)
        layers_to_cache = _cached_layers(loaded)
        run.states = {
            done: state for done, state in run.states.items() if done in layers_to_cache or done in (start, stop)
        }
        cache.layers = run
        if start == stop:
            return run.states[stop]
        cache.stages_run.append(steps[start].name)
        del runs, best_run  # frees states that are no longer valid
        timer = _LayerTimer(loaded, start, stop)

        def on_step(step: Step, state: SynthesisState) -> None:
            timer.lap(step)
            if state.done in layers_to_cache or state.done == stop:
                run.states[state.done] = state
            if state.done < stop:
                on_layer(timer.remaining(state.done))

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
                on_step=on_step,
            )
        if start not in layers_to_cache:
            run.states.pop(start, None)
        return state

    def _enforce_cache_budget(self, loaded: LoadedModel) -> None:
        """Drop the layer caches of the least recently rendered views until the rest fits the budget."""
        budget = _cache_budget(loaded)
        for view in list(self._views.values())[:-1]:
            if (
                total_bytes(
                    state for other in self._views.values() if other.layers for state in other.layers.states.values()
                )
                <= budget
            ):
                return
            view.layers = None


class _CachedStage:
    """Memoizes the last output of one stage."""

    def __init__(self) -> None:
        self.has_run = False
        self._key: Any = None
        self._value: Any = None

    def __call__(self, key: tuple[Any, ...], compute: Callable[[], T]) -> T:
        """Return the cached value if the key is unchanged, else compute it.

        Networks, states and feature maps in the key are compared by identity.
        """
        self.has_run = self._key is None or self._key != key
        if self.has_run:
            self._key = self._value = None  # a failed computation leaves the cache empty
            self._value = compute()
            self._key = key
        return self._value


@dataclass
class _ViewCache:
    """The cached stages of one view of one network."""

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
        """Begin another render with the same network."""
        self.stages_run = []


class _StageTimer:
    """Measures the time of each stage; waits for the GPU at the end of each."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str, loaded: LoadedModel) -> None:
        if loaded.device.type == "cuda":
            torch.cuda.synchronize(loaded.device)
        now = time.perf_counter()
        self._laps[stage] = (now - self._last) * 1000
        self._last = now

    def milliseconds(self) -> dict[str, float]:
        return {**self._laps, "total": (self._last - self._start) * 1000}


class _LayerTimer:
    """Estimates each layer's time and the time left. On a CPU only: a GPU's layers run asynchronously."""

    def __init__(self, loaded: LoadedModel, start: int, stop: int) -> None:
        self._loaded, self._stop, self._has_estimates = loaded, stop, len(loaded.layer_seconds) == len(loaded.steps)
        self._new_costs = [] if start == 0 and loaded.device.type == "cpu" else None
        self._last = time.perf_counter()

    def lap(self, step: Step) -> None:
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        costs = self._loaded.layer_seconds
        if self._has_estimates:
            costs[step.index] += 0.3 * (seconds - costs[step.index])
        elif self._new_costs is not None:
            self._new_costs.append(seconds)
            if len(self._new_costs) == len(self._loaded.steps):
                self._loaded.layer_seconds = self._new_costs
                self._loaded.cached_layers = None  # to be chosen again with the measured times

    def remaining(self, done: int) -> float | None:
        return sum(self._loaded.layer_seconds[done : self._stop]) if self._has_estimates else None


def _styles_key(scene: Scene) -> tuple[Any, ...]:
    """Cache key of w: all that it depends on, without the speeds, which matter during playback only."""
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
    """The layers after which the state is cached."""
    if loaded.cached_layers is None:
        sizes = [step.channels * step.size**2 * 4 for step in loaded.steps]
        costs = loaded.layer_seconds or [float(size) for size in sizes]
        loaded.cached_layers = choose_cached_layers(costs, sizes, _cache_budget(loaded))
    return loaded.cached_layers
