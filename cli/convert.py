"""A published network file into ours: `visualizer.py convert --source x.pkl --dest x.safetensors`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cli.flags import Parser, fail, is_same_file


def main(arguments: Sequence[str]) -> int:
    parser = Parser("visualizer.py convert", description=__doc__)
    parser.add_argument("--source", required=True, help="path, URL or run folder of the network")
    parser.add_argument("--dest", required=True, type=Path, help="the .safetensors file to write")
    parser.add_argument("--half", action="store_true", help="weights of half precision: half the size")
    parser.add_argument("--picture-only", action="store_true", help="only what makes pictures, G_ema; not to train on")
    options = parser.parse_args(arguments)
    if options.dest.suffix != ".safetensors":
        return fail(f"{options.dest} should end in .safetensors, the one format that is written.")
    import torch

    from networks import CheckpointError, convert, inspect_checkpoint
    from networks.checkpoints.resolve_source import expand_home
    from networks.class_names import summarize

    dtype = torch.float16 if options.half else torch.float32
    try:
        dest = expand_home(options.dest)
        if is_same_file(dest, inspect_checkpoint(options.source).path):
            return fail(f"{options.dest} is the source itself; choose another --dest.")
        dest = convert(options.source, dest, dtype=dtype, picture_only=options.picture_only)
    except CheckpointError as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"{options.dest} cannot be written ({error.strerror}): choose another place.")
    print(f"{options.source} -> {dest} ({dest.stat().st_size / 1e6:.1f} MB)")
    if names := inspect_checkpoint(dest).classes:
        print(f"Classes: {summarize(names)}")
    return 0
