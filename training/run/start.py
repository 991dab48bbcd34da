"""How a sitting of a training begins: what stands in a new run's folder, and what to expect of it, measured."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from runs.run_folder import RunError, RunFolder, replace_text
from session.atomic_write import sweep_parts
from training.config import TrainingConfig
from training.engine.data_loader import Feed
from training.engine.distributed import Team
from training.run import image_grids
from training.run.diagnostics import preflight
from training.run.environment import memory_in_use, versions
from training.run.options_json import published_options
from training.run.reporting import write_sheet
from training.run.statistics import Statistics

if TYPE_CHECKING:
    from training.loop import Training


def start(config: TrainingConfig, outdir: str | Path, command: list[str], team: Team | None = None) -> RunFolder:
    """Make a new run's folder; in every process of a team the same one. Raises RunError."""
    team = team or Team()
    path = None
    if team.leads:
        folder = RunFolder.create(outdir, config.name)
        try:
            folder.describe("train", asdict(config), command, versions())
        except OSError as error:
            raise RunError(
                f"{folder.path} cannot be written ({error.strerror}); make room, or choose another --outdir."
            ) from None
        path = str(folder.path)
    return RunFolder(team.agreed(path))


def open_run(training: Training, resumed: bool) -> None:
    """Before the first step of a sitting, in the leading process. Raises OSError."""
    config, folder = training.config, training.folder
    columns, rows = image_grids.sheet_size(config.resolution, config.grid, training.device.type)
    training.reals = image_grids.reals(training.dataset, columns, rows)
    training.control.begin()
    for place in (folder.path, folder.path / "snapshots", folder.path / "state"):
        sweep_parts(place)
    for name in config.metrics:
        training.say(f"The metric {name} is not available here, so snapshots are not measured.")
    if config.device == "cpu" and (config.offload_adam or config.offload_ema):
        training.say("--offload-adam and --offload-ema change nothing on a CPU, whose memory they would use.")
    if resumed:
        training.say(f"Continuing at {training.images / 1000:g} kimg.")
        training.status("running")
        return
    training.status("starting")
    for line in training.taken_over:
        training.say(line)
    if training.dataset.has_onehot_labels and training.dataset.classes and not training.classes:
        found = len(training.dataset.classes)
        training.say(
            f"The {found} names in dataset.json do not fit {config.label_dim} classes, so snapshots have none."
        )
    options = published_options(config, folder.path)
    replace_text(folder.path / "training_options.json", json.dumps(options, indent=2))
    image_grids.save_sheet(folder.path / "reals.png", training.reals[0], columns)
    write_sheet(training, "fakes_init.png")
    if training.team.size == 1:
        for line in _measured(training):
            training.say(line)
    training.status("running")


def _measured(training: Training) -> list[str]:
    """Estimates from a step that is taken, once more to be measured, and forgotten."""
    config, trainer = training.config, training.trainer
    feed = Feed(training.dataset, config.seed, config.batch, config.batch_gpu, training.team, 1)
    rounds = feed.next()
    seconds = 0.0
    for phase in trainer.phases:
        trainer.run(phase, training.batches(phase, rounds), training.images)  # makes memory and kernels ready
        started = time.monotonic()
        trainer.run(phase, training.batches(phase, rounds), training.images)
        seconds += (time.monotonic() - started) / phase.interval
    feed.close()
    cpu, gpu, _ = memory_in_use(training.device)
    parameters = tuple(sum(p.numel() for p in network.parameters()) for network in (trainer.G, trainer.D))
    told = preflight(config, (parameters[0], parameters[1]), seconds / config.batch, gpu or cpu, training.classes)
    training.feed.close()
    del trainer, training.trainer
    training.begin()  # as if it had not been
    training.statistics, training.ticking = Statistics(), Statistics()
    return told
