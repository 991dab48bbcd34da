"""Detects a file's format and reads it. A reader returns None for another format and raises for a damaged file."""

from __future__ import annotations

import re
from dataclasses import replace

from networks.checkpoints.bandlimit_safetensors import is_safetensors, read_safetensors
from networks.checkpoints.contents import ChannelOrder, CheckpointContents
from networks.checkpoints.nvidia_pickle import read_nvidia_pickle
from networks.checkpoints.openmmlab import read_openmmlab
from networks.checkpoints.tensorflow_pickle import read_tensorflow
from networks.errors import CheckpointError, FormatError, corrupt, not_a_checkpoint, sanitize
from networks.safe_pickle.file_reader import RandomAccessFile
from networks.safe_pickle.interpreter import PickleInterpreter
from networks.safe_pickle.limits import Budget
from networks.safe_pickle.torch_save import LEGACY_MAGIC, read_legacy, read_zip
from networks.safe_pickle.zip_directory import LOCAL_HEADER_MAGIC as ZIP_MAGIC


def read_contents(file: RandomAccessFile, channel_order: ChannelOrder | None = None) -> CheckpointContents:
    """Read a file's configs and the positions of its tensors; `channel_order` overrides the file's.

    Raises CheckpointError: foreign, broken or hostile.
    """
    start = file.read(0, min(64, file.size))
    suffix = file.path.suffix.lower()
    try:
        if start.startswith(ZIP_MAGIC):
            contents = read_openmmlab(read_zip(file), channel_order or "rgb")
        elif start.startswith(LEGACY_MAGIC):
            contents = read_openmmlab(read_legacy(file), channel_order or "rgb")
        elif _is_pickle(start, suffix):
            value = PickleInterpreter(file.full_range(), Budget(file.size)).run()
            contents = read_nvidia_pickle(value) or read_tensorflow(value)
        elif is_safetensors(start):
            contents = read_safetensors(file, channel_order)
        else:
            raise _unrecognized(file, start, suffix)
    except FormatError as error:
        raise corrupt(file.path, sanitize(str(error), 160)) from None
    except (ValueError, TypeError, ArithmeticError):
        raise corrupt(file.path, "what it says about its networks makes no sense") from None
    if contents is None:
        raise not_a_checkpoint(file.path, "is a file of Python data, but holds no network of a kind that is known")
    if not contents.networks:
        raise not_a_checkpoint(file.path, "holds no network of a kind that is known")
    count = sum(network.num_elements for network in contents.networks.values())
    if 4 * count > 2 * file.size:  # float16 doubles in memory; so does a G that shares its storage with G_ema
        raise corrupt(file.path, f"it claims {count} weights in {file.size} bytes")
    if channel_order is not None and contents.channel_order != channel_order:
        contents = replace(contents, channel_order=channel_order)
    return contents


def _is_pickle(start: bytes, suffix: str) -> bool:
    if start[:1] == b"\x80" and 2 <= (start[1] if len(start) > 1 else 9) <= 5:
        return True
    return suffix in (".pkl", ".pickle") and start[:1] in (b"(", b"]", b"}", b"c", b"d", b"l", b")", b"i")


def _unrecognized(file: RandomAccessFile, start: bytes, suffix: str) -> CheckpointError:
    """Return the error for a file of an unknown format, saying what it seems to be."""
    if file.size == 0:
        return not_a_checkpoint(file.path, "is empty")
    if re.match(rb"\s*<(?:!doctype|html|\?xml)", start, re.IGNORECASE):
        return not_a_checkpoint(file.path, "is a web page that was saved instead of the file")
    if start.startswith(b"version https://git-lfs"):
        return not_a_checkpoint(file.path, "is only a Git LFS pointer to the file")
    if suffix in (".pkl", ".pth", ".pt", ".safetensors"):
        return not_a_checkpoint(file.path, "does not begin as a network file does")
    return not_a_checkpoint(file.path, "is not a network file")
