"""While a hand moves and exact pictures come too slowly, a quicker network of the same weights makes previews."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch.nn.functional as F

from networks.architectures.layerwise import Step
from networks.inference.half_rate_preview import make_preview
from renderer.models.model_cache import LoadedModel
from renderer.stages.feature_maps import FeatureMap
from session import Scene

MIN_EXACT_SECONDS = 1 / 30  # seconds that a picture may take before a preview is worth it


def preview_model(scene: Scene, loaded: LoadedModel) -> LoadedModel | None:
    """What makes previews of this scene; None where the exact picture is quick, measured, or there is none."""
    looked_into = scene.capture.layer or not scene.inspect.chosen.spatial or scene.transform.undo
    if looked_into or loaded.device.type != "cpu" or sum(loaded.layer_seconds) < MIN_EXACT_SECONDS:
        return None
    if loaded.preview is None:
        synthesis = make_preview(loaded.network.synthesis)
        if synthesis is None:
            return None
        network = copy.copy(loaded.network)
        network._modules = {**loaded.network._modules, "synthesis": synthesis}
        loaded.preview = replace(loaded, network=network, layer_seconds=[], cached_layers=None)
    return loaded.preview


def upscale_preview(captured: FeatureMap, step: Step | None, loaded: LoadedModel) -> FeatureMap:
    """The finished picture at the size of an exact one."""
    size = loaded.network.img_resolution
    if step is not None or captured.values.shape[1] == size:
        return captured
    values = F.interpolate(captured.values[None], size=(size, size), mode="bicubic", align_corners=False)[0]
    return replace(captured, values=values)
