"""From what a layer put out to what is looked at: which map, which of its channels, and its statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from networks.architectures.activations import feature_map
from networks.architectures.layerwise import Step, SynthesisState
from renderer.errors import RenderError
from renderer.inspectors import ChannelSelection
from renderer.messages import MapStats
from renderer.models.model_cache import LoadedModel
from session import Capture, Model
from session.fields import suggest

HISTOGRAM_BINS = 64
MAX_HISTOGRAM_VALUES = 1 << 22  # values that go into a histogram; of larger maps, evenly spread ones


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """What is looked at: [C, H, W] float32, where it has pixels (None: everywhere), and the image widths it spans."""

    values: Tensor
    coverage: Tensor | None
    width: float


def find_step(capture: Capture, loaded: LoadedModel) -> Step | None:
    """The layer that is looked at; None for the finished picture. Raises Problem where there is no such layer."""
    if not capture.layer:
        return None
    for step in loaded.steps:
        if step.name == capture.layer:
            return step
    names = tuple(step.name for step in loaded.steps)
    raise RenderError(f"This network has no layer {capture.layer!r:.60}: {suggest(capture.layer, names)}")


def extract_map(step: Step | None, state: SynthesisState, loaded: LoadedModel, model: Model) -> FeatureMap:
    """The map in a state: of a layer, or the finished picture with its channels as red, green, blue."""
    if step is not None:
        values = feature_map(step, state)[0].to(torch.float32)
        return FeatureMap(values, None, step.size / step.resolution)
    picture = loaded.network.synthesis.to_image(state)[0]
    if loaded.channel_order(model) == "bgr":
        picture = picture.flip(0)
    return FeatureMap(picture, None, 1.0)


def select_channels(capture: Capture, shown: FeatureMap) -> ChannelSelection:
    """The channels to show: three as colours where there are three, else one; a channel beyond the last is the last."""
    channels = shown.values.shape[0]
    count = 3 if capture.rgb and channels >= 3 else 1
    return ChannelSelection(shown.values, min(capture.channel, channels - count), count, shown.coverage, shown.width)


@dataclass(frozen=True)
class FullMapStats:
    """Of all channels of a map."""

    mean: float
    std: float
    max_abs: float
    readings: Mapping[str, np.ndarray]


def map_stats(shown: FeatureMap) -> FullMapStats:
    """Statistics of a map, and its `histogram`: counts in BINS bins of equal width over `histogram_range`."""
    mean, std, largest = _stats(shown.values)
    every = max(1, shown.values.numel() // MAX_HISTOGRAM_VALUES)
    values = shown.values.reshape(-1)[::every]
    low, high = (float(bound) for bound in values.aminmax())
    if not (np.isfinite(low) and np.isfinite(high)):
        return FullMapStats(mean, std, largest, {})
    counts = values.histc(HISTOGRAM_BINS, low, high) if high > low else torch.zeros(HISTOGRAM_BINS)
    readings = {
        "histogram": counts.cpu().numpy().astype(np.float32),
        "histogram_range": np.array([low, high], np.float32),
    }
    return FullMapStats(mean, std, largest, readings)


def selection_stats(whole: FullMapStats, look: ChannelSelection) -> MapStats:
    """The whole map's statistics with those of the channels shown."""
    everything = (whole.mean, whole.std, whole.max_abs)
    return MapStats(*everything, *(everything if look.count == len(look.feature_map) else _stats(look.channels)))


def _stats(values: Tensor) -> tuple[float, float, float]:
    std, mean = torch.std_mean(values, correction=0)
    low, high = values.aminmax()
    return float(mean), float(std), float(torch.maximum(-low, high))
