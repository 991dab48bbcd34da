"""Measures the quality of the demo networks and writes docs/demo.md.

    python visualizer.py dataset planets --dest out/planets64.zip --resolution 64x64 --max-images 20000 --seed 0
    python tools/judge_demo.py --data out/planets64.zip

A classifier trained on real planets classifies generated ones; further measures are the distance of generated images to
real ones, their diversity, and equivariance to a moved input. Takes some minutes.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data import Dataset, DatasetError
from metrics.classifier import Classifier, extract_features, train
from metrics.diversity import diversity_by_class, thumbnails
from metrics.equivariance import Equivariance, equivariance
from metrics.sliced_wasserstein import sliced_wasserstein
from networks import CheckpointError, LoadedCheckpoint, load_network
from networks.sampling import draw_latents, to_class_vectors, to_uint8

ASSETS = Path(__file__).resolve().parent.parent / "assets"
NETWORKS = (ASSETS / "demo.safetensors", ASSETS / "demo-sg2.safetensors")
PSIS = (0.7, 1.0)
BATCH = 16


@dataclass(frozen=True)
class Reals:
    """The dataset, split into disjoint parts."""

    learning: tuple[Tensor, Tensor]  # uint8 [N,C,H,W] and classes [N], for the classifier
    half: tuple[Tensor, Tensor]  # the reference for all comparisons
    other: tuple[Tensor, Tensor]  # as many other images
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Similarity:
    """The measures of images, generated or real, compared with `Reals.half`."""

    named: float  # accuracy: share of images in which the classifier sees the requested class
    named_by_class: dict[int, float]
    distance: dict[int, float]  # sliced Wasserstein, by pixels of the level
    pixels: dict[int, float]  # mean distance of pairs, by class: of pictures of 16 pixels
    features: dict[int, float]  # of the classifier's features


@dataclass(frozen=True)
class Evaluation:
    """The measures of one network."""

    name: str
    network: LoadedCheckpoint
    size: int  # bytes
    at: dict[float, Similarity]  # by psi
    follows: Equivariance


def main() -> int:
    options = arguments().parse_args()
    try:
        reals = read_reals(options.data, options.pictures)
        networks = {path: load_network(path) for path in options.networks if path.exists() or path not in NETWORKS}
        for path, network in networks.items():
            check_comparable(path, network, reals)
    except (DatasetError, CheckpointError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    classifier = read_classifier(reals, options.cache, Dataset(options.data, use_labels=True).fingerprint())
    real = measure_similarity(reals, classifier, *reals.other)
    judged = [evaluate(path, network, reals, classifier, options) for path, network in networks.items()]
    options.dest.parent.mkdir(parents=True, exist_ok=True)
    options.dest.write_text(report(real, judged, reals, options))
    print(options.dest.read_text())
    return 0


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", type=Path, default=list(NETWORKS), help="default: those in assets/")
    parser.add_argument("--data", type=Path, default=Path("out/planets64.zip"), help="real pictures with classes")
    parser.add_argument("--dest", type=Path, default=Path("docs/demo.md"))
    parser.add_argument("--cache", type=Path, default=Path("out"), help="folder where the classifier is kept")
    parser.add_argument("--pictures", type=int, default=2000, help="in each set that is compared (default 2000)")
    parser.add_argument("--asked", type=int, default=1000, help="generated for the classifier (default 1000)")
    parser.add_argument("--moves", type=int, default=200, help="pictures for EQ-T and EQ-R (default 200)")
    return parser


def read_reals(path: Path, pictures: int) -> Reals:
    """Split a dataset into two sets of `pictures` images, and up to 12,000 others for the classifier.

    Raises DatasetError or ValueError.
    """
    dataset = Dataset(path, use_labels=True)
    if not dataset.has_onehot_labels or len(dataset) < 3 * pictures:
        raise ValueError(
            f"{path} must hold classes and at least {3 * pictures} pictures, three times --pictures, but has "
            f"{len(dataset)} and {dataset.label_dim or 'no'} classes."
        )
    order = np.random.RandomState(0).permutation(len(dataset))

    def chunk(chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        images, labels = dataset.batch(chosen)
        return torch.from_numpy(images), torch.from_numpy(labels.argmax(1))

    names = dataset.classes or tuple(map(str, range(dataset.label_dim)))
    parts = order[2 * pictures : 2 * pictures + 12_000], order[:pictures], order[pictures : 2 * pictures]
    return Reals(*map(chunk, parts), classes=names)


def check_comparable(path: Path, network: LoadedCheckpoint, reals: Reals) -> None:
    """Raise ValueError unless resolution and classes of a network match the dataset."""
    generator, side = network.generator, reals.half[0].shape[-1]
    if (generator.img_resolution, generator.c_dim) != (side, len(reals.classes)):
        raise ValueError(
            f"{path.name} paints {generator.img_resolution} pixels and has {generator.c_dim} classes, but the dataset "
            f"has {side} and {len(reals.classes)}: give --data of its kind."
        )


def read_classifier(reals: Reals, cache: Path, fingerprint: str) -> Classifier:
    """Return the classifier of this dataset, from the cache or newly trained."""
    path = cache / f"planet-classifier-{fingerprint}-{len(reals.learning[0])}.pt"
    model = Classifier(len(reals.classes), reals.half[0].shape[1]).eval()
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model
    model = train(*reals.learning, progress=lambda done, every: report_progress("Training the classifier", done, every))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), path)
    return model


def evaluate(
    path: Path, network: LoadedCheckpoint, reals: Reals, classifier: Classifier, options: argparse.Namespace
) -> Evaluation:
    """Compute all measures of one network."""
    at = {
        psi: measure_similarity(reals, classifier, *generate(network, options.pictures, psi), options.asked)
        for psi in PSIS
    }
    generator = network.generator
    z, _ = draw_latents(range(options.moves), generator.z_dim)
    c = to_class_vectors(torch.arange(options.moves) % generator.c_dim, generator.c_dim, options.moves)
    follows = equivariance(
        generator,
        generator.mapping(z, c),
        progress=lambda done, every: report_progress("Moving the input", done, every),
    )
    return Evaluation(path.name, network, path.stat().st_size, at, follows)


@torch.no_grad()
def generate(network: LoadedCheckpoint, count: int, psi: float) -> tuple[Tensor, Tensor]:
    """Generate uint8 images [N, C, H, W] of seeds 0, 1, 2 ...; return them and their classes [N], which alternate."""
    generator = network.generator
    classes = torch.arange(count) % generator.c_dim
    made = []
    for chunk in torch.arange(count).split(BATCH):
        z, _ = draw_latents(chunk.tolist(), generator.z_dim)
        c = to_class_vectors(classes[chunk], generator.c_dim, len(chunk))
        made.append(to_uint8(generator(z, c, truncation_psi=psi, noise_mode="const")))
        report_progress(f"Painting at psi {psi:g}", int(chunk[-1]) + 1, count)
    images = torch.cat(made)
    return images.flip(1) if network.channel_order == "bgr" else images, classes


def measure_similarity(
    reals: Reals, classifier: Classifier, images: Tensor, classes: Tensor, asked: int | None = None
) -> Similarity:
    """Measure uint8 images [N, C, H, W] of classes [N]; the classifier sees only the first `asked`."""
    features, names = extract_features(classifier, images)
    right = (names == classes)[:asked].to(torch.float64)
    by_class = {c: float(right[classes[:asked] == c].mean()) for c in range(len(reals.classes))}
    return Similarity(
        float(right.mean()),
        by_class,
        sliced_wasserstein(images, reals.half[0]),
        diversity_by_class(thumbnails(images), classes),
        diversity_by_class(features, classes),
    )


def report(real: Similarity, judged: list[Evaluation], reals: Reals, options: argparse.Namespace) -> str:
    """Format docs/demo.md."""
    count, asked = options.pictures, options.asked
    command = shlex.join(["python", "tools/judge_demo.py", *sys.argv[1:]])
    rows: list[list[str]] = [["", "wanted", "reals", *(network.name for network in judged)]]

    def row(what: str, wanted: str, of_reals: str, values: list[str]) -> None:
        rows.append([what, wanted, of_reals, *values])

    row("Family", "", "", [one.network.family for one in judged])
    row("Parameters", "", "", [f"{parameters(one.network):,}" for one in judged])
    row("File, MB", "6", "", [f"{one.size / 1e6:.2f}" for one in judged])
    for psi in PSIS:
        values = [one.at[psi] for one in judged]
        least, most, little = "≥ 80 %" if psi == 0.7 else "", "≤ 3", "≥ 0.6"
        at = f", psi {psi:g}"
        row(f"Asked class named{at}", least, f"{real.named:.1%}", [f"{one.named:.1%}" for one in values])
        for number, name in enumerate(reals.classes):
            shares = [f"{one.named_by_class[number]:.1%}" for one in values]
            row(f"– {name}{at}", "", f"{real.named_by_class[number]:.1%}", shares)
        row(
            f"Sliced Wasserstein over reals'{at}",
            most,
            "1",
            [f"{ratio(one.distance, real.distance):.2f}" for one in values],
        )
        for pixels in real.distance:
            distances = [f"{one.distance[pixels] * 1000:.1f}" for one in values]
            row(f"– level of {pixels} pixels, ×1000{at}", "", f"{real.distance[pixels] * 1000:.1f}", distances)
        for what, name in (("pictures", "pixels"), ("features", "features")):
            shares = [f"{ratio(getattr(one, name), getattr(real, name)):.2f}" for one in values]
            row(f"Diversity of {what} over reals'{at}", little, "1", shares)
    for what, name in (("EQ-T", "whole"), ("EQ-T, parts of pixels", "fraction"), ("EQ-R", "rotation")):
        row(f"{what}, dB", "", "", [f"{getattr(one.follows, name):.1f}" for one in judged])
    table = [rows[0], ["---", *["---:"] * (len(rows[0]) - 1)], *rows[1:]]
    lines = "\n".join("| " + " | ".join(cells) + " |" for cells in table)
    return PAGE.format(command=command, table=lines, count=count, asked=asked, moves=options.moves,
                       learning=len(reals.learning[0]), data=options.data.name)  # fmt: skip


PAGE = """# The demo networks in figures

    {command}

