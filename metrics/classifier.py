"""A small classifier, trained on a dataset's classes, to check that generated images have the requested class."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_SIZE = 64  # pixels; larger images are average-pooled to it, smaller ones used as they are
BATCH, LEARNING_RATE = 64, 2e-3


class Classifier(nn.Module):
    """Images uint8 [N,C,H,W] -> logits [N, classes]; `features` are the inputs [N, 64] of the last layer."""

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        widths = (channels, 16, 32, 48, 64)
        self.layers = nn.Sequential()
        for before, after in zip(widths, widths[1:], strict=False):
            self.layers.extend([nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()])
        self.head = nn.Linear(widths[-1], classes)

    def features(self, images: Tensor) -> Tensor:
        x = images.to(torch.float32) / 127.5 - 1
        if x.shape[-1] > INPUT_SIZE:
            x = F.adaptive_avg_pool2d(x, INPUT_SIZE)
        return self.layers(x).mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


def train(
    images: Tensor,
    classes: Tensor,
    *,
    epochs: int = 4,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Classifier:
    """Train a classifier on images uint8 [N,C,H,W] with class numbers [N]; reproducible for a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(int(classes.max()) + 1, images.shape[1]).train()
        steps = -(-len(images) // BATCH)
        optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * steps)
        for epoch in range(epochs):
            for number, indices in enumerate(torch.randperm(len(images)).split(BATCH)):
                batch = images[indices]
                batch = batch.flip(3) if torch.rand(()) < 0.5 else batch
                optimizer.zero_grad()
                F.cross_entropy(model(batch), classes[indices]).backward()
                optimizer.step()
                scheduler.step()
                if progress:
                    progress(epoch * steps + number + 1, epochs * steps)
    return model.eval()


@torch.no_grad()
def extract_features(model: Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return features [N, 64] and predicted class numbers [N] of images uint8 [N,C,H,W]."""
    features = torch.cat([model.features(chunk) for chunk in images.split(256)])
    return features, model.head(features).argmax(1)
