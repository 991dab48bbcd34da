"""Saves the state of a demo training that still runs: `python tools/keep_training.py runs/00000-... --name letters`.

Writes into assets/demo/in_training/ (or --dest):
NAME.safetensors   G_ema and D of the newest snapshot, in half precision where they are over 2 MB
NAME-run.yaml      how it is trained and its progress, without this machine's name and folders
README.md          a line per training, and the command that continues it on any machine
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from networks import CheckpointError, load_network, save_networks
from networks.checkpoints.checkpoint import Discriminator, Generator, Role
from runs import snapshot_names
from runs.run_folder import RunError, RunFolder, read_lines
from tools.collect_run import anonymize

ROOT = Path(__file__).resolve().parent.parent
HALF_PRECISION_BYTES = 2e6  # bytes from which half precision is worth it
DEST = ROOT / "assets" / "demo" / "in_training"
REPLACED_OPTIONS = ("--outdir", "--data", "--resume", "--kimg")  # options with a value that the resume command replaces

PAGE = """# Trainings that still run

The newest snapshot of each, so that a lost machine costs little; `tools/keep_training.py` writes this folder. Look at
one with `python visualizer.py assets/demo/in_training/NAME.safetensors`.

| training | kimg | hours | sign of D on reals, loss of G | file, MB |
| --- | ---: | ---: | ---: | ---: |
{rows}

With the run's folder at hand, `python visualizer.py train --run FOLDER` goes on exactly. Without it, from the snapshot
(the optimizers begin anew; while it is an autoencoder D has learned nothing yet, so then begin from the start):

{commands}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the training")
    parser.add_argument("--name", required=True, help="which training it is: letters, planets ...")
    parser.add_argument("--dest", type=Path, default=DEST)
    options = parser.parse_args()
    try:
        facts = RunFolder.open(options.run, "train").read_description()
        network = load_network(options.run)
        if network.G_ema is None or network.D is None:
            raise RunError(f"{network.path} has no G_ema or no D: it is no snapshot of a training.")
        options.dest.mkdir(parents=True, exist_ok=True)
        both: dict[Role, Generator | Discriminator] = {"G_ema": network.G_ema, "D": network.D}
        size = 4 * sum(p.numel() for one in both.values() for p in one.parameters())
        path = options.dest / f"{options.name}.safetensors"
        save_networks(
            path, both, dtype=torch.float16 if size > HALF_PRECISION_BYTES else torch.float32, classes=network.classes
        )
    except (RunError, CheckpointError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    progress = snapshot_names.parse(network.path.name)
    until = progress.kimg + 1 if progress else math.inf  # exclude what came after the snapshot
    lines = [line for line in read_lines(options.run / "stats.jsonl") if line["Progress/kimg"]["mean"] < until]
    kept = anonymize(facts, lines)
    kept["trained"] |= {name: _mean(lines, name) for name in ("Loss/signs/real", "Loss/G/loss")}
    (options.dest / f"{options.name}-run.yaml").write_text(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True))
    (options.dest / "README.md").write_text(make_page(options.dest))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {kept['trained']['kimg']:g} kimg")
    return 0


def make_page(folder: Path) -> str:
    """Format README.md for all trainings of a folder."""
    rows, commands = [], []
    for path in sorted(folder.glob("*-run.yaml")):
        facts, name = yaml.safe_load(path.read_text()), path.name.removesuffix("-run.yaml")
        file = path.with_name(f"{name}.safetensors")
        done = facts["trained"]
        signs, loss = done["Loss/signs/real"], done["Loss/G/loss"]
        judged = "an autoencoder" if signs is None or loss is None else f"{signs:.2f}, {loss:.2f}"
        size = file.stat().st_size / 1e6
        rows.append(f"| {name} | {done['kimg']:g} | {done['hours']:g} | {judged} | {size:.1f} |")
        commands.append("    " + resume_command(facts, file))
    return PAGE.format(rows="\n".join(rows), commands="\n".join(commands))


def resume_command(facts: dict[str, Any], file: Path) -> str:
    """Return the command that resumes from a snapshot, with the options that the training was started with."""
    words = iter(facts["command"])
    kept = []
    for word in words:
        if word in REPLACED_OPTIONS or word.startswith("--vae"):
            following = next(words, None)
            if following is not None and following.startswith("--"):  # it had no value
                words = iter([following, *words])
        else:
            kept.append(word)
    shown = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    data = Path(facts["config"]["data"]).name
    return shlex.join(["python", "visualizer.py", "train", "--outdir", "runs", "--data", data,
                       "--resume", str(shown), *kept])  # fmt: skip


def _mean(lines: list[dict[str, Any]], name: str) -> float | None:
    """Return a statistic of the last tick, or None."""
    return round(lines[-1][name]["mean"], 4) if lines and name in lines[-1] else None


if __name__ == "__main__":
    sys.exit(main())
