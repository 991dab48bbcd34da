"""From what a layer put out to what is looked at: which map, which of its channels, and its statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from networks.architectures.activations import feature_map
from networks.architectures.layerwise import Step, SynthesisState
from renderer.errors import Problem
from renderer.inspectors import Look
from renderer.messages import MapStats
from renderer.models.model_cache import Loaded
from session import Capture, Model
from session.fields import suggest

BINS = 64
COUNTED = 1 << 22  # values that go into a histogram; of larger maps, evenly spread ones


@dataclass(frozen=True, eq=False)
class Map:
    """What is looked at: [C, H, W] float32, where it has pixels (None: everywhere), and the image widths it spans."""

    values: Tensor
    covered: Tensor | None
    width: float


def captured_step(capture: Capture, loaded: Loaded) -> Step | None:
    """The layer that is looked at; None for the finished picture. Raises Problem where there is no such layer."""
    if not capture.layer:
        return None
    for step in loaded.steps:
        if step.name == capture.layer:
            return step
    names = tuple(step.name for step in loaded.steps)
    raise Problem(f"This network has no layer {capture.layer!r:.60}: {suggest(capture.layer, names)}")


def map_of(step: Step | None, state: SynthesisState, loaded: Loaded, model: Model) -> Map:
    """The map in a state: of a layer, or the finished picture with its channels as red, green, blue."""
    if step is not None:
        values = feature_map(step, state)[0].to(torch.float32)
        return Map(values, None, step.size / step.resolution)
    picture = loaded.network.synthesis.to_image(state)[0]
    if loaded.channel_order(model) == "bgr":
        picture = picture.flip(0)
    return Map(picture, None, 1.0)


def look_at(capture: Capture, shown: Map) -> Look:
    """The channels to show: three as colours where there are three, else one; a channel beyond the last is the last."""
    channels = shown.values.shape[0]
    count = 3 if capture.rgb and channels >= 3 else 1
    return Look(shown.values, min(capture.channel, channels - count), count, shown.covered, shown.width)


@dataclass(frozen=True)
class WholeStats:
    """Of all channels of a map."""

    mean: float
    std: float
    largest: float
    readings: Mapping[str, np.ndarray]


def whole_stats(shown: Map) -> WholeStats:
    """Statistics of a map, and its `histogram`: counts in BINS bins of equal width over `histogram_range`."""
    mean, std, largest = _stats(shown.values)
    every = max(1, shown.values.numel() // COUNTED)
    values = shown.values.reshape(-1)[::every]
    low, high = (float(bound) for bound in values.aminmax())
    if not (np.isfinite(low) and np.isfinite(high)):
        return WholeStats(mean, std, largest, {})
    counts = values.histc(BINS, low, high) if high > low else torch.zeros(BINS)
    readings = {
        "histogram": counts.cpu().numpy().astype(np.float32),
        "histogram_range": np.array([low, high], np.float32),
    }
    return WholeStats(mean, std, largest, readings)


def stats_of(whole: WholeStats, look: Look) -> MapStats:
    """The whole map's statistics with those of the channels shown."""
    everything = (whole.mean, whole.std, whole.largest)
    return MapStats(*everything, *(everything if look.count == len(look.whole) else _stats(look.chosen)))


def _stats(values: Tensor) -> tuple[float, float, float]:
    std, mean = torch.std_mean(values, correction=0)
    low, high = values.aminmax()
    return float(mean), float(std), float(torch.maximum(-low, high))
