"""Start a training session: the files of a new run, and a measured estimate of its cost."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from data.labels import describe_empty_classes
from runs.run_folder import RunError, RunFolder, replace_text
from session.atomic_write import sweep_parts
from training.config import TrainingConfig
from training.engine.data_loader import PrefetchLoader
from training.engine.distributed import ProcessGroup
from training.run import image_grids
from training.run.diagnostics import estimate_run
from training.run.environment import collect_versions, memory_in_use
from training.run.options_json import to_nvidia_options
from training.run.reporting import write_image_grid
from training.run.statistics import Statistics

if TYPE_CHECKING:
    from training.loop import Training


def create_run(
    config: TrainingConfig, outdir: str | Path, command: list[str], process_group: ProcessGroup | None = None
) -> RunFolder:
    """Create the folder of a new run; every process of the group gets the same. Raises RunError."""
    process_group = process_group or ProcessGroup()
    path = None
    if process_group.is_main:
        folder = RunFolder.create(outdir, config.name)
        try:
            folder.write_description("train", asdict(config), command, collect_versions())
        except OSError as error:
            raise RunError(
                f"{folder.path} cannot be written ({error.strerror}); make room, or choose another --outdir."
            ) from None
        path = str(folder.path)
    return RunFolder(process_group.broadcast(path))


def start_run(training: Training, resumed: bool) -> None:
    """Write the first files of a run, or announce that it continues; in the main process. Raises OSError."""
    config, folder = training.config, training.folder
    columns, rows = image_grids.grid_size(config.resolution, config.grid, training.device.type)
    training.reals = image_grids.sample_reals(training.dataset, columns, rows)
    training.control.clear_stop_request()
    for directory in (folder.path, folder.path / "snapshots", folder.path / "state"):
        sweep_parts(directory)
    for name in config.metrics:
        training.log(f"The metric {name} is not available here, so snapshots are not measured.")
    if config.device == "cpu" and (config.offload_adam or config.offload_ema):
        training.log("--offload-adam and --offload-ema change nothing on a CPU, whose memory they would use.")
    if folder.move_data(config.data):
        training.log(f"The dataset is at {config.data} now.")
    if resumed:
        training.log(f"Continuing at {training.images / 1000:g} kimg.")
        training.status("running")
        return
    training.status("starting")
    for line in training.transfer_messages:
        training.log(line)
    if training.dataset.has_onehot_labels and training.dataset.classes and not training.classes:
        num_names = len(training.dataset.classes)
        training.log(
            f"The {num_names} names in dataset.json do not fit {config.label_dim} classes, so snapshots have none."
        )
    for line in training.dataset.notes:
        training.log(line)
    if empty := training.dataset.empty_classes():
        training.log(describe_empty_classes(empty, config.data))
    options = to_nvidia_options(config, folder.path)
    replace_text(folder.path / "training_options.json", json.dumps(options, indent=2))
    image_grids.save_grid(folder.path / "reals.png", training.reals[0], columns)
    write_image_grid(training, "fakes_init.png")
    if training.process_group.size == 1:
        for line in benchmark_step(training):
            training.log(line)
    training.status("running")


def benchmark_step(training: Training) -> list[str]:
    """Measure a step, undo it, and return lines with the estimated cost of the run."""
    config, trainer = training.config, training.trainer
    loader = PrefetchLoader(training.dataset, config.seed, config.batch, config.batch_gpu, training.process_group, 1)
    micro_batches = loader.next()
    seconds = 0.0
    for phase in trainer.phases:
        # Once for warmup, which allocates memory and loads kernels.
        trainer.run_phase(phase, training.batches(phase, micro_batches), training.images)
        started = time.monotonic()
        trainer.run_phase(phase, training.batches(phase, micro_batches), training.images)
        seconds += (time.monotonic() - started) / phase.interval
    loader.close()
    cpu, gpu, _ = memory_in_use(training.device)
    parameters = tuple(sum(p.numel() for p in network.parameters()) for network in (trainer.G, trainer.D))
    lines = estimate_run(config, (parameters[0], parameters[1]), seconds / config.batch, gpu or cpu, training.classes)
    training.loader.close()
    del trainer, training.trainer
    training.build()  # undoes the step
    training.statistics, training.tick_values = Statistics(), Statistics()
    return lines
