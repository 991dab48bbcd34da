"""The feature map to inspect: extracting it, selecting its channels, computing its statistics."""

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
MAX_PROBED_CHANNELS = 8192  # that the reading `probe` holds at most
MAX_HISTOGRAM_VALUES = 1 << 22  # larger maps are subsampled evenly


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A layer's feature map, or the image.

    values: float32 [C, H, W]. coverage: bool [H, W], where a transformed image has content (None: everywhere).
    width: extent in image widths (above 1 where a layer has a margin).
    """

    values: Tensor
    coverage: Tensor | None
    width: float


def find_step(capture: Capture, loaded: LoadedModel) -> Step | None:
    """Return the step of the captured layer; None for the image. Raises RenderError if there is no such layer."""
    if not capture.layer:
        return None
    for step in loaded.steps:
        if step.name == capture.layer:
            return step
    names = tuple(step.name for step in loaded.steps)
    raise RenderError(f"This network has no layer {capture.layer!r:.60}: {suggest(capture.layer, names)}")


def extract_map(step: Step | None, state: SynthesisState, loaded: LoadedModel, model: Model) -> FeatureMap:
    """Return the feature map of a layer from its state, or the image (`step` None) with channels in RGB order."""
    if step is not None:
        values = feature_map(step, state)[0].to(torch.float32)
        return FeatureMap(values, None, step.size / step.resolution)
    image = loaded.network.synthesis.to_image(state)[0]
    if loaded.channel_order(model) == "bgr":
        image = image.flip(0)
    return FeatureMap(image, None, 1.0)


def select_channels(capture: Capture, feature_map: FeatureMap) -> ChannelSelection:
    """Select the channels to show: three as RGB if the map has three, else one; too large a channel is clamped."""
    channels = feature_map.values.shape[0]
    count = 3 if capture.rgb and channels >= 3 else 1
    return ChannelSelection(
        feature_map.values, min(capture.channel, channels - count), count, feature_map.coverage, feature_map.width
    )


def probe_values(feature_map: FeatureMap, probe: tuple[int, int] | None) -> dict[str, np.ndarray]:
    """Return the reading `probe`, all channels float32 [C] at a pixel (x, y), and that pixel as `probed_pixel`.

    Outside of the map there are no readings.
    """
    height, width = feature_map.values.shape[1:]
    if probe is None or not (0 <= probe[0] < width and 0 <= probe[1] < height):
        return {}
    values = feature_map.values[:MAX_PROBED_CHANNELS, probe[1], probe[0]].cpu().numpy()
    return {"probe": values, "probed_pixel": np.array(probe)}


@dataclass(frozen=True)
class FullMapStats:
    """Statistics over all channels of a feature map, with its histogram as readings."""

    mean: float
    std: float
    max_abs: float
    readings: Mapping[str, np.ndarray]


def map_stats(feature_map: FeatureMap) -> FullMapStats:
    """Return statistics of a map, and its `histogram`: counts in HISTOGRAM_BINS bins over `histogram_range`.

    There is no histogram if a value is not finite.
    """
    mean, std, largest = _stats(feature_map.values)
    stride = max(1, feature_map.values.numel() // MAX_HISTOGRAM_VALUES)
    values = feature_map.values.reshape(-1)[::stride]
    low, high = (float(bound) for bound in values.aminmax())
    if not (np.isfinite(low) and np.isfinite(high)):
        return FullMapStats(mean, std, largest, {})
    counts = values.histc(HISTOGRAM_BINS, low, high) if high > low else torch.zeros(HISTOGRAM_BINS)
    readings = {
        "histogram": counts.cpu().numpy().astype(np.float32),
        "histogram_range": np.array([low, high], np.float32),
    }
    return FullMapStats(mean, std, largest, readings)


def selection_stats(full: FullMapStats, selection: ChannelSelection) -> MapStats:
    """Combine the statistics over all channels with those over the selected ones."""
    full_values = (full.mean, full.std, full.max_abs)
    return MapStats(
        *full_values, *(full_values if selection.count == len(selection.feature_map) else _stats(selection.channels))
    )


def _stats(values: Tensor) -> tuple[float, float, float]:
    std, mean = torch.std_mean(values, correction=0)
    low, high = values.aminmax()
    return float(mean), float(std), float(torch.maximum(-low, high))
