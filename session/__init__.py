"""The document: frozen values that say all about a picture. Imports no torch and no window."""

from session.document import Session, with_scene
from session.inspect import Inspect, Picture, Spectrum
from session.scene import Capture, Compute, Latent, Mixing, Model, Noise, Scene, Transform, Truncation

__all__ = [
    "Capture",
    "Compute",
    "Inspect",
    "Latent",
    "Mixing",
    "Model",
    "Noise",
    "Picture",
    "Scene",
    "Session",
    "Spectrum",
    "Transform",
    "Truncation",
    "with_scene",
]
