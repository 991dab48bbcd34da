"""The complete state of a training as tensors and plain data, to save it and resume exactly."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import nn

from runs.run_folder import RunError
from training.run.environment import collect_versions
from training.run.statistics import Statistics

if TYPE_CHECKING:
    from training.loop import Training


def state_dict(training: Training, signs: list[float], moments: dict[str, list[float]]) -> dict[str, Any]:
    """Return the state between two steps.

    signs: sum and count of the signs of D's logits, and moments: the statistics; both summed over all processes. The
    keys are those of state files of before, so they keep older words: reseeded, optimisers, forgiven, order.
    """
    trainer = training.trainer
    networks: dict[str, nn.Module] = {"G": trainer.G, "D": trainer.D, "G_ema": trainer.G_ema}
    if trainer.encoder is not None:
        networks["encoder"] = trainer.encoder
    return {
        "config": json.dumps(asdict(training.config)),
        "fingerprint": training.fingerprint,
        "versions": collect_versions(),
        "images": training.images,
        "index": training.index,
        "tick": training.tick,
        "tick_images": training.tick_images,
        "reseeded": training.divergence_restarts,
        "seconds": training.seconds,
        "control": training.control.state_dict(),
        "networks": {name: network.state_dict() for name, network in networks.items()},
        "optimisers": {name: adam.state_dict() for name, adam in trainer.optimizers.items()},
        "pl_mean": trainer.losses.pl_mean,
        "scale": None if trainer.loss_scaler is None else [trainer.loss_scaler.value, trainer.loss_scaler.good_steps],
        "forgiven": trainer.consecutive_nonfinite,
        "p": None if training.augmentation is None else training.augmentation.p,
        "signs": signs,
        "order": training.loader.state_dict(),
        "statistics": moments,
    }


def changed_message(data: str) -> str:
    """Say that a dataset is not the one that a run began with."""
    return (
        f"{data} has changed since this run began, so it cannot continue exactly; put the dataset back, or begin a new "
        "run with --resume."
    )


def load_state_dict(training: Training, state: dict[str, Any]) -> None:
    """Restore a training from a `state_dict`. Raises RunError if its dataset has changed."""
    if state["fingerprint"] != training.fingerprint:
        raise RunError(changed_message(training.config.data))
    for name, now in collect_versions().items():
        if (then := state["versions"].get(name)) != now:
            training.log(f"The run had {name} {then} and has {now} now: last digits may differ.")
    trainer, leads = training.trainer, training.process_group.is_main
    for name, network in (("G", trainer.G), ("D", trainer.D), ("G_ema", trainer.G_ema)):
        network.load_state_dict(state["networks"][name])
    if trainer.encoder is not None:
        if "V" not in state["optimisers"]:
            trainer.end_vae_warmup()
        if "encoder" in state["networks"]:
            trainer.encoder.load_state_dict(state["networks"]["encoder"])
        else:
            trainer.drop_encoder()
    for name, adam in trainer.optimizers.items():
        adam.load_state_dict(state["optimisers"][name])
    trainer.losses.pl_mean.copy_(state["pl_mean"])
    if trainer.loss_scaler is not None and state["scale"] is not None:
        trainer.loss_scaler.value, trainer.loss_scaler.good_steps = state["scale"]
    trainer.consecutive_nonfinite = state["forgiven"]
    training.images, training.index = state["images"], state["index"]
    training.tick, training.tick_images = state["tick"], state["tick_images"]
    training.divergence_restarts, training.seconds = state["reseeded"], state["seconds"]
    if training.augmentation is not None:
        training.augmentation.p = state["p"]
    # The summed statistics are continued by the main process alone.
    counted = state["statistics"]
    training.statistics = Statistics()
    training.statistics.load_state_dict(counted if leads else dict.fromkeys(counted, [0.0, 0.0, 0.0]))
    training.control.load_state_dict(state["control"])
    training.control.replay_from(training.images)
    if training.ada is not None:
        training.ada.sign_sum, training.ada.sign_count = state["signs"] if leads else (0.0, 0.0)
        training.ada.target = training.control.target
    training.loader.load_state_dict(state["order"])
