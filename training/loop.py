"""A training from its first step or newest state to its end; no stop, kill or full disk changes the result."""

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
from training.augmentation.ada import Adaptation
from training.augmentation.pipeline import Augmentation, pipeline
from training.config import TrainingConfig
from training.engine.data_loader import Feed, Round
from training.engine.distributed import Team
from training.engine.keyed_rng import KeyedDraws, keyed
from training.networks import build, build_encoder, settings_of
from training.objectives.losses import Batch
from training.run.checkpoint_files import load_state, save_state, states
from training.run.environment import memory_explained, prepare_torch, stopping_gently
from training.run.live_control import Control
from training.run.reporting import tell_tick
from training.run.start import open_run
from training.run.statistics import Statistics
from training.run.tensorboard import Events
from training.run.training_state import capture, restore
from training.step import Diverged, Phase, Trainer

HEARTBEAT = 5.0  # seconds between two signs of life
RETRIES = 3  # times that a training goes back after it diverged, before it gives up
Say = Callable[[str], None]


class Training:
    """One run. `run()` trains until it is done or asked to stop; everything it knows is in the folder afterwards."""

    def __init__(self, folder: RunFolder, config: TrainingConfig, team: Team | None = None, say: Say = print) -> None:
        """Raises DatasetError, CheckpointError, RunError: each one sentence."""
        self.folder, self.config, self.team = folder, config, team or Team()
        self._say = say
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
        self.classes: tuple[str, ...] = ()  # names, for the snapshots
        if self.dataset.has_onehot_labels:
            self.classes = normalize(self.dataset.label_dim, self.dataset.classes)
        self.control = Control(folder, config)
        self.events = Events(folder.path)
        self.statistics = Statistics()
        self.ticking = Statistics()  # times and resources: the newest value only
        self.images = self.index = self.tick = self.tick_images = self.reseeded = 0
        self.seconds = self.maintenance = 0.0  # of training, over all sittings; between the last two ticks
        self.interrupted = False
        self.reals: tuple[np.ndarray, np.ndarray]  # what reals.png shows, and its labels; the leading process has it
        self.told_status = 0.0
        self.begun: list[tuple[str, float]] = []  # the phases of the step at hand, and when each began
        self.begin()

    def begin(self) -> None:
        """Networks and all that moves them, as at the first step.

        Where there is a state, which holds every tensor, nothing is taken over: --resume may name what has gone since.
        """
        config = self.config
        known = bool(states(self.folder.path / "state"))
        G, D, G_ema, self.taken_over = build(replace(config, resume=None) if known else config, self.device)
        self.augmentation = None if config.aug == "noaug" else Augmentation(pipeline(config.augpipe), config.p)
        self.adaptation = (
            Adaptation(config.target, config.ada_kimg, config.ada_interval) if config.aug == "ada" else None
        )
        self.trainer = Trainer(
            G,
            D,
            *settings_of(config),
            G_ema=G_ema,
            augment=self.augmentation,
            report=self._report,
            team=self.team,
            encoder=build_encoder(config, self.device),
        )
        self.feed = Feed(self.dataset, config.seed, config.batch, config.batch_gpu, self.team, config.workers)

    def run(self) -> str:
        """Train; "done", "stopped" by a wish, or "interrupted". Raises RunError, a sentence, where it cannot go on."""
        with memory_explained(self.config), self._writing_explained(), stopping_gently(self._interrupt):
            resumed = self._resume()
            if self.team.leads:
                open_run(self, resumed)
            self.started = self.tick_started = time.monotonic()
            try:
                self._apply_changes()  # a finished training may be asked to go on
                while self.images < self.control.kimg * 1000:
                    if self._asked_to_stop():
                        self._save_state()
                        self.status("stopped")
                        self.say(f"Stopped after {self.images / 1000:g} kimg; --run {self.folder.path} continues.")
                        return "interrupted" if self.interrupted else "stopped"
                    self._take_step()
                    if time.monotonic() - self.told_status > HEARTBEAT:
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
                self.feed.close()
                self.events.close()

    def say(self, line: str) -> None:
        """A line for people, on the screen and in log.txt; only the leading process speaks."""
        if self.team.leads:
            self._say(line)
            self.folder.tell(line)

    # One step

    def _take_step(self) -> None:
        self._apply_changes()
        rounds = self.feed.next()
        self.begun.clear()
        try:
            self.trainer.step(self.index, self.images, lambda phase: self.batches(phase, rounds))
        except Diverged as error:
            self._go_back(str(error))
            return
        ends = [began for _, began in self.begun[1:]] + [time.monotonic()]
        for (name, began), ended in zip(self.begun, ends, strict=True):
            self.ticking.put(f"Timing/{name}", (ended - began) * 1000)
        self.images += self.config.batch
        self.index += 1
        if self.adaptation is not None and self.augmentation is not None and self.index % self.adaptation.interval == 0:
            seen = self.adaptation
            seen.sign_sum, seen.sign_count = self.team.total([seen.sign_sum, seen.sign_count])
            self.augmentation.p = seen.adjusted(self.augmentation.p, self.config.batch)

    def batches(self, phase: Phase, rounds: Sequence[Round]) -> list[Batch]:
        """What this process learns from in a phase of the step at hand."""
        self.begun.append((phase.name, time.monotonic()))
        return [self._batch(phase, one) for one in rounds]

    def _batch(self, phase: Phase, one: Round) -> Batch:
        """What a phase learns from: the reals of the step, and z and classes of its own."""
        draws = KeyedDraws(
            keyed(self.config.seed, self.reseeded),
            phase.name,
            [self.images + place for place in one.places],
            self.device,
        )
        real = self._pictures(one.images)
        chosen = (draws.uniform("class", 1)[:, 0] * len(self.dataset)).astype(int)
        c = np.stack([self.dataset.label(int(index)) for index in chosen])
        z = draws.normal("z", self.trainer.G.z_dim)
        labels = torch.from_numpy(one.labels).to(self.device)
        return Batch(real, labels, z, torch.from_numpy(c).to(self.device), draws, self._shown(phase, one, draws))

    def _shown(self, phase: Phase, one: Round, draws: KeyedDraws) -> torch.Tensor | None:
        """What the encoder sees in place of the reals, where that is asked for: others of the same styles."""
        if not self.config.vae_styles or self.trainer.encoder is None or phase.network == "D":
            return None
        chances = draws.uniform("shown", 1)[:, 0]
        chosen = [self.dataset.partner(i, chance) for i, chance in zip(one.indices, chances, strict=True)]
        return self._pictures(self.dataset.batch(chosen)[0])

    def _pictures(self, images: np.ndarray) -> torch.Tensor:
        """uint8 as the networks see it, from -1 to 1."""
        return torch.from_numpy(images).to(self.device).to(torch.float32) / 127.5 - 1

    def _report(self, name: str, values: torch.Tensor) -> None:
        self.statistics.add(name, values)
        if name == "Loss/signs/real" and self.adaptation is not None:
            self.adaptation.observe(values.detach())

    # Wishes

    def _apply_changes(self) -> None:
        """Take up what was wished for, at the step at which it was taken up before if this training is a repetition."""
        for change in self.team.agreed(self.control.due(self.images) if self.team.leads else None):
            self.control.apply(change)
            self.reseeded = change.get("reseed", self.reseeded)
            if self.adaptation is not None and "target" in change:
                self.adaptation.target = change["target"]
            if self.augmentation is not None and "p" in change and self.config.aug == "fixed":
                self.augmentation.p = change["p"]
            if self.control.told(change):
                self.say(f"From {self.images / 1000:g} kimg on: {self.control.told(change)}.")

    def _asked_to_stop(self) -> bool:
        asked = self.interrupted or (self.team.leads and self.control.stop_wished())
        return bool(self.team.total([float(asked)])[0]) if self.team.size > 1 else asked

    def _interrupt(self) -> None:
        self.interrupted = True

    # Ticks

    def _end_tick(self, done: bool) -> None:
        now = time.monotonic()
        spent = now - self.tick_started
        self.seconds += spent + self.maintenance
        moments = self._total_moments()
        if self.team.leads:
            tell_tick(self, moments, spent, done)
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
        """The statistics of all processes together."""
        own = self.statistics.moments()
        flat = self.team.total([number for moments in own.values() for number in moments])
        return {name: flat[3 * i : 3 * i + 3] for i, name in enumerate(own)}

    def status(self, state: str, **facts: Any) -> None:
        """Say how far the training is, in status.json."""
        self.told_status = time.monotonic()
        if self.team.leads:
            self.folder.status(state=state, done=self.images / 1000, total=self.control.kimg, unit="kimg",
                               tick=self.tick, **facts)  # fmt: skip

    # State

    def _save_state(self) -> None:
        signs = [0.0, 0.0]
        if self.adaptation is not None:
            signs = self.team.total([self.adaptation.sign_sum, self.adaptation.sign_count])
        moments = self._total_moments()
        if not self.team.leads:
            return
        save_state(self.folder.path / "state", self.images, capture(self, signs, moments))

    def _resume(self) -> bool:
        """Take up the newest whole state, where there is one."""
        state, told = load_state(self.folder.path / "state")
        for line in told:
            self.say(line)
        if state is None:
            self.control.replay(0)
        else:
            try:
                restore(self, state)
            except (RunError, torch.OutOfMemoryError):
                raise
            except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):
                raise RunError(
                    f"The newest state of {self.folder.path} does not fit its run.yaml; put back the one that it had."
                ) from None
        if self.team.leads:
            self.folder.forget_after("Progress/kimg", self.images / 1000)
        return state is not None

    def _go_back(self, problem: str) -> None:
        """After a divergence: the newest state, and other random numbers from there on."""
        at, tried = self.images, self.reseeded
        if tried >= RETRIES:
            raise RunError(
                f"The training diverged at {at / 1000:g} kimg ({problem}) after {tried} fresh starts; lower --glr and "
                "--dlr, or change --gamma, and begin a new run with --resume."
            )
        self.feed.close()
        self.images = self.index = self.tick = self.tick_images = self.reseeded = 0
        self.statistics = Statistics()
        self.control = Control(self.folder, self.config)
        self.begin()
        self._resume()
        self.reseeded = tried + 1
        if self.team.leads:
            self.control.note(images=self.images, reseed=self.reseeded)
            self.control.replay(self.images)
        self.say(f"Diverged at {at / 1000:g} kimg ({problem}): back at {self.images / 1000:g} kimg, with other draws.")

    @contextmanager
    def _writing_explained(self) -> Iterator[None]:
        """Turn a folder that cannot be written into advice."""
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
