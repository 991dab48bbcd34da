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

from networks.errors import CheckpointError, FormatError, corrupt, sanitize, unsafe
from networks.safe_pickle.allowlist import call_global, check_global, set_state
from networks.safe_pickle.file_reader import ByteRange
from networks.safe_pickle.limits import Budget, BudgetExceeded, check_depth
from networks.safe_pickle.values import GlobalRef, check_dict_key, type_name

_WINDOW_BYTES = 1 << 16
_MAX_LINE = 4096
_MAX_INTEGER = 256
_MAX_STACK = 20_000
_MAX_MARKS = 500
_OPCODE_COST = 256  # bytes; the dearest step is a set with its place in the memo
_NESTED_OPCODE_COST = 64  # its values are soon gone


class PickleInterpreter:
    """Follows one pickle in a region of a file.

    `persistent` answers persistent ids (torch uses them for storages); without it a pickle with such ids is refused.
    `nested` is true for a pickle inside a pickle, which may hold no third one.
    """

    def __init__(
        self,
        byte_range: ByteRange,
        budget: Budget,
        persistent_load: Callable[[Any], Any] | None = None,
        nested: bool = False,
    ) -> None:
        self.byte_range = byte_range
        self.budget = budget
        self.persistent_load = persistent_load
        self.nested = nested
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.position = 0  # position in the region of the next instruction
        self._window = b""
        self._window_start = 0

    def run(self, start: int = 0) -> Any:
        """The value that the pickle at `start` describes; afterwards `self.next` is the position behind it.

        Raises CheckpointError: hostile where it names what is not on the list, broken where it makes no sense.
        """
        self.position = start
        self.stack, self.marks, self.memo = [], [], {}
        cost = _NESTED_OPCODE_COST if self.nested else _OPCODE_COST
        try:
            while True:
                self.budget.charge(cost)
                code = self._read_bytes(1)
                if code == b".":
                    result = self.stack.pop()
                    check_depth(result)
                    return result
                opcode = _OPCODES.get(code)
                if opcode is None:
                    raise FormatError(f"its instruction {code.hex()} is unknown")
                opcode(self)
                if len(self.stack) > _MAX_STACK or len(self.marks) > _MAX_MARKS:
                    raise FormatError("its parts are nested too deeply")
        except BudgetExceeded:
            raise self.corrupt("it describes far more objects than a network has") from None
        except IndexError:
            raise self.corrupt("its description takes a value that was never given") from None
        except FormatError as error:
            raise self.corrupt(sanitize(str(error), 120)) from None
        except (ValueError, TypeError, struct.error, OverflowError):
            raise self.corrupt("its description makes no sense") from None

    def corrupt(self, what: str) -> CheckpointError:
        return corrupt(self.byte_range.file.path, f"near byte {self.byte_range.start + self.position} {what}")

    def unsafe(self, what: str) -> CheckpointError:
        return unsafe(self.byte_range.file.path, what)

    # Reading

    def _read_bytes(self, length: int) -> bytes:
        at = self.position - self._window_start
        if at < 0 or at + length > len(self._window):
            available = self.byte_range.length - self.position
            if length > available:
                raise corrupt(self.byte_range.file.path, f"it breaks off after {self.byte_range.end} bytes")
            self._window = self.byte_range.slice(self.position, min(max(length, _WINDOW_BYTES), available)).read()
            self._window_start = self.position
            at = 0
        self.position += length
        return self._window[at : at + length]

    def _read_line(self) -> bytes:
        """Text up to the end of the line, as the oldest pickles have it."""
        available = min(_MAX_LINE, self.byte_range.length - self.position)
        line, found, _ = self.byte_range.slice(self.position, available).read().partition(b"\n")
        if not found:
            raise FormatError("it has a line without an end")
        self.position += len(line) + 1
        return line.rstrip(b"\r")

    def _read_struct(self, form: str) -> int:
        return struct.unpack(form, self._read_bytes(struct.calcsize(form)))[0]

    def _read_text(self, length: int) -> str:
        self.byte_range.slice(self.position, length)  # says so when the file is too short for it
        self.budget.charge(4 * length)
        return str(self._read_bytes(length), "utf-8", "surrogatepass")

    def _push_byte_range(self, length: int) -> None:
        self.stack.append(self.byte_range.slice(self.position, length))
        self.position += length

    def _pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    # Instructions, in groups

    def _check_frame(self) -> None:
        length = self._read_struct("<Q")
        self.byte_range.slice(self.position, length)

    def _protocol(self) -> None:
        version = self._read_bytes(1)[0]
        if version > 5:
            raise FormatError(f"its pickle protocol is {version}, and 5 is the newest there is")

    def _mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._pop_mark()

    def _discard_to_mark(self) -> None:
        self._pop_mark()

    def _push_int_line(self) -> None:
        line = self._read_line()
        if line in (b"00", b"01"):
            self.stack.append(line == b"01")
        else:
            self.stack.append(_parse_int(line.rstrip(b"L")))

    def _push_long(self, form: str) -> None:
        length = self._read_struct(form)
        if not 0 <= length <= _MAX_INTEGER:
            raise FormatError(f"it has a whole number of {length} bytes")
        self.stack.append(int.from_bytes(self._read_bytes(length), "little", signed=True))

    def _push_quoted(self) -> None:
        line = self._read_line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"" or b"\\" in line:
            raise FormatError("it has a quoted text that cannot be read")
        self.stack.append(line[1:-1].decode("latin-1"))

    def _read_unquoted(self) -> str:
        line = self._read_line()
        if b"\\" in line:
            raise FormatError("it has a text that cannot be read")
        return line.decode("latin-1")

    def _push_unicode(self, form: str) -> None:
        self.stack.append(self._read_text(self._read_struct(form)))

    def _push_latin1(self, form: str) -> None:
        length = self._read_struct(form)
        self.byte_range.slice(self.position, length)
        self.budget.charge(4 * length)
        self.stack.append(self._read_bytes(length).decode("latin-1"))

    def _set_item(self) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        self._fill_dict(self.stack[-1], [key, value])

    def _set_items(self) -> None:
        items = self._pop_mark()
        self._fill_dict(self.stack[-1], items)

    def _fill_dict(self, target: Any, items: list[Any]) -> None:
        if type(target) is not dict or len(items) % 2:
            raise FormatError("it puts named items into what holds none")
        for key, value in zip(items[::2], items[1::2], strict=True):
            check_dict_key(key)
            target[key] = value

    def _append(self) -> None:
        value = self.stack.pop()
        self._extend(self.stack[-1], [value])

    def _appends(self) -> None:
        items = self._pop_mark()
        self._extend(self.stack[-1], items)

    def _extend(self, target: Any, items: list[Any]) -> None:
        if type(target) is not list:
            raise FormatError("it appends to what is no list")
        target.extend(items)

    def _add_items(self) -> None:
        items = self._pop_mark()
        if type(self.stack[-1]) is not set:
            raise FormatError("it adds to what is no set")
        self._fill_set(self.stack[-1], items)

    def _fill_set(self, target: set[Any], items: list[Any]) -> None:
        for item in items:
            check_dict_key(item)
            target.add(item)

    def _push_frozenset(self) -> None:
        items: set[Any] = set()
        self._fill_set(items, self._pop_mark())
        self.stack.append(items)

    def _push_dict(self) -> None:
        items = self._pop_mark()
        target: dict[Any, Any] = {}
        self._fill_dict(target, items)
        self.stack.append(target)

    def _pack_tuple(self, length: int) -> None:
        if len(self.stack) < length:
            raise IndexError
        items = tuple(self.stack[-length:])
        self.stack[-length:] = [items]

    def _memo_get(self, index: int) -> None:
        if index not in self.memo:
            raise FormatError(f"its description refers to value {index}, which it never gave")
        self.stack.append(self.memo[index])

    def _memo_put(self, index: int) -> None:
        if not 0 <= index < 2**32:
            raise FormatError("it numbers its values beyond reason")
        self.memo[index] = self.stack[-1]

    # Names, and what a pickle calls

    def _push_global_line(self) -> None:
        module, name = self._read_line(), self._read_line()
        self._push_global(module.decode("utf-8", "replace"), name.decode("utf-8", "replace"))

    def _push_stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._push_global(module, name)

    def _push_global(self, module: Any, name: Any) -> None:
        self.stack.append(check_global(self, module, name))

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack.pop()
        self._call(function, arguments)

    def _new_object(self, with_names: bool = False) -> None:
        named = self.stack.pop() if with_names else {}
        arguments = self.stack.pop()
        kind = self.stack.pop()
        if named != {}:
            raise FormatError("it makes an object in a way that no network needs")
        self._call(kind, arguments)

    def _push_instance_line(self) -> None:
        arguments = tuple(self._pop_mark())
        self._push_global_line()
        self._call(self.stack.pop(), arguments)

    def _push_object(self) -> None:
        items = self._pop_mark()
        if not items:
            raise IndexError
        self._call(items[0], tuple(items[1:]))

    def _call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, GlobalRef):
            raise self.unsafe(f"wants to call {type_name(function)} as if it were a function")
        if type(arguments) is not tuple:
            raise FormatError(f"it gives {function} no list of arguments")
        self.stack.append(call_global(self, function, arguments))

    def _build(self) -> None:
        state = self.stack.pop()
        self.stack[-1] = set_state(self, self.stack[-1], state)

    def _push_persistent(self, key: Any) -> None:
        if self.persistent_load is None:
            raise self.unsafe("refers to objects outside of the file")
        self.stack.append(self.persistent_load(key))

    def _refuse(self, what: str) -> None:
        raise self.unsafe(what)


