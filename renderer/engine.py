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
from renderer.models.model_cache import Loaded, Models, Tell
from renderer.models.model_info import model_info
from renderer.preview_policy import enlarged, previewed
from renderer.stages.activation_cache import Inputs, Run, budget, bytes_of, most_useful
from renderer.stages.feature_maps import captured_step, look_at, map_of, stats_of, whole_stats
from renderer.stages.render_output import Finished
from renderer.stages.transforms import move_input, moved, moves_of
from session import Scene

T = TypeVar("T")
PREVIEW = ", preview"  # after the name of a view: what is remembered of its previews
VIEWS = 8  # of those that were rendered last, something is remembered
Check = Callable[[float | None], None]  # is told how many seconds are left, if known; raises to give up


def _go_on(_remaining: float | None) -> None:
    pass


def _say_nothing(_what: str, _fraction: float | None) -> None:
    pass


class Engine:
    """Makes pictures. The same scene gives the same bits, whatever was made before; previews aside."""

    def __init__(self) -> None:
        self._models = Models()
        self._views: OrderedDict[str, _View] = OrderedDict()  # the one rendered last is at the end

    def render(
        self,
        scene: Scene,
        view: str = "canvas",
        check: Check = _go_on,
        tell: Tell = _say_nothing,
        moving: bool = False,
    ) -> Finished:
        """The picture of a scene, for a view, which is what the stages remember.

        `check` is called after every layer and may raise; `tell` hears of slow loading; `moving`: a preview will do
        where the exact picture takes long (`Finished.preview` says which it is). Raises CheckpointError or Problem,
        each one sentence.
        """
        clock = _Clock()
        loaded = self._models.get(scene, view, tell)
        clock.lap("model", loaded)
        quicker = previewed(scene, loaded) if moving else None
        with torch.inference_mode():  # not while loading: networks need weights that tell when they change
            if quicker is not None:
                return self._picture(scene, view + PREVIEW, quicker, check, clock, loaded)
            return self._picture(scene, view, loaded, check, clock, loaded)

    def _picture(self, scene: Scene, view: str, loaded: Loaded, check: Check, clock: _Clock, exact: Loaded) -> Finished:
        """The stages behind the loaded network, which may be a quicker one than the exact one."""
        memory = self._memory(view, loaded)
        step = captured_step(scene.capture, loaded)

        styles = memory.styles(_styles_key(scene), lambda: loaded.latents.styles(scene))
        if memory.styles.ran and styles.mapped:
            memory.ran.append("mapping")
        clock.lap("mapping", loaded)

        moves = moves_of(scene.transform, loaded)
        inputs = Inputs(
            loaded, styles.values[0], _noise(scene, loaded), moves.at_input, _precise(scene), kernels.serving()
        )
        state = self._layers(memory, inputs, styles.ws, step, check)
        clock.lap("synthesis", loaded)

        captured = memory.captured(
            (state, step, scene.model.channel_order),
            lambda: enlarged(map_of(step, state, loaded, scene.model), step, loaded),
        )
        shown = memory.moved((captured, moves if step is None else None), lambda: moved(captured, moves, step))
        look = look_at(scene.capture, shown)
        whole = memory.whole((shown,), lambda: whole_stats(shown))
        stats = memory.stats((shown, scene.capture), lambda: stats_of(whole, look))
        picture = memory.picture((shown, scene.capture, scene.inspect), lambda: inspect(scene.inspect, look))
        if memory.picture.ran:
            memory.ran.append("picture")
        clock.lap("picture", loaded)

        self._keep_within_budget(loaded)
        return Finished(
            picture,
            model_info(exact, scene.model, inputs.force_fp32),
            stats,
            {**whole.readings, **picture.readings},
            styles.shown_class,
            clock.milliseconds(),
            memory.ran[0] if memory.ran else "",
            loaded is not exact,
        )

    def reload(self, path: str) -> None:
        """Look at the file of this path again the next time it is asked for."""
        self._models.reload(path)

    def forget(self) -> None:
        """Give back all memory that only saves time."""
        self._views.clear()
        self._models.forget()

    def close(self) -> None:
        """Break off what is under way beside the pictures."""
        self._models.close()

    def _memory(self, view: str, loaded: Loaded) -> _View:
        """What the view remembers; nothing, where it turns to another network."""
        memory = self._views.get(view)
        if memory is None or memory.loaded is not loaded:
            memory = self._views[view] = _View(loaded)
            self._views.pop(view + PREVIEW, None)
        else:
            memory.begin()
        self._views.move_to_end(view)
        while len(self._views) > VIEWS:
            forgotten, _ = self._views.popitem(last=False)
            self._models.leave(forgotten)
        return memory

    def _layers(self, memory: _View, inputs: Inputs, ws: Tensor, step: Step | None, check: Check) -> SynthesisState:
        """What comes out of the captured layer, beginning at the deepest layer whose inputs some view has seen."""
        loaded = inputs.loaded
        steps = loaded.steps
        stop = len(steps) if step is None else step.index + 1
        runs = [view.run for view in self._views.values() if view.run is not None]
        source = max(runs, key=lambda run: run.deepest(inputs, stop), default=None)
        run = source.continued(inputs) if source is not None else Run(inputs)
        start = run.deepest(inputs, stop)
        keep = _worth_keeping(loaded)
        run.kept = {done: state for done, state in run.kept.items() if done in keep or done in (start, stop)}
        memory.run = run
        if start == stop:
            return run.kept[stop]
        memory.ran.append(steps[start].name)
        del runs, source  # what is no longer valid makes room
        stopwatch = _Stopwatch(loaded, start, stop)

        def after(step: Step, state: SynthesisState) -> None:
            stopwatch.lap(step)
            if state.done in keep or state.done == stop:
                run.kept[state.done] = state
            if state.done < stop:
                check(stopwatch.remaining(state.done))

        with move_input(loaded, inputs.transform):
            mode, seed = inputs.noise or ("const", 0)
            state = loaded.graphs.run(
                ws,
                start=start,
                state=run.kept.get(start),
                stop=stop,
                noise_mode=mode,
                noise=seeded_noise(seed),
                force_fp32=inputs.force_fp32,
                on_step=after,
            )
        if start not in keep:
            run.kept.pop(start, None)
        return state

    def _keep_within_budget(self, loaded: Loaded) -> None:
        """Let the views that were rendered longest ago forget their layers until the rest fits."""
        most = _budget(loaded)
        for view in list(self._views.values())[:-1]:
            if (
                bytes_of(state for other in self._views.values() if other.run for state in other.run.kept.values())
                <= most
            ):
                return
            view.run = None


