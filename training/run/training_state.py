"""All that a training is made of at one moment, as tensors and plain data: what is kept, and what is taken up again."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import nn

from runs.run_folder import RunError
from training.run.environment import versions
from training.run.statistics import Statistics

if TYPE_CHECKING:
    from training.loop import Training


def capture(training: Training, signs: list[float], moments: dict[str, list[float]]) -> dict[str, Any]:
    """The state between two steps; signs of D and statistics are those of all processes together."""
    trainer = training.trainer
    networks: dict[str, nn.Module] = {"G": trainer.G, "D": trainer.D, "G_ema": trainer.G_ema}
    if trainer.encoder is not None:
        networks["encoder"] = trainer.encoder
    return {
        "config": json.dumps(asdict(training.config)),
        "fingerprint": training.fingerprint,
        "versions": versions(),
        "images": training.images,
        "index": training.index,
        "tick": training.tick,
        "tick_images": training.tick_images,
        "reseeded": training.reseeded,
        "seconds": training.seconds,
        "control": training.control.values(),
        "networks": {name: network.state_dict() for name, network in networks.items()},
        "optimisers": {name: adam.state_dict() for name, adam in trainer.optimisers.items()},
        "pl_mean": trainer.losses.pl_mean,
        "scale": None if trainer.scale is None else [trainer.scale.value, trainer.scale.good],
        "forgiven": trainer.forgiven,
        "p": None if training.augmentation is None else training.augmentation.p,
        "signs": signs,
        "order": training.feed.state(),
        "statistics": moments,
    }


def restore(training: Training, state: dict[str, Any]) -> None:
    """Put a training back to where `capture` was called. Raises RunError where its dataset is another one now."""
    if state["fingerprint"] != training.fingerprint:
        raise RunError(
            f"{training.config.data} has changed since this run began, so it cannot continue exactly; put the dataset "
            "back, or begin a new run with --resume."
        )
    for name, now in versions().items():
        if (then := state["versions"].get(name)) != now:
            training.say(f"The run had {name} {then} and has {now} now: last digits may differ.")
    trainer, leads = training.trainer, training.team.leads
    for name, network in (("G", trainer.G), ("D", trainer.D), ("G_ema", trainer.G_ema)):
        network.load_state_dict(state["networks"][name])
    if trainer.encoder is not None:
        if "V" not in state["optimisers"]:
            trainer.end_autoencoder()
        if "encoder" in state["networks"]:
            trainer.encoder.load_state_dict(state["networks"]["encoder"])
        else:
            trainer.forget_encoder()
    for name, adam in trainer.optimisers.items():
        adam.load_state_dict(state["optimisers"][name])
    trainer.losses.pl_mean.copy_(state["pl_mean"])
    if trainer.scale is not None and state["scale"] is not None:
        trainer.scale.value, trainer.scale.good = state["scale"]
    trainer.forgiven = state["forgiven"]
    training.images, training.index = state["images"], state["index"]
    training.tick, training.tick_images = state["tick"], state["tick_images"]
    training.reseeded, training.seconds = state["reseeded"], state["seconds"]
    if training.augmentation is not None:
        training.augmentation.p = state["p"]
    # What all processes have counted is carried on by the leader alone.
    counted = state["statistics"]
    training.statistics = Statistics()
    training.statistics.restore(counted if leads else dict.fromkeys(counted, [0.0, 0.0, 0.0]))
    training.control.restore(state["control"])
    training.control.replay(training.images)
    if training.adaptation is not None:
        training.adaptation.sign_sum, training.adaptation.sign_count = state["signs"] if leads else (0.0, 0.0)
        training.adaptation.target = training.control.target
    training.feed.restore(state["order"])
