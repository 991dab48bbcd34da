"""Damages a network file in one of many ways, reproducibly: truncation, bit flips, changed lengths ...

Most damage is placed in the structure of the file rather than in its weights.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections.abc import Callable
from random import Random

EXTREMES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, 1 << 40, (1 << 63) - 1)

# Pickle opcodes that create a file named `canary` if they are run.
PAYLOADS = (
    b"cos\nsystem\n(X\x0c\x00\x00\x00touch canarytR",
    b"\x8c\x05posix\x8c\x06system\x93\x8c\x0ctouch canary\x85R",
    b"c__builtin__\neval\n(X\x1b\x00\x00\x00open('canary', 'w').close()tR",
    b"cbuiltins\nexec\n(X\x1b\x00\x00\x00open('canary', 'w').close()tR",
    b"csubprocess\nPopen\n((lX\x05\x00\x00\x00touchaX\x06\x00\x00\x00canaryatR",
    b"(S'touch canary'\nios\nsystem\n",
    b"(cos\nsystem\nX\x0c\x00\x00\x00touch canaryo",
    b"cbuiltins\ngetattr\n(cos\nsystem\nX\x08\x00\x00\x00__call__tR(X\x0c\x00\x00\x00touch canarytR",
)

Mutation = Callable[[bytearray, Random], bytearray]


def mutate(data: bytes, random: Random) -> tuple[bytes, str]:
    """Return a damaged copy and the name of the mutation."""
    name = random.choice(list(MUTATIONS))
    inside, repack = _unpacked(data) if random.random() < 0.5 else (data, bytes)
    damaged = bytearray(inside)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        damaged = MUTATIONS[name](damaged, random)
    return repack(bytes(damaged)), name


def _unpacked(data: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Return the pickle of a zip or the header of a safetensors file (else all), and a function to put it back."""
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        described = next(name for name in entries if name.endswith("data.pkl"))

        def zipped(inside: bytes) -> bytes:
            target = io.BytesIO()
            with zipfile.ZipFile(target, "w") as archive:
                for name, content in {**entries, described: inside}.items():
                    archive.writestr(name, content)
            return target.getvalue()

        return entries[described], zipped
    length = int.from_bytes(data[:8], "little")
    if data[8:9] == b"{" and length < len(data):
        return data[8 : 8 + length], lambda inside: len(inside).to_bytes(8, "little") + inside + data[8 + length :]
    return data, bytes


def _truncate(data: bytearray, random: Random) -> bytearray:
    return data[: random.randrange(len(data) + 1)]


def _flip_bits(data: bytearray, random: Random) -> bytearray:
    for _ in range(random.choice((1, 2, 8))):
        if data:
            data[_place(data, random)] ^= 1 << random.randrange(8)
    return data


def _overwrite(data: bytearray, random: Random) -> bytearray:
    at, length = _place(data, random), random.choice((1, 4, 16, 200))
    filler = random.choice((b"\0" * length, b"\xff" * length, random.randbytes(length)))
    data[at : at + length] = filler[: max(len(data) - at, 0)]
    return data


def _remove(data: bytearray, random: Random) -> bytearray:
    at = _place(data, random)
    del data[at : at + random.choice((1, 2, 8, 100))]
    return data


def _repeat(data: bytearray, random: Random) -> bytearray:
    at, length = _place(data, random), random.choice((1, 2, 8, 100, 2000))
    data[at:at] = data[at : at + length] * random.choice((1, 1, 1, 50))
    return data


def _length(data: bytearray, random: Random) -> bytearray:
    """Write an extreme number where a length or an offset may be."""
    at, width = _place(data, random), random.choice((1, 2, 4, 8))
    if random.random() < 0.5 and len(data) > 24:  # tables of contents stand at the ends
        at = random.choice((0, 0, len(data) - random.randrange(1, 24)))
    value = random.choice(EXTREMES) + random.choice((0, 0, -1, 1))
    data[at : at + width] = (value % (1 << (8 * width))).to_bytes(width, "little")
    return data


