"""Train a network on your own pictures: `visualizer.py train --outdir runs --data pictures.zip --cfg auto`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.flags import Parser, fail, parse_bool
from session import fields
from session.fields import FieldError
from training.config import DatasetInfo, Options, TrainingConfig, resolve
from training.run.options_json import to_nvidia_options

if TYPE_CHECKING:
    from training.engine.distributed import ProcessGroup

SHUTDOWN_TIMEOUT = "600"  # seconds for stopped processes to finish their step and save their state
CHANGEABLE = ("data", "device", "kimg", "snap", "target", "tick")  # of a run that is continued


def main(arguments: Sequence[str]) -> int:
    parser = Parser("visualizer.py train", description=__doc__)
    group = parser.add_argument_group("a new run, or one that is continued")
    group.add_argument("--outdir", type=Path, help="where the run's folder is made")
    group.add_argument("--run", type=Path, metavar="FOLDER", help="continue this run exactly where it stopped")
    group.add_argument("-n", "--dry-run", action="store_true", help="print the configuration, train nothing")
    options = add_options(parser)
    args = parser.parse_args(arguments)
    chosen = {name: getattr(args, name) for name in options if hasattr(args, name)}
    try:
        return _train(args, chosen, list(arguments))
    except (FieldError, UserError) as error:
        return fail(str(error))


def add_options(parser: argparse.ArgumentParser) -> list[str]:
    """Add a flag for every training option and return their names; options not given have no attribute."""
    group = parser.add_argument_group("options")
    for name, field in fields.describe(Options).items():
        choices = f" ({', '.join(field.choice.values)})" if field.choice else ""
        default = "" if field.default is None else f" [{field.default}]"
        keywords: dict = {"default": argparse.SUPPRESS, "metavar": "X"}
        if field.kind is bool:
            keywords |= {"type": parse_bool, "nargs": "?", "const": True, "metavar": "BOOL"}
        else:
            keywords["type"] = field.kind
        group.add_argument(
            "--" + name.replace("_", "-"),
            dest=name,
            help=(field.meaning + choices + default).replace("%", "%%"),
            **keywords,
        )
    return list(fields.describe(Options))


class UserError(ValueError):
    """An error that is reported to the user as one sentence."""


def _train(args: argparse.Namespace, chosen: dict, arguments: list[str]) -> int:
    if (args.run is None) == (args.outdir is None) and not (args.dry_run and args.run is None):
        raise UserError("Say either --outdir for a new run, or --run FOLDER to continue one.")
    if args.run is not None and (fixed := chosen.keys() - CHANGEABLE):
        raise UserError(
            f"--run continues a run as it was begun, so --{sorted(fixed)[0].replace('_', '-')} cannot change; begin a "
            f"new run with --resume instead. What may change: --{', --'.join(CHANGEABLE)}."
        )
    config = _continued_config(args.run, chosen) if args.run is not None else _new_config(chosen)
    if args.dry_run:
        folder = Path(args.outdir or ".") / f"NNNNN-{config.name}"
        print(json.dumps(to_nvidia_options(config, folder), indent=2))
        print(f"Output directory: {folder}\nDry run; nothing was trained.")
        return 0
    if config.gpus > 1 and "WORLD_SIZE" not in os.environ:
        return _start_processes(config.gpus, arguments)
    return _run(args, config, chosen, arguments)


def _new_config(chosen: dict) -> TrainingConfig:
    from data import Dataset, DatasetError

    if "data" not in chosen:
        raise UserError("--data is missing: the folder or zip of pictures to learn from.")
    options = Options(**chosen)
    try:
        dataset = Dataset(
            options.data,
            use_labels=options.cond,
            xflip=options.mirror,
            max_size=options.subset,
            random_seed=options.seed,
        )
    except (DatasetError, OSError) as error:
        raise UserError(str(error)) from None
    image_count = len(dataset) // (2 if options.mirror else 1)
    facts = DatasetInfo(
        str(Path(options.data).resolve()),
        dataset.name,
        image_count,
        dataset.resolution,
        dataset.channels,
        dataset.label_dim if options.cond else 0,
        dataset.has_styles,
    )
    return resolve(options, facts)


def _continued_config(path: Path, chosen: dict) -> TrainingConfig:
    from runs.run_folder import RunError, RunFolder

    try:
        described = RunFolder.open(path, "train").read_description()
        config = TrainingConfig.from_dict(described["config"])
    except RunError as error:
        raise UserError(str(error)) from None
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{path} does not hold a training's configuration, so it cannot be continued.") from None
    Options(**{"data": config.data, **chosen})  # checks the values
    if chosen.get("kimg") == 0:
        raise UserError("--kimg is 0, but must be more; --dry-run trains nothing.")
    if "target" in chosen and config.aug != "ada":
        raise UserError("--target is for --aug ada, with which this run was not begun.")
    places = {name: chosen[name] for name in ("data", "device") if name in chosen}
    if "data" not in places and not Path(config.data).exists():
        raise UserError(f"{config.data}, which this run learns from, is gone; if it lies elsewhere now, add --data.")
    if "data" in places:
        places["data"] = str(Path(places["data"]).resolve())
    return replace(config, **places)


def _run(args: argparse.Namespace, config: TrainingConfig, chosen: dict, arguments: list[str]) -> int:
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts
    import torch

    from data import DatasetError
    from networks import CheckpointError
    from runs.run_folder import RunError, RunFolder
    from training.engine.distributed import barrier_and_exit, destroy, init_distributed
    from training.loop import Training
    from training.networks import check_freezed, network_configs
    from training.run.live_control import TUNABLES
    from training.run.start import create_run

    _check_device(config.device)
    try:
        group = init_distributed(config.device)
        if group.size != config.gpus:
            raise UserError(f"--gpus is {config.gpus}, but {group.size} processes were started; make them equal.")
        if group.size > 1 and config.device == "cuda":
            config = replace(config, device=f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
            torch.cuda.set_device(config.device)
        network_configs(config)
        if args.run is None:
            check_freezed(config)
        if args.run is None and config.resume is not None:
            config = replace(config, resume=_resolve_resume(config.resume, group))  # before the folder is created
        folder = RunFolder(args.run) if args.run is not None else create_run(config, args.outdir, arguments, group)
        if group.is_main:
            print(folder.path, flush=True)
            with folder.lock():
                if args.run is not None and (requests := {name: chosen[name] for name in TUNABLES if name in chosen}):
                    folder.request(**requests)
                outcome = Training(folder, config, group, lambda line: print(line, flush=True)).run()
        else:
            outcome = Training(folder, config, group).run()
        status = 130 if outcome == "interrupted" else 0
        barrier_and_exit(group, status)
    except (RunError, DatasetError, CheckpointError, FieldError) as error:
        raise UserError(str(error)) from None
    finally:
        destroy()
    return status


def _resolve_resume(source: str, group: ProcessGroup) -> str:
    """Return --resume as an absolute path (a run folder: its newest snapshot), so that it stays valid later.

    The same in every process of the group. URLs are unchanged. Raises CheckpointError if it is not a network.
    """
    from networks import inspect_checkpoint
    from networks.checkpoints.download import is_url

    if re.fullmatch(r"[\w-]+", source) and not Path(source).exists():  # as ffhq512, which other programs know
        raise UserError(
            f"There is no file or run folder {source}, and names of published networks are not known here; give "
            "--resume a path, a URL or a run folder."
        )
    file = inspect_checkpoint(source).path
    return group.broadcast(source if is_url(source) else str(file.resolve()))


def _check_device(device: str) -> None:
    """Raise UserError if there is no such device."""
    import torch

    kind, _, number = device.partition(":")
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,3})?", device):
        raise UserError(f"--device is {device!r}, but must be cuda, cuda:1, cpu or mps.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError("There is no CUDA GPU on this machine; say --device cpu to train without one.")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UserError(f"There is no {device} on this machine, which has {torch.cuda.device_count()} GPUs.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError("There is no Apple GPU on this machine; say --device cpu to train without one.")


def _start_processes(count: int, arguments: list[str]) -> int:
    """Run the same command in `count` processes with torch's launcher."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.ERROR)  # it logs every Ctrl-C
    program = Path(__file__).resolve().parent.parent / "visualizer.py"
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", SHUTDOWN_TIMEOUT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # several processes share the cores
    machine = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(machine, sys.executable)(str(program), "train", *arguments)
    except SignalException:  # the processes received it as well and have ended
        return 130
    except ChildFailedError as failed:  # the process has printed the reason
        return max(failed.get_first_failure()[1].exitcode, 1)
    return 0