wrote this page; the dataset is that of the README's section *Datasets*.

{table}

**Asked class named.** A small convolutional network learned the classes from {learning} pictures of {data}. Under
*reals* is how many of {count} others it names rightly; under each network, in how many of {asked} pictures (classes in
turn, seeds from 0) it names the class that was asked for.

**Sliced Wasserstein.** {count} generated pictures against {count} real ones, over the distance of these real ones to
{count} others; the mean over the levels of a Laplacian pyramid (Karras et al. 2018: patches of 7 x 7, here 32 from each
picture, 256 directions). The distance between two sets of reals is not zero since each is a sample; it falls with more
pictures, so the quotient grows with their number.

**Diversity.** The mean distance of two pictures of one class, over that of reals, averaged over the classes: of
pictures averaged down to 16 pixels, and of the classifier's 64 features.

**EQ-T, EQ-R.** Karras et al. 2021, Appendix E, over {moves} pictures: peak over error of what the network paints from a
moved input, beside its moved picture. StyleGAN2 has no input that could be moved, so the paper states none; here its
learned constant of 4 x 4 is moved, by linear interpolation with its edges repeated.
"""


def ratio(values: dict[int, float], of: dict[int, float]) -> float:
    """Return the mean over keys of values / of."""
    return float(np.mean([values[key] / of[key] for key in of]))


def parameters(network: LoadedCheckpoint) -> int:
    return sum(parameter.numel() for parameter in network.generator.parameters())


def report_progress(what: str, done: int, every: int) -> None:
    """Print progress on one line of stderr."""
    if done == every or done % max(every // 20, 1) == 0:
        print(f"{what}: {done} of {every}", end="\n" if done == every else "\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