class _Stage:
    """The newest outcome of one stage and what it was made from."""

    def __init__(self) -> None:
        self.ran = False
        self._key: Any = None
        self._value: Any = None

    def __call__(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What `make` gives, unless the key is still the same; networks, states and maps are compared by identity."""
        self.ran = self._key is None or self._key != key
        if self.ran:
            self._key = self._value = None  # a failure leaves nothing behind
            self._value = make()
            self._key = key
        return self._value


@dataclass
class _View:
    """What one view remembers of one network."""

    loaded: Loaded
    run: Run | None = None
    styles: _Stage = field(default_factory=_Stage)
    captured: _Stage = field(default_factory=_Stage)
    moved: _Stage = field(default_factory=_Stage)
    whole: _Stage = field(default_factory=_Stage)
    stats: _Stage = field(default_factory=_Stage)
    picture: _Stage = field(default_factory=_Stage)
    ran: list[str] = field(default_factory=lambda: ["model"])

    def begin(self) -> None:
        """Another picture of the same network."""
        self.ran = []


class _Clock:
    """Milliseconds of each stage, with the work that a GPU still had to do."""

    def __init__(self) -> None:
        self._began = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str, loaded: Loaded) -> None:
        if loaded.device.type == "cuda":
            torch.cuda.synchronize(loaded.device)
        now = time.perf_counter()
        self._laps[stage] = (now - self._last) * 1000
        self._last = now

    def milliseconds(self) -> dict[str, float]:
        return {**self._laps, "total": (self._last - self._began) * 1000}


class _Stopwatch:
    """Learns what each layer costs, and says how long the rest takes. A GPU's layers cannot be timed one by one."""

    def __init__(self, loaded: Loaded, start: int, stop: int) -> None:
        self._loaded, self._stop, self._known = loaded, stop, len(loaded.costs) == len(loaded.steps)
        self._fresh = [] if start == 0 and loaded.device.type == "cpu" else None
        self._last = time.perf_counter()

    def lap(self, step: Step) -> None:
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        costs = self._loaded.costs
        if self._known:
            costs[step.index] += 0.3 * (seconds - costs[step.index])
        elif self._fresh is not None:
            self._fresh.append(seconds)
            if len(self._fresh) == len(self._loaded.steps):
                self._loaded.costs = self._fresh
                self._loaded.keep = None  # decided again, now that the costs are known

    def remaining(self, done: int) -> float | None:
        return sum(self._loaded.costs[done : self._stop]) if self._known else None


def _styles_key(scene: Scene) -> tuple[Any, ...]:
    """All that w depends on; what only matters in motion is left out."""
    latent, mixing = scene.latent, scene.mixing
    return replace(latent, drift_x=0, drift_y=0), replace(mixing, drift=0) if mixing.layers else None, scene.truncation


def _noise(scene: Scene, loaded: Loaded) -> tuple[str, int] | None:
    if not loaded.has_noise:
        return None
    return scene.noise.mode, scene.noise.seed if scene.noise.mode == "random" else 0


def _precise(scene: Scene) -> bool:
    return scene.compute.precision == "float32"


def _budget(loaded: Loaded) -> int:
    if loaded.budget is None:
        loaded.budget = budget(loaded.device, free_memory(loaded.device))
    return loaded.budget


def _worth_keeping(loaded: Loaded) -> frozenset[int]:
    """After which layers what comes out is kept for later."""
    if loaded.keep is None:
        sizes = [step.channels * step.size**2 * 4 for step in loaded.steps]
        costs = loaded.costs or [float(size) for size in sizes]
        loaded.keep = most_useful(costs, sizes, _budget(loaded))
    return loaded.keep
