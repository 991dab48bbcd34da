"""Reads a pickle as data: a small machine that knows the pickle instructions and can call nothing.

A pickle is a program. This machine follows it, but a name in it stays a name: `Name("os", "system")` is a value, never
a function, and only names on the list in `pickled.py` pass at all. What a pickle "calls" is looked up in that list and
answered by our own code with inert values: numbers, text, containers, tensors that are still in the file.

Limits, because a pickle may come from anybody: bytes are never read before they are needed, every length is checked
against what the file holds, and all values together may cost 16 MB plus a quarter of the file (a real network of 300 MB
needs about 5 MB). Nothing here recurses, so nesting cannot overflow the stack.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from networks.errors import CheckpointError, Flaw, broken, hostile, plain
from networks.safe_pickle.allowlist import build, check_name, construct
from networks.safe_pickle.file_reader import Region
from networks.safe_pickle.limits import Budget, OverBudget, check_depth
from networks.safe_pickle.values import Name, key_is_plain, said

_WINDOW = 1 << 16
_LONGEST_LINE = 4096
_LONGEST_INTEGER = 256
_DEEPEST_STACK = 20_000
_DEEPEST_MARKS = 500
_COST_OF_A_STEP = 256  # bytes; the dearest step is a set with its place in the memo
_COST_OF_A_NESTED_STEP = 64  # its values are soon gone


class Machine:
    """Follows one pickle in a region of a file.

    `persistent` answers persistent ids (torch uses them for storages); without it a pickle with such ids is refused.
    `nested` is true for a pickle inside a pickle, which may hold no third one.
    """

    def __init__(
        self,
        region: Region,
        budget: Budget,
        persistent: Callable[[Any], Any] | None = None,
        nested: bool = False,
    ) -> None:
        self.region = region
        self.budget = budget
        self.persistent = persistent
        self.nested = nested
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.next = 0  # position in the region of the next instruction
        self._window = b""
        self._window_start = 0

    def run(self, start: int = 0) -> Any:
        """The value that the pickle at `start` describes; afterwards `self.next` is the position behind it.

        Raises CheckpointError: hostile where it names what is not on the list, broken where it makes no sense.
        """
        self.next = start
        self.stack, self.marks, self.memo = [], [], {}
        cost = _COST_OF_A_NESTED_STEP if self.nested else _COST_OF_A_STEP
        try:
            while True:
                self.budget.spend(cost)
                code = self._take(1)
                if code == b".":
                    result = self.stack.pop()
                    check_depth(result)
                    return result
                step = _STEPS.get(code)
                if step is None:
                    raise Flaw(f"its instruction {code.hex()} is unknown")
                step(self)
                if len(self.stack) > _DEEPEST_STACK or len(self.marks) > _DEEPEST_MARKS:
                    raise Flaw("its parts are nested too deeply")
        except OverBudget:
            raise self.broken("it describes far more objects than a network has") from None
        except IndexError:
            raise self.broken("its description takes a value that was never given") from None
        except Flaw as error:
            raise self.broken(plain(str(error), 120)) from None
        except (ValueError, TypeError, struct.error, OverflowError):
            raise self.broken("its description makes no sense") from None

    def broken(self, what: str) -> CheckpointError:
        return broken(self.region.file.path, f"near byte {self.region.start + self.next} {what}")

    def hostile(self, what: str) -> CheckpointError:
        return hostile(self.region.file.path, what)

    # Reading

    def _take(self, length: int) -> bytes:
        at = self.next - self._window_start
        if at < 0 or at + length > len(self._window):
            available = self.region.length - self.next
            if length > available:
                raise broken(self.region.file.path, f"it breaks off after {self.region.end} bytes")
            self._window = self.region.part(self.next, min(max(length, _WINDOW), available)).read()
            self._window_start = self.next
            at = 0
        self.next += length
        return self._window[at : at + length]

    def _line(self) -> bytes:
        """Text up to the end of the line, as the oldest pickles have it."""
        available = min(_LONGEST_LINE, self.region.length - self.next)
        line, found, _ = self.region.part(self.next, available).read().partition(b"\n")
        if not found:
            raise Flaw("it has a line without an end")
        self.next += len(line) + 1
        return line.rstrip(b"\r")

    def _number(self, form: str) -> int:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _text(self, length: int) -> str:
        self.region.part(self.next, length)  # says so when the file is too short for it
        self.budget.spend(4 * length)
        return str(self._take(length), "utf-8", "surrogatepass")

    def _bytes(self, length: int) -> None:
        self.stack.append(self.region.part(self.next, length))
        self.next += length

    def _pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    # Instructions, in groups

    def _drop_frame(self) -> None:
        length = self._number("<Q")
        self.region.part(self.next, length)

    def _protocol(self) -> None:
        version = self._take(1)[0]
        if version > 5:
            raise Flaw(f"its pickle protocol is {version}, and 5 is the newest there is")

    def _mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._pop_mark()

    def _drop_to_mark(self) -> None:
        self._pop_mark()

    def _integer_line(self) -> None:
        line = self._line()
        if line in (b"00", b"01"):
            self.stack.append(line == b"01")
        else:
            self.stack.append(_whole_number(line.rstrip(b"L")))

    def _long(self, form: str) -> None:
        length = self._number(form)
        if not 0 <= length <= _LONGEST_INTEGER:
            raise Flaw(f"it has a whole number of {length} bytes")
        self.stack.append(int.from_bytes(self._take(length), "little", signed=True))

    def _quoted(self) -> None:
        line = self._line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"" or b"\\" in line:
            raise Flaw("it has a quoted text that cannot be read")
        self.stack.append(line[1:-1].decode("latin-1"))

    def _unquoted(self) -> str:
        line = self._line()
        if b"\\" in line:
            raise Flaw("it has a text that cannot be read")
        return line.decode("latin-1")

    def _short_text(self, form: str) -> None:
        self.stack.append(self._text(self._number(form)))

    def _short_string(self, form: str) -> None:
        length = self._number(form)
        self.region.part(self.next, length)
        self.budget.spend(4 * length)
        self.stack.append(self._take(length).decode("latin-1"))

    def _set_item(self) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        self._fill_dict(self.stack[-1], [key, value])

    def _set_items(self) -> None:
        items = self._pop_mark()
        self._fill_dict(self.stack[-1], items)

    def _fill_dict(self, target: Any, items: list[Any]) -> None:
        if type(target) is not dict or len(items) % 2:
            raise Flaw("it puts named items into what holds none")
        for key, value in zip(items[::2], items[1::2], strict=True):
            key_is_plain(key)
            target[key] = value

    def _append(self) -> None:
        value = self.stack.pop()
        self._extend(self.stack[-1], [value])

    def _appends(self) -> None:
        items = self._pop_mark()
        self._extend(self.stack[-1], items)

    def _extend(self, target: Any, items: list[Any]) -> None:
        if type(target) is not list:
            raise Flaw("it appends to what is no list")
        target.extend(items)

    def _add_items(self) -> None:
        items = self._pop_mark()
        if type(self.stack[-1]) is not set:
            raise Flaw("it adds to what is no set")
        self._fill_set(self.stack[-1], items)

    def _fill_set(self, target: set[Any], items: list[Any]) -> None:
        for item in items:
            key_is_plain(item)
            target.add(item)

    def _frozen_set(self) -> None:
        items: set[Any] = set()
        self._fill_set(items, self._pop_mark())
        self.stack.append(items)

    def _new_dict(self) -> None:
        items = self._pop_mark()
        target: dict[Any, Any] = {}
        self._fill_dict(target, items)
        self.stack.append(target)

    def _tuple(self, length: int) -> None:
        if len(self.stack) < length:
            raise IndexError
        items = tuple(self.stack[-length:])
        self.stack[-length:] = [items]

    def _get(self, index: int) -> None:
        if index not in self.memo:
            raise Flaw(f"its description refers to value {index}, which it never gave")
        self.stack.append(self.memo[index])

    def _put(self, index: int) -> None:
        if not 0 <= index < 2**32:
            raise Flaw("it numbers its values beyond reason")
        self.memo[index] = self.stack[-1]

    # Names, and what a pickle calls

    def _global_line(self) -> None:
        module, name = self._line(), self._line()
        self._push_name(module.decode("utf-8", "replace"), name.decode("utf-8", "replace"))

    def _stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._push_name(module, name)

    def _push_name(self, module: Any, name: Any) -> None:
        self.stack.append(check_name(self, module, name))

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack.pop()
        self._call(function, arguments)

    def _new_object(self, with_names: bool = False) -> None:
        named = self.stack.pop() if with_names else {}
        arguments = self.stack.pop()
        kind = self.stack.pop()
        if named != {}:
            raise Flaw("it makes an object in a way that no network needs")
        self._call(kind, arguments)

    def _instance_line(self) -> None:
        arguments = tuple(self._pop_mark())
        self._global_line()
        self._call(self.stack.pop(), arguments)

    def _object(self) -> None:
        items = self._pop_mark()
        if not items:
            raise IndexError
        self._call(items[0], tuple(items[1:]))

    def _call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Name):
            raise self.hostile(f"wants to call {said(function)} as if it were a function")
        if type(arguments) is not tuple:
            raise Flaw(f"it gives {function} no list of arguments")
        self.stack.append(construct(self, function, arguments))

    def _build(self) -> None:
        state = self.stack.pop()
        self.stack[-1] = build(self, self.stack[-1], state)

    def _persistent(self, key: Any) -> None:
        if self.persistent is None:
            raise self.hostile("refers to objects outside of the file")
        self.stack.append(self.persistent(key))

    def _refuse(self, what: str) -> None:
        raise self.hostile(what)


def _whole_number(line: bytes) -> int:
    if len(line) > _LONGEST_INTEGER:
        raise Flaw(f"it has a whole number of {len(line)} digits")
    return int(line)


def _steps() -> dict[bytes, Callable[[Machine], None]]:
    """What each pickle instruction does, by its byte (Python's pickletools describes them)."""

    def push(make: Callable[[Machine], Any]) -> Callable[[Machine], None]:
        def step(machine: Machine) -> None:
            value = make(machine)  # first: it may exchange the stack
            machine.stack.append(value)

        return step

    extension = "wants to look up an object in Python's extension registry"
    outside = "expects objects that are not in the file"
    steps: dict[bytes, Callable[[Machine], None]] = {
        b"\x80": Machine._protocol,
        b"\x95": Machine._drop_frame,
        b"(": Machine._mark,
        b"0": Machine._pop,
        b"1": Machine._drop_to_mark,
        b"2": push(lambda machine: machine.stack[-1]),
        b"N": push(lambda machine: None),
        b"\x88": push(lambda machine: True),
        b"\x89": push(lambda machine: False),
        b"I": Machine._integer_line,
        b"L": Machine._integer_line,
        b"J": push(lambda machine: machine._number("<i")),
        b"K": push(lambda machine: machine._number("<B")),
        b"M": push(lambda machine: machine._number("<H")),
        b"\x8a": lambda machine: machine._long("<B"),
        b"\x8b": lambda machine: machine._long("<i"),
        b"F": push(lambda machine: float(machine._line())),
        b"G": push(lambda machine: machine._number(">d")),
        b"S": Machine._quoted,
        b"V": push(lambda machine: machine._unquoted()),
        b"U": lambda machine: machine._short_string("<B"),
        b"T": lambda machine: machine._short_string("<i"),
        b"\x8c": lambda machine: machine._short_text("<B"),
        b"X": lambda machine: machine._short_text("<I"),
        b"\x8d": lambda machine: machine._short_text("<Q"),
        b"C": lambda machine: machine._bytes(machine._number("<B")),
        b"B": lambda machine: machine._bytes(machine._number("<I")),
        b"\x8e": lambda machine: machine._bytes(machine._number("<Q")),
        b"\x96": lambda machine: machine._bytes(machine._number("<Q")),
        b"}": push(lambda machine: {}),
        b"]": push(lambda machine: []),
        b")": push(lambda machine: ()),
        b"\x8f": push(lambda machine: set()),
        b"\x91": Machine._frozen_set,
        b"d": Machine._new_dict,
        b"l": push(lambda machine: machine._pop_mark()),
        b"t": push(lambda machine: tuple(machine._pop_mark())),
        b"\x85": lambda machine: machine._tuple(1),
        b"\x86": lambda machine: machine._tuple(2),
        b"\x87": lambda machine: machine._tuple(3),
        b"s": Machine._set_item,
        b"u": Machine._set_items,
        b"a": Machine._append,
        b"e": Machine._appends,
        b"\x90": Machine._add_items,
        b"g": lambda machine: machine._get(_whole_number(machine._line())),
        b"h": lambda machine: machine._get(machine._number("<B")),
        b"j": lambda machine: machine._get(machine._number("<I")),
        b"p": lambda machine: machine._put(_whole_number(machine._line())),
        b"q": lambda machine: machine._put(machine._number("<B")),
        b"r": lambda machine: machine._put(machine._number("<I")),
        b"\x94": lambda machine: machine._put(len(machine.memo)),
        b"c": Machine._global_line,
        b"\x93": Machine._stack_global,
        b"R": Machine._reduce,
        b"\x81": Machine._new_object,
        b"\x92": lambda machine: machine._new_object(with_names=True),
        b"i": Machine._instance_line,
        b"o": Machine._object,
        b"b": Machine._build,
        b"P": lambda machine: machine._persistent(machine._line().decode("utf-8", "replace")),
        b"Q": lambda machine: machine._persistent(machine.stack.pop()),
        b"\x82": lambda machine: machine._refuse(extension),
        b"\x83": lambda machine: machine._refuse(extension),
        b"\x84": lambda machine: machine._refuse(extension),
        b"\x97": lambda machine: machine._refuse(outside),
        b"\x98": lambda machine: machine._refuse(outside),
    }
    return steps


_STEPS = _steps()
