"""The training loop, from the first step or newest state to the end; stops, kills or full disks change no result."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from data import Dataset
from networks.class_names import normalize
from runs.run_folder import RunError, RunFolder
from training.augmentation.ada import AdaController
from training.augmentation.pipeline import Augmentation, config_for
from training.config import TrainingConfig
from training.engine.data_loader import MicroBatch, PrefetchLoader
from training.engine.distributed import ProcessGroup
from training.engine.keyed_rng import KeyedRng, fold_in
from training.networks import build_encoder, build_networks, make_settings
from training.objectives.losses import Batch
from training.run.checkpoint_files import list_states, load_state, save_state
from training.run.content_check import ContentCheck
from training.run.environment import explain_oom, graceful_shutdown, prepare_torch
from training.run.live_control import LiveControl
from training.run.reporting import report_tick
from training.run.start import start_run
from training.run.statistics import Statistics
from training.run.tensorboard import TensorBoardWriter
from training.run.training_state import changed_message, load_state_dict, state_dict
from training.step import Diverged, Phase, Trainer

HEARTBEAT = 5.0  # seconds between two updates of status.json
MAX_DIVERGENCE_RESTARTS = 3  # returns to an earlier state before the training gives up
Say = Callable[[str], None]


class Training:
    """One session of a run. `run()` trains until it is done or asked to stop; the run's folder then has its state."""

    def __init__(
        self, folder: RunFolder, config: TrainingConfig, process_group: ProcessGroup | None = None, say: Say = print
    ) -> None:
        """Open the dataset and build the networks. Raises DatasetError, CheckpointError, RunError."""
        self.folder, self.config, self.process_group = folder, config, process_group or ProcessGroup()
        self._print = say
        self.device = torch.device(config.device)
        prepare_torch(config)
        self.dataset = Dataset(
            config.data,
            use_labels=config.cond,
            xflip=config.mirror,
            max_size=config.subset,
            random_seed=config.seed,
            resolution=config.resolution,
            channels=config.channels,
        )
        self.fingerprint = self.dataset.fingerprint()
        if config.cond and self.dataset.label_dim != config.label_dim:
            raise RunError(changed_message(config.data))
        self.content = ContentCheck(folder.path, self.dataset.archive)
        self.classes: tuple[str, ...] = ()  # class names, for the snapshots
        if self.dataset.has_onehot_labels:
            self.classes = normalize(self.dataset.label_dim, self.dataset.classes)
        self.control = LiveControl(folder, config)
        self.tensorboard = TensorBoardWriter(folder.path)
        self.statistics = Statistics()
        self.tick_values = Statistics()  # durations and resources of the present tick
        self.images = self.index = self.tick = self.tick_images = self.divergence_restarts = 0
        self.seconds = self.maintenance = 0.0  # of training, over all sessions; between the last two ticks
        self.interrupted = False
        self.reals: tuple[np.ndarray, np.ndarray]  # images of reals.png and their labels; main process only
        self.status_written_at = 0.0
        self.phase_starts: list[tuple[str, float]] = []  # phases of the present step and their start times
        self.build()

    def build(self) -> None:
        """Build networks, optimizers, augmentation and data loader, as at the first step.

        Where there is a state, which holds every tensor, nothing is taken over: --resume may name what has gone since.
        """
        config = self.config
        known = bool(list_states(self.folder.path / "state"))
        G, D, G_ema, self.transfer_messages = build_networks(
            replace(config, resume=None) if known else config, self.device
        )
        self.augmentation = None if config.aug == "noaug" else Augmentation(config_for(config.augpipe), config.p)
        self.ada = AdaController(config.target, config.ada_kimg, config.ada_interval) if config.aug == "ada" else None
        self.trainer = Trainer(
            G,
            D,
            *make_settings(config),
            G_ema=G_ema,
            augment=self.augmentation,
            report=self._report,
            process_group=self.process_group,
            encoder=build_encoder(config, self.device),
        )
        self.loader = PrefetchLoader(
            self.dataset, config.seed, config.batch, config.batch_gpu, self.process_group, config.workers
        )

    def run(self) -> str:
        """Train and return "done", "stopped" (by request) or "interrupted" (by a signal). Raises RunError."""
        with explain_oom(self.config), self.explain_write_error(), graceful_shutdown(self.request_stop):
            is_resumed = self._resume()
            if self.process_group.is_main:
                self.content.start(is_resumed)
                start_run(self, is_resumed)
            self.started = self.tick_started = time.monotonic()
            try:
                self._apply_changes()  # a finished run may have a new request for more kimg
                while self.images < self.control.kimg * 1000:
                    if self._stop_requested():
                        self._save_state()
                        self.status("stopped")
                        self.log(f"Stopped after {self.images / 1000:g} kimg; --run {self.folder.path} continues.")
                        return "interrupted" if self.interrupted else "stopped"
                    self._step()
                    if time.monotonic() - self.status_written_at > HEARTBEAT:
                        self.status("running")
                    due = self.tick_images + self.control.tick * 1000
                    done = self.images >= self.control.kimg * 1000
                    if self.tick == 0 or self.images >= due or done:
                        self._end_tick(done)
                self.status("done")
                return "done"
            except BaseException as error:
                self.status("failed", problem=str(error) or type(error).__name__)
                raise
            finally:
                self.content.stop()
                self.loader.close()
                self.tensorboard.close()

    def log(self, line: str) -> None:
        """Print a line and append it to log.txt; main process only."""
        if self.process_group.is_main:
            self._print(line)
            self.folder.log(line)

    # One step

    def _step(self) -> None:
        self._apply_changes()
        micro_batches = self.loader.next()
        self.phase_starts.clear()
        try:
            self.trainer.step(self.index, self.images, lambda phase: self.batches(phase, micro_batches))
        except Diverged as error:
            self._restart_after_divergence(str(error))
            return
        ends = [began for _, began in self.phase_starts[1:]] + [time.monotonic()]
        for (name, began), ended in zip(self.phase_starts, ends, strict=True):
            self.tick_values.set_value(f"Timing/{name}", (ended - began) * 1000)
        self.images += self.config.batch
        self.index += 1
        if self.ada is not None and self.augmentation is not None and self.index % self.ada.interval == 0:
            ada = self.ada
            ada.sign_sum, ada.sign_count = self.process_group.sum([ada.sign_sum, ada.sign_count])
            self.augmentation.p = ada.next_p(self.augmentation.p, self.config.batch)

    def batches(self, phase: Phase, micro_batches: Sequence[MicroBatch]) -> list[Batch]:
        """Return this process's batches for a phase of the present step."""
        self.phase_starts.append((phase.name, time.monotonic()))
        return [self._make_batch(phase, micro_batch) for micro_batch in micro_batches]

    def _make_batch(self, phase: Phase, micro_batch: MicroBatch) -> Batch:
        """Build a batch: real images of the micro-batch, and z and classes drawn for the phase."""
        rng = KeyedRng(
            fold_in(self.config.seed, self.divergence_restarts),
            phase.name,
            [self.images + place for place in micro_batch.sample_indices],
            self.device,
        )
        real = self._normalize(micro_batch.images)
        chosen = (rng.uniform("class", 1)[:, 0] * len(self.dataset)).astype(int)
        c = np.stack([self.dataset.label(int(index)) for index in chosen])
        z = rng.normal("z", self.trainer.G.z_dim)
        labels = torch.from_numpy(micro_batch.labels).to(self.device)
        return Batch(
            real, labels, z, torch.from_numpy(c).to(self.device), rng, self._style_partners(phase, micro_batch, rng)
        )

    def _style_partners(self, phase: Phase, micro_batch: MicroBatch, rng: KeyedRng) -> torch.Tensor | None:
        """Return the encoder's input images [N,C,H,W] of the same styles as the reals; None if it sees the reals."""
        if not self.config.vae_styles or self.trainer.encoder is None or phase.network == "D":
            return None
        chances = rng.uniform("shown", 1)[:, 0]
        chosen = [
            self.dataset.random_of_same_style(i, chance)
            for i, chance in zip(micro_batch.dataset_indices, chances, strict=True)
        ]
        return self._normalize(self.dataset.batch(chosen)[0])

    def _normalize(self, images: np.ndarray) -> torch.Tensor:
        """Convert uint8 images to float32 in [-1, 1] on the run's device."""
        return torch.from_numpy(images).to(self.device).to(torch.float32) / 127.5 - 1

    def _report(self, name: str, values: torch.Tensor) -> None:
        self.statistics.add(name, values)
        if name == "Loss/signs/real" and self.ada is not None:
            self.ada.update(values.detach())

    # Live control

    def _apply_changes(self) -> None:
        """Apply requested changes; after a resume, replay logged changes at the steps where they were first applied."""
        for change in self.process_group.broadcast(
            self.control.pending(self.images) if self.process_group.is_main else None
        ):
            self.control.apply(change)
            self.divergence_restarts = change.get("reseed", self.divergence_restarts)
            if self.ada is not None and "target" in change:
                self.ada.target = change["target"]
            if self.augmentation is not None and "p" in change and self.config.aug == "fixed":
                self.augmentation.p = change["p"]
            if self.control.describe_change(change):
                self.log(f"From {self.images / 1000:g} kimg on: {self.control.describe_change(change)}.")

    def _stop_requested(self) -> bool:
        asked = self.interrupted or (self.process_group.is_main and self.control.stop_requested())
        return bool(self.process_group.sum([float(asked)])[0]) if self.process_group.size > 1 else asked

    def request_stop(self) -> None:
        self.interrupted = True

    # Ticks

    def _end_tick(self, done: bool) -> None:
        now = time.monotonic()
        tick_seconds = now - self.tick_started
        self.seconds += tick_seconds + self.maintenance
        moments = self._total_moments()
        if self.process_group.is_main:
            report_tick(self, moments, tick_seconds, done)
        self.statistics = Statistics()
        self.tick += 1
        self.tick_images = self.images
        if done or self.tick % self.config.state == 0:
            self._save_state()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self.tick_started = time.monotonic()
        self.maintenance = self.tick_started - now

    def _total_moments(self) -> dict[str, list[float]]:
        """Return the statistics summed over all processes."""
        own = self.statistics.moments()
        flat = self.process_group.sum([number for moments in own.values() for number in moments])
        return {name: flat[3 * i : 3 * i + 3] for i, name in enumerate(own)}

    def status(self, state: str, **facts: Any) -> None:
        """Write state and progress to status.json; main process only."""
        self.status_written_at = time.monotonic()
        if self.process_group.is_main:
            self.folder.write_status(state=state, done=self.images / 1000, total=self.control.kimg, unit="kimg",
                               tick=self.tick, **facts)  # fmt: skip

    # State

    def _save_state(self) -> None:
        signs = [0.0, 0.0]
        if self.ada is not None:
            signs = self.process_group.sum([self.ada.sign_sum, self.ada.sign_count])
        moments = self._total_moments()
        if not self.process_group.is_main:
            return
        self.content.check()
        self.content.save()
        save_state(self.folder.path / "state", self.images, state_dict(self, signs, moments))

    def _resume(self) -> bool:
        """Restore the newest intact state; return whether there was one. Raises RunError."""
        state, messages = load_state(self.folder.path / "state")
        for line in messages:
            self.log(line)
        if state is None:
            self.control.replay_from(0)
        else:
            try:
                load_state_dict(self, state)
            except (RunError, torch.OutOfMemoryError):
                raise
            except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):
                raise RunError(
                    f"The newest state of {self.folder.path} does not fit its run.yaml; put back the one that it had."
                ) from None
        if self.process_group.is_main:
            self.folder.truncate_after("Progress/kimg", self.images / 1000)
        return state is not None

    def _restart_after_divergence(self, problem: str) -> None:
        """Return to the newest state and continue with other random numbers. Raises RunError after 3 attempts."""
        failed_at, restarts = self.images, self.divergence_restarts
        if restarts >= MAX_DIVERGENCE_RESTARTS:
            raise RunError(
                f"The training diverged at {failed_at / 1000:g} kimg ({problem}) after {restarts} fresh starts; "
                "lower --glr and --dlr, or change --gamma, and begin a new run with --resume."
            )
        self.loader.close()
        self.images = self.index = self.tick = self.tick_images = self.divergence_restarts = 0
        self.statistics = Statistics()
        self.control = LiveControl(self.folder, self.config)
        self.build()
        self._resume()
        self.divergence_restarts = restarts + 1
        if self.process_group.is_main:
            self.control.log_change(images=self.images, reseed=self.divergence_restarts)
            self.control.replay_from(self.images)
        self.log(
            f"Diverged at {failed_at / 1000:g} kimg ({problem}): back at {self.images / 1000:g} kimg, with other draws."
        )

    @contextmanager
    def explain_write_error(self) -> Iterator[None]:
        """Translate an OSError of the run's folder to a RunError with advice."""
        try:
            yield
        except OSError as error:
            cure = "room" if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT) else "it writable"
            problem = (
                f"{self.folder.path} cannot be written ({error.strerror}); make {cure}, "
                "then --run continues from its newest whole state."
            )
            self.status("failed", problem=problem)
            raise RunError(problem) from None
