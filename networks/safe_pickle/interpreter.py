"""Reads a pickle as data: an interpreter of the pickle opcodes that can call nothing.

A pickle is a program. This interpreter runs it, but a global stays a name: `GlobalRef("os", "system")` is a value,
never a function, and only the names in `allowlist.py` are accepted at all. What a pickle "calls" is looked up in that
list and answered by our own code with inert values: numbers, text, containers, tensors that are still in the file.

The limits assume a hostile file: bytes are read only when needed, every length is checked against what the file holds,
and all values together may cost 16 MB plus a quarter of the file (a published network of 300 MB needs about 5 MB).
Nothing here recurses, so nesting cannot overflow the stack.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from networks.errors import CheckpointError, FormatError, corrupt, sanitize, unsafe
from networks.safe_pickle.allowlist import call_global, check_global, set_state
from networks.safe_pickle.file_reader import ByteRange
from networks.safe_pickle.limits import Budget, BudgetExceeded, check_depth
from networks.safe_pickle.pickle_stream import PickleStream
from networks.safe_pickle.values import GlobalRef, check_dict_key, type_name

_MAX_INTEGER = 256  # bytes or digits
_MAX_STACK = 20_000
_MAX_MARKS = 500
_OPCODE_COST = 256  # bytes of the budget; the most expensive value is a set with its memo entry
_NESTED_OPCODE_COST = 64  # a nested pickle's values are freed soon


class PickleInterpreter(PickleStream):
    """Runs the pickles in a byte range of a file, one after another.

    `persistent_load` resolves persistent ids (torch stores storages so); without it a pickle with such ids is refused.
    `nested` marks a pickle inside a pickle, which may contain no third one.
    """

    def __init__(
        self,
        byte_range: ByteRange,
        budget: Budget,
        persistent_load: Callable[[Any], Any] | None = None,
        nested: bool = False,
    ) -> None:
        super().__init__(byte_range, budget)
        self.persistent_load = persistent_load
        self.nested = nested
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, start: int = 0) -> Any:
        """Run the pickle at `start` and return its value; afterwards `self.position` is the end of the pickle.

        Raises CheckpointError: hostile where it names what is not in the allowlist, broken where it is malformed.
        """
        self.position = start
        self.stack, self.marks, self.memo = [], [], {}
        cost = _NESTED_OPCODE_COST if self.nested else _OPCODE_COST
        try:
            while True:
                self.budget.charge(cost)
                code = self.read_bytes(1)
                if code == b".":
                    result = self.stack.pop()
                    check_depth(result)
                    return result
                handler = _OPCODES.get(code)
                if handler is None:
                    raise FormatError(f"its instruction {code.hex()} is unknown")
                handler(self)
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
        """Make the error for a malformed pickle; `what` is as in `networks.errors.corrupt`, the position is added."""
        return corrupt(self.byte_range.file.path, f"near byte {self.byte_range.start + self.position} {what}")

    def unsafe(self, what: str) -> CheckpointError:
        """Make the error for a pickle that wants to run something; `what` is as in `networks.errors.unsafe`."""
        return unsafe(self.byte_range.file.path, what)

    # Stack and framing

    def _pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def _check_frame(self) -> None:
        self.check_available(self.read_struct("<Q"))

    def _protocol(self) -> None:
        version = self.read_bytes(1)[0]
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

    # Numbers, bytes and text

    def _push_byte_range(self, length: int) -> None:
        self.stack.append(self.skip(length))

    def _push_int_line(self) -> None:
        line = self.read_line()
        if line in (b"00", b"01"):
            self.stack.append(line == b"01")
        else:
            self.stack.append(_parse_int(line.rstrip(b"L")))

    def _push_long(self, form: str) -> None:
        length = self.read_struct(form)
        if not 0 <= length <= _MAX_INTEGER:
            raise FormatError(f"it has a whole number of {length} bytes")
        self.stack.append(int.from_bytes(self.read_bytes(length), "little", signed=True))

    def _push_quoted(self) -> None:
        line = self.read_line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"" or b"\\" in line:
            raise FormatError("it has a quoted text that cannot be read")
        self.stack.append(line[1:-1].decode("latin-1"))

    def _read_unquoted(self) -> str:
        line = self.read_line()
        if b"\\" in line:
            raise FormatError("it has a text that cannot be read")
        return line.decode("latin-1")

    def _push_unicode(self, form: str) -> None:
        self.stack.append(self.read_text(self.read_struct(form), "utf-8", "surrogatepass"))

    def _push_latin1(self, form: str) -> None:
        self.stack.append(self.read_text(self.read_struct(form), "latin-1"))

    # Containers and memo

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

    # Globals and calls

    def _push_global_line(self) -> None:
        module, name = self.read_line(), self.read_line()
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

    def _new_object(self, has_kwargs: bool = False) -> None:
        kwargs = self.stack.pop() if has_kwargs else {}
        arguments = self.stack.pop()
        cls = self.stack.pop()
        if kwargs != {}:
            raise FormatError("it makes an object in a way that no network needs")
        self._call(cls, arguments)

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


Opcode = Callable[[PickleInterpreter], None]


def _parse_int(line: bytes) -> int:
    if len(line) > _MAX_INTEGER:
        raise FormatError(f"it has a whole number of {len(line)} digits")
    return int(line)


def _opcode_table() -> dict[bytes, Opcode]:
    """Map every opcode to its implementation. The names beside them are those of Python's `pickletools`."""

    def push(value_of: Callable[[PickleInterpreter], Any]) -> Opcode:
        def opcode(interpreter: PickleInterpreter) -> None:
            value = value_of(interpreter)  # before `stack` is looked up: popping to a mark replaces it
            interpreter.stack.append(value)

        return opcode

    extension = "wants to look up an object in Python's extension registry"
    outside = "expects objects that are not in the file"
    table: dict[bytes, Opcode] = {
        b"\x80": PickleInterpreter._protocol,  # PROTO
        b"\x95": PickleInterpreter._check_frame,  # FRAME
        b"(": PickleInterpreter._mark,  # MARK
        b"0": PickleInterpreter._pop,  # POP
        b"1": PickleInterpreter._discard_to_mark,  # POP_MARK
        b"2": push(lambda self: self.stack[-1]),  # DUP
        b"N": push(lambda self: None),  # NONE
        b"\x88": push(lambda self: True),  # NEWTRUE
        b"\x89": push(lambda self: False),  # NEWFALSE
        b"I": PickleInterpreter._push_int_line,  # INT
        b"L": PickleInterpreter._push_int_line,  # LONG
        b"J": push(lambda self: self.read_struct("<i")),  # BININT
        b"K": push(lambda self: self.read_struct("<B")),  # BININT1
        b"M": push(lambda self: self.read_struct("<H")),  # BININT2
        b"\x8a": lambda self: self._push_long("<B"),  # LONG1
        b"\x8b": lambda self: self._push_long("<i"),  # LONG4
        b"F": push(lambda self: float(self.read_line())),  # FLOAT
        b"G": push(lambda self: self.read_struct(">d")),  # BINFLOAT
        b"S": PickleInterpreter._push_quoted,  # STRING
        b"V": push(lambda self: self._read_unquoted()),  # UNICODE
        b"U": lambda self: self._push_latin1("<B"),  # SHORT_BINSTRING
        b"T": lambda self: self._push_latin1("<i"),  # BINSTRING
        b"\x8c": lambda self: self._push_unicode("<B"),  # SHORT_BINUNICODE
        b"X": lambda self: self._push_unicode("<I"),  # BINUNICODE
        b"\x8d": lambda self: self._push_unicode("<Q"),  # BINUNICODE8
        b"C": lambda self: self._push_byte_range(self.read_struct("<B")),  # SHORT_BINBYTES
        b"B": lambda self: self._push_byte_range(self.read_struct("<I")),  # BINBYTES
        b"\x8e": lambda self: self._push_byte_range(self.read_struct("<Q")),  # BINBYTES8
        b"\x96": lambda self: self._push_byte_range(self.read_struct("<Q")),  # BYTEARRAY8
        b"}": push(lambda self: {}),  # EMPTY_DICT
        b"]": push(lambda self: []),  # EMPTY_LIST
        b")": push(lambda self: ()),  # EMPTY_TUPLE
        b"\x8f": push(lambda self: set()),  # EMPTY_SET
        b"\x91": PickleInterpreter._push_frozenset,  # FROZENSET
        b"d": PickleInterpreter._push_dict,  # DICT
        b"l": push(lambda self: self._pop_mark()),  # LIST
        b"t": push(lambda self: tuple(self._pop_mark())),  # TUPLE
        b"\x85": lambda self: self._pack_tuple(1),  # TUPLE1
        b"\x86": lambda self: self._pack_tuple(2),  # TUPLE2
        b"\x87": lambda self: self._pack_tuple(3),  # TUPLE3
        b"s": PickleInterpreter._set_item,  # SETITEM
        b"u": PickleInterpreter._set_items,  # SETITEMS
        b"a": PickleInterpreter._append,  # APPEND
        b"e": PickleInterpreter._appends,  # APPENDS
        b"\x90": PickleInterpreter._add_items,  # ADDITEMS
        b"g": lambda self: self._memo_get(_parse_int(self.read_line())),  # GET
        b"h": lambda self: self._memo_get(self.read_struct("<B")),  # BINGET
        b"j": lambda self: self._memo_get(self.read_struct("<I")),  # LONG_BINGET
        b"p": lambda self: self._memo_put(_parse_int(self.read_line())),  # PUT
        b"q": lambda self: self._memo_put(self.read_struct("<B")),  # BINPUT
        b"r": lambda self: self._memo_put(self.read_struct("<I")),  # LONG_BINPUT
        b"\x94": lambda self: self._memo_put(len(self.memo)),  # MEMOIZE
        b"c": PickleInterpreter._push_global_line,  # GLOBAL
        b"\x93": PickleInterpreter._push_stack_global,  # STACK_GLOBAL
        b"R": PickleInterpreter._reduce,  # REDUCE
        b"\x81": PickleInterpreter._new_object,  # NEWOBJ
        b"\x92": lambda self: self._new_object(has_kwargs=True),  # NEWOBJ_EX
        b"i": PickleInterpreter._push_instance_line,  # INST
        b"o": PickleInterpreter._push_object,  # OBJ
        b"b": PickleInterpreter._build,  # BUILD
        b"P": lambda self: self._push_persistent(self.read_line().decode("utf-8", "replace")),  # PERSID
        b"Q": lambda self: self._push_persistent(self.stack.pop()),  # BINPERSID
        b"\x82": lambda self: self._refuse(extension),  # EXT1
        b"\x83": lambda self: self._refuse(extension),  # EXT2
        b"\x84": lambda self: self._refuse(extension),  # EXT4
        b"\x97": lambda self: self._refuse(outside),  # NEXT_BUFFER
        b"\x98": lambda self: self._refuse(outside),  # READONLY_BUFFER
    }
    return table


_OPCODES = _opcode_table()
