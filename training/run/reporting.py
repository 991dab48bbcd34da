"""The end of a tick: its line in the log and in stats.jsonl, advice, and snapshots with their pictures."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from networks import CheckpointError, save_networks
from runs.run_folder import RunError
from training.engine.offload import on_device
from training.run import image_grids
from training.run.diagnostics import advice, collapse
from training.run.environment import duration, memory_in_use
from training.run.statistics import summarize

if TYPE_CHECKING:
    from training.loop import Training


def report_tick(training: Training, moments: dict[str, list[float]], spent: float, done: bool) -> None:
    """All that the leading process says and writes of a tick that took `spent` seconds. Raises OSError, RunError."""
    kimg = training.images / 1000
    per_kimg = spent / max(training.images - training.tick_images, 1) * 1000
    p = training.augmentation.p if training.augmentation is not None else 0.0
    cpu, gpu, reserved = memory_in_use(training.device)
    seconds = training.seconds
    numbers = {
        "Progress/tick": training.tick,
        "Progress/kimg": kimg,
        "Progress/augment": p,
        "Timing/total_sec": seconds,
        "Timing/sec_per_tick": spent,
        "Timing/sec_per_kimg": per_kimg,
        "Timing/maintenance_sec": training.maintenance,
        "Timing/total_hours": seconds / 3600,
        "Timing/total_days": seconds / 86400,
        "Resources/cpu_mem_gb": cpu,
        "Resources/peak_gpu_mem_gb": gpu,
        "Resources/peak_gpu_mem_reserved_gb": reserved,
    }
    for name, value in numbers.items():
        training.tick_values.put(name, value)
    training.log(
        f"tick {training.tick:<5d} kimg {kimg:<8.1f} time {duration(seconds):<12s} sec/tick {spent:<7.1f} "
        f"sec/kimg {per_kimg:<7.2f} maintenance {training.maintenance:<6.1f} cpumem {cpu:<6.2f} "
        f"gpumem {gpu:<6.2f} reserved {reserved:<6.2f} augment {p:.3f}"
    )
    stats = summarize({**moments, **training.tick_values.moments()})
    told = advice(training.config, stats, p, kimg)
    snap = training.control.snap
    if done or (snap > 0 and training.tick % snap == 0) or training.control.take_snapshot_request():
        told += write_snapshot(training)
    for line in told:
        training.log(f"Advice: {line}")
    training.folder.log_stats(**stats, timestamp=time.time())
    training.events.write(stats, training.images)
    training.status("running", advice=told, seconds_per_kimg=per_kimg)


def snapshot_label(images: int, before: int | None) -> str:
    """What a snapshot after `images` pictures is called; `before` is where the tick before it ended, None at the first.

    The thousands in six digits, as published. Ticks that end within one thousand would share that name: all but the
    first of them have the rest behind it, `000001_500`, which sorts between 000001 and 000002.
    """
    kimg, rest = divmod(images, 1000)
    first = before is None or before // 1000 < kimg
    return f"{kimg:06d}" if first else f"{kimg:06d}_{rest:03d}"


def write_snapshot(training: Training) -> list[str]:
    """Write the networks and a sheet of their pictures; sentences about what they look like. Raises RunError."""
    label = snapshot_label(training.images, training.tick_images if training.tick > 0 else None)
    trainer = training.trainer
    try:
        save_networks(
            training.folder.path / "snapshots" / f"network-snapshot-{label}.safetensors",
            {"G": trainer.G, "D": trainer.D, "G_ema": trainer.G_ema},
            classes=training.classes,
        )
        made = write_sheet(training, f"fakes{label}.png")
    except (CheckpointError, OSError) as error:
        raise RunError(f"A snapshot cannot be written ({error}); the newest state is kept.") from None
    found = collapse(made, training.reals[0])
    return [] if found is None else [found]


def write_sheet(training: Training, name: str) -> np.ndarray:
    """Write a sheet of what G_ema makes; its pictures uint8 [N,C,H,W]. Raises OSError."""
    config = training.config
    columns, rows = image_grids.sheet_size(config.resolution, config.grid, training.device.type)
    labels = None if training.dataset.has_onehot_labels else training.reals[1]
    with on_device(training.trainer.G_ema, training.device):
        made = image_grids.fakes(training.trainer.G_ema, columns * rows, config.batch_gpu, labels)
    image_grids.save_sheet(training.folder.path / name, made, columns)
    return made