def _parse_int(line: bytes) -> int:
    if len(line) > _MAX_INTEGER:
        raise FormatError(f"it has a whole number of {len(line)} digits")
    return int(line)


def _opcode_table() -> dict[bytes, Callable[[PickleInterpreter], None]]:
    """What each pickle instruction does, by its byte (Python's pickletools describes them)."""

    def push(make: Callable[[PickleInterpreter], Any]) -> Callable[[PickleInterpreter], None]:
        def opcode(interpreter: PickleInterpreter) -> None:
            value = make(interpreter)  # first: it may exchange the stack
            interpreter.stack.append(value)

        return opcode

    extension = "wants to look up an object in Python's extension registry"
    outside = "expects objects that are not in the file"
    table: dict[bytes, Callable[[PickleInterpreter], None]] = {
        b"\x80": PickleInterpreter._protocol,
        b"\x95": PickleInterpreter._check_frame,
        b"(": PickleInterpreter._mark,
        b"0": PickleInterpreter._pop,
        b"1": PickleInterpreter._discard_to_mark,
        b"2": push(lambda interpreter: interpreter.stack[-1]),
        b"N": push(lambda interpreter: None),
        b"\x88": push(lambda interpreter: True),
        b"\x89": push(lambda interpreter: False),
        b"I": PickleInterpreter._push_int_line,
        b"L": PickleInterpreter._push_int_line,
        b"J": push(lambda interpreter: interpreter._read_struct("<i")),
        b"K": push(lambda interpreter: interpreter._read_struct("<B")),
        b"M": push(lambda interpreter: interpreter._read_struct("<H")),
        b"\x8a": lambda interpreter: interpreter._push_long("<B"),
        b"\x8b": lambda interpreter: interpreter._push_long("<i"),
        b"F": push(lambda interpreter: float(interpreter._read_line())),
        b"G": push(lambda interpreter: interpreter._read_struct(">d")),
        b"S": PickleInterpreter._push_quoted,
        b"V": push(lambda interpreter: interpreter._read_unquoted()),
        b"U": lambda interpreter: interpreter._push_latin1("<B"),
        b"T": lambda interpreter: interpreter._push_latin1("<i"),
        b"\x8c": lambda interpreter: interpreter._push_unicode("<B"),
        b"X": lambda interpreter: interpreter._push_unicode("<I"),
        b"\x8d": lambda interpreter: interpreter._push_unicode("<Q"),
        b"C": lambda interpreter: interpreter._push_byte_range(interpreter._read_struct("<B")),
        b"B": lambda interpreter: interpreter._push_byte_range(interpreter._read_struct("<I")),
        b"\x8e": lambda interpreter: interpreter._push_byte_range(interpreter._read_struct("<Q")),
        b"\x96": lambda interpreter: interpreter._push_byte_range(interpreter._read_struct("<Q")),
        b"}": push(lambda interpreter: {}),
        b"]": push(lambda interpreter: []),
        b")": push(lambda interpreter: ()),
        b"\x8f": push(lambda interpreter: set()),
        b"\x91": PickleInterpreter._push_frozenset,
        b"d": PickleInterpreter._push_dict,
        b"l": push(lambda interpreter: interpreter._pop_mark()),
        b"t": push(lambda interpreter: tuple(interpreter._pop_mark())),
        b"\x85": lambda interpreter: interpreter._pack_tuple(1),
        b"\x86": lambda interpreter: interpreter._pack_tuple(2),
        b"\x87": lambda interpreter: interpreter._pack_tuple(3),
        b"s": PickleInterpreter._set_item,
        b"u": PickleInterpreter._set_items,
        b"a": PickleInterpreter._append,
        b"e": PickleInterpreter._appends,
        b"\x90": PickleInterpreter._add_items,
        b"g": lambda interpreter: interpreter._memo_get(_parse_int(interpreter._read_line())),
        b"h": lambda interpreter: interpreter._memo_get(interpreter._read_struct("<B")),
        b"j": lambda interpreter: interpreter._memo_get(interpreter._read_struct("<I")),
        b"p": lambda interpreter: interpreter._memo_put(_parse_int(interpreter._read_line())),
        b"q": lambda interpreter: interpreter._memo_put(interpreter._read_struct("<B")),
        b"r": lambda interpreter: interpreter._memo_put(interpreter._read_struct("<I")),
        b"\x94": lambda interpreter: interpreter._memo_put(len(interpreter.memo)),
        b"c": PickleInterpreter._push_global_line,
        b"\x93": PickleInterpreter._push_stack_global,
        b"R": PickleInterpreter._reduce,
        b"\x81": PickleInterpreter._new_object,
        b"\x92": lambda interpreter: interpreter._new_object(with_names=True),
        b"i": PickleInterpreter._push_instance_line,
        b"o": PickleInterpreter._push_object,
        b"b": PickleInterpreter._build,
        b"P": lambda interpreter: interpreter._push_persistent(interpreter._read_line().decode("utf-8", "replace")),
        b"Q": lambda interpreter: interpreter._push_persistent(interpreter.stack.pop()),
        b"\x82": lambda interpreter: interpreter._refuse(extension),
        b"\x83": lambda interpreter: interpreter._refuse(extension),
        b"\x84": lambda interpreter: interpreter._refuse(extension),
        b"\x97": lambda interpreter: interpreter._refuse(outside),
        b"\x98": lambda interpreter: interpreter._refuse(outside),
    }
    return table


_OPCODES = _opcode_table()
