"""A small network that learns to name the classes of a dataset: whether generated pictures are what was asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 64  # pixels that it looks at; larger pictures are averaged down, smaller ones taken as they are
BATCH, RATE = 64, 2e-3


class Classifier(nn.Module):
    """Pictures uint8 [N,C,H,W] -> scores [N, classes]; `features` [N, 64] is what they are decided by."""

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        widths = (channels, 16, 32, 48, 64)
        self.layers = nn.Sequential()
        for before, after in zip(widths, widths[1:], strict=False):
            self.layers.extend([nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()])
        self.names = nn.Linear(widths[-1], classes)

    def features(self, images: Tensor) -> Tensor:
        x = images.to(torch.float32) / 127.5 - 1
        if x.shape[-1] > SIDE:
            x = F.adaptive_avg_pool2d(x, SIDE)
        return self.layers(x).mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.names(self.features(images))


def train(
    images: Tensor,
    classes: Tensor,
    *,
    epochs: int = 4,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Classifier:
    """A classifier of pictures uint8 [N,C,H,W] with classes [N]; the same seed gives the same one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(int(classes.max()) + 1, images.shape[1]).train()
        steps = -(-len(images) // BATCH)
        adam = torch.optim.Adam(model.parameters(), RATE)
        pace = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, total_steps=epochs * steps)
        for epoch in range(epochs):
            for number, chosen in enumerate(torch.randperm(len(images)).split(BATCH)):
                seen = images[chosen]
                seen = seen.flip(3) if torch.rand(()) < 0.5 else seen
                adam.zero_grad()
                F.cross_entropy(model(seen), classes[chosen]).backward()
                adam.step()
                pace.step()
                if progress:
                    progress(epoch * steps + number + 1, epochs * steps)
    return model.eval()


@torch.no_grad()
def looked_at(model: Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features [N, 64] and the class named for each picture [N]."""
    features = torch.cat([model.features(some) for some in images.split(256)])
    return features, model.names(features).argmax(1)