def _instruction(data: bytearray, random: Random) -> bytearray:
    """Replace, remove or repeat whole opcodes of a pickle; in JSON, numbers and brackets."""
    start = _pickle_start(data)
    if start is None:
        return _json(data, random)
    steps = _steps(bytes(data[start:]))
    if len(steps) < 3:
        return _flip_bits(data, random)
    first, second = (random.randrange(len(steps) - 1) for _ in range(2))
    a, b = (slice(start + steps[i], start + steps[i + 1]) for i in (first, second))
    match random.randrange(4):
        case 0:
            data[a] = data[b]
        case 1:
            del data[a]
        case 2:
            data[a.start : a.start] = bytes(data[b]) * random.choice((1, 1, 3, 1000))
        case _:
            data[a.start : a.start + 1] = random.choice(pickletools.opcodes).code.encode("latin-1")
    return data


def _splice(data: bytearray, random: Random) -> bytearray:
    """Insert a payload of opcodes that call something, or copy a piece to another position."""
    start = _pickle_start(data)
    if random.random() < 0.7 and start is not None:
        steps = _steps(bytes(data[start:])) or [0]
        at = start + random.choice(steps)
        data[at:at] = random.choice(PAYLOADS)
    else:
        source, target, length = _place(data, random), _place(data, random), random.choice((4, 40, 400))
        data[target:target] = data[source : source + length]
    return data


def _name(data: bytearray, random: Random) -> bytearray:
    """Replace one of the identifiers by another."""
    names = list(re.finditer(rb"[A-Za-z_][A-Za-z0-9_.]{3,40}", bytes(data)))
    if not names:
        return _flip_bits(data, random)
    found, other = random.choice(names), random.choice(names).group()
    other = random.choice((other, b"system", b"__reduce__", b"eval"))
    width = found.end() - found.start()
    data[found.start() : found.end()] = other[:width].ljust(width, random.choice((b" ", b"_", b"x")))
    return data


def _json(data: bytearray, random: Random) -> bytearray:
    marks = list(re.finditer(rb"\d+|[\[\]{},:]|\"[^\"]*\"", bytes(data[:100_000])))
    if not marks:
        return _flip_bits(data, random)
    found = random.choice(marks)
    new = random.choice(
        (str(random.choice(EXTREMES)).encode(), b"-1", b"1e999", b"[]", b"{}", b"null", b"[" * 5000, b"")
    )
    if random.random() < 0.5:  # keep the length of the header
        width = found.end() - found.start()
        new = new[:width].ljust(width)
    data[found.start() : found.end()] = new
    return data


MUTATIONS: dict[str, Mutation] = {
    "truncation": _truncate,
    "bit flips": _flip_bits,
    "overwriting": _overwrite,
    "removal": _remove,
    "repetition": _repeat,
    "lengths": _length,
    "instructions": _instruction,
    "splicing": _splice,
    "names": _name,
}


def _place(data: bytearray, random: Random) -> int:
    """Return a position, four times out of five outside of the weights."""
    if not data:
        return 0
    if random.random() < 0.2:
        return random.randrange(len(data))
    for _ in range(20):
        at = random.randrange(len(data))
        around = data[max(at - 6, 0) : at + 6]
        if sum(48 <= byte < 123 or byte < 8 for byte in around) > len(around) // 2:
            return at
    return random.randrange(len(data))


def _pickle_start(data: bytearray) -> int | None:
    """Return the offset of the pickle: 0, or in a zip after the name of its entry."""
    if data[:1] == b"\x80":
        return 0
    at = data.find(b"data.pkl")
    at = data.find(b"\x80\x02", at) if at >= 0 else -1
    return at if at >= 0 else None


def _steps(data: bytes) -> list[int]:
    """Return the offsets of the opcodes, up to the first invalid one."""
    found: list[int] = []
    try:
        for _, _, at in pickletools.genops(data):
            found.append(at or 0)
    except (ValueError, UnicodeDecodeError, OverflowError, MemoryError, IndexError):
        pass
    return found
