"""Finds the reader that knows a file: each says "not mine" by None, or "mine, and broken because ..." by an error."""

from __future__ import annotations

import re
from dataclasses import replace

from networks.checkpoints.bandlimit_safetensors import looks_like_ours, read_ours
from networks.checkpoints.contents import ChannelOrder, Contents
from networks.checkpoints.nvidia_pickle import read_published
from networks.checkpoints.openmmlab import read_openmmlab
from networks.checkpoints.tensorflow_pickle import read_tensorflow
from networks.errors import CheckpointError, Flaw, broken, foreign, plain
from networks.safe_pickle.file_reader import FileBytes
from networks.safe_pickle.interpreter import Machine
from networks.safe_pickle.limits import Budget
from networks.safe_pickle.torch_save import OLD_START, read_old, read_zip
from networks.safe_pickle.zip_directory import START as ZIP_START


def read_contents(file: FileBytes, channel_order: ChannelOrder | None = None) -> Contents:
    """What a file holds, with tensors still in the file. Raises CheckpointError: foreign, broken or hostile."""
    start = file.read(0, min(64, file.size))
    suffix = file.path.suffix.lower()
    try:
        if start.startswith(ZIP_START):
            contents = read_openmmlab(read_zip(file), channel_order or "rgb")
        elif start.startswith(OLD_START):
            contents = read_openmmlab(read_old(file), channel_order or "rgb")
        elif _is_pickle(start, suffix):
            value = Machine(file.whole(), Budget(file.size)).run()
            contents = read_published(value) or read_tensorflow(value)
        elif looks_like_ours(start):
            contents = read_ours(file, channel_order)
        else:
            raise _not_ours(file, start, suffix)
    except Flaw as error:
        raise broken(file.path, plain(str(error), 160)) from None
    except (ValueError, TypeError, ArithmeticError):
        raise broken(file.path, "what it says about its networks makes no sense") from None
    if contents is None:
        raise foreign(file.path, "is a file of Python data, but holds no network of a kind that is known")
    if not contents.networks:
        raise foreign(file.path, "holds no network of a kind that is known")
    count = sum(network.count for network in contents.networks.values())
    if 4 * count > 2 * file.size:  # half precision doubles in memory, and so may G where it is G_ema too
        raise broken(file.path, f"it claims {count} weights in {file.size} bytes")
    if channel_order is not None and contents.channel_order != channel_order:
        contents = replace(contents, channel_order=channel_order)
    return contents


def _is_pickle(start: bytes, suffix: str) -> bool:
    if start[:1] == b"\x80" and 2 <= (start[1] if len(start) > 1 else 9) <= 5:
        return True
    return suffix in (".pkl", ".pickle") and start[:1] in (b"(", b"]", b"}", b"c", b"d", b"l", b")", b"i")


def _not_ours(file: FileBytes, start: bytes, suffix: str) -> CheckpointError:
    """The sentence for a file that no reader knows, telling what it seems to be."""
    if file.size == 0:
        return foreign(file.path, "is empty")
    if re.match(rb"\s*<(?:!doctype|html|\?xml)", start, re.IGNORECASE):
        return foreign(file.path, "is a web page that was saved instead of the file")
    if start.startswith(b"version https://git-lfs"):
        return foreign(file.path, "is only a Git LFS pointer to the file")
    if suffix in (".pkl", ".pth", ".pt", ".safetensors"):
        return foreign(file.path, "does not begin as a network file does")
    return foreign(file.path, "is not a network file")
