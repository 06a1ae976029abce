"""Reading a pickle without running it.

A pickle is a program for a stack machine: it may name any function of any module and have it
called. This interpreter knows the few opcodes that torch.save needs. A name in the program is
never looked up: it is compared with the closed list below, and what stands behind an entry is an
inert constructor of ours. Everything else is refused by name.

pickletools, of the standard library, decodes the opcodes; it executes nothing. An opcode takes at
least a byte and adds at most one entry to the stack or the memo: the length bounds both.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_PICKLE_BYTES = 4 * 2**20  # twenty thousand tensors, and little enough to be read at once


@dataclass(frozen=True)
class Storage:
    """A run of numbers of one type, somewhere in the file."""

    dtype: str  # as safetensors names it
    key: str
    size: int  # how many numbers


@dataclass(frozen=True)
class View:
    """A tensor: a window on a storage. Offset and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Global:
    """An entry of the closed list, met in a pickle."""

    module: str
    name: str


STORAGES = {
    Global("torch", "DoubleStorage"): "F64",
    Global("torch", "FloatStorage"): "F32",
    Global("torch", "HalfStorage"): "F16",
    Global("torch", "BFloat16Storage"): "BF16",
    Global("torch", "LongStorage"): "I64",
    Global("torch", "IntStorage"): "I32",
    Global("torch", "ShortStorage"): "I16",
    Global("torch", "CharStorage"): "I8",
    Global("torch", "ByteStorage"): "U8",
    Global("torch", "BoolStorage"): "BOOL",
}


def _ordered_dict(*items: Any) -> dict[Any, Any]:
    if items and items != ([],):  # Python 2 gave the pairs here
        return _with_items({}, [part for pair in items[0] for part in pair])
    return {}


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> View:
    numbers = [offset, *shape, *strides]
    if not isinstance(storage, Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("a tensor is described by something else than a storage and numbers")
    if len(shape) != len(strides):
        raise ValueError(f"a tensor has {len(shape)} dimensions and {len(strides)} strides")
    return View(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(view: Any, *_: Any) -> Any:
    return view


CONSTRUCTORS: dict[Global, Callable[..., Any]] = {
    Global("collections", "OrderedDict"): _ordered_dict,
    Global("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    Global("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    Global("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


def read_pickle(data: bytes) -> tuple[Any, int]:
    """Interpret the pickle at the start of the data; return its value and its length in bytes.

    ValueError if it names, calls or does anything outside the closed list, or is broken.
    """
    stream = io.BytesIO(data)
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            machine.step(opcode.name, argument)
        return machine.result(), stream.tell()
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"the pickle is broken: {type(error).__name__}, {error}") from None


#: Opcodes whose argument is the value.
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


class _Machine:
    """The stack machine of the pickle module, cut down to what torch.save writes."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below each MARK
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        if len(self.stack) != 1:
            raise ValueError(f"the pickle is broken: it leaves {len(self.stack)} values")
        return self.stack[0]

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in _LITERALS:
            self.stack.append(argument)
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        else:
            handler = getattr(self, f"op_{opcode.lower()}", None)
            if handler is None:
                detail = "" if argument is None else f" {str(argument)[:80]!r}"
                raise ValueError(f"refused: the pickle uses opcode {opcode}{detail}")
            handler(argument)

    def op_proto(self, version: int) -> None:
        if version > 5:
            raise ValueError(f"refused: pickle protocol {version}; known: 2 to 5")

    def op_frame(self, _: int) -> None:
        pass

    op_stop = op_frame

    def op_empty_dict(self, _: None) -> None:
        self.stack.append({})

    def op_empty_list(self, _: None) -> None:
        self.stack.append([])

    def op_empty_tuple(self, _: None) -> None:
        self.stack.append(())

    def op_mark(self, _: None) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def op_tuple(self, _: None) -> None:
        items = tuple(self.pop_to_mark())
        self.stack.append(items)

    def op_tuple1(self, _: None, size: int = 1) -> None:
        items = tuple(self.stack.pop() for _ in range(size))
        self.stack.append(items[::-1])

    def op_tuple2(self, _: None) -> None:
        self.op_tuple1(None, 2)

    def op_tuple3(self, _: None) -> None:
        self.op_tuple1(None, 3)

    def op_append(self, _: None) -> None:
        item = self.stack.pop()
        _as(list, self.stack[-1]).append(item)

    def op_appends(self, _: None) -> None:
        items = self.pop_to_mark()
        _as(list, self.stack[-1]).extend(items)

    def op_setitem(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _with_items(self.stack[-1], [key, value])

    def op_setitems(self, _: None) -> None:
        items = self.pop_to_mark()
        _with_items(self.stack[-1], items)

    def op_binput(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    op_long_binput = op_binput

    def op_memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_binget(self, index: int) -> None:
        self.stack.append(self.memo[index])

    op_long_binget = op_binget

    def op_global(self, argument: str) -> None:
        self.stack.append(_listed(*argument.split(" ", 1)))

    def op_stack_global(self, _: None) -> None:
        name, module = _as(str, self.stack.pop()), _as(str, self.stack.pop())
        self.stack.append(_listed(module, name))

    def op_reduce(self, _: None) -> None:
        arguments, called = _as(tuple, self.stack.pop()), self.stack.pop()
        if not isinstance(called, Global) or called not in CONSTRUCTORS:
            what = f"{called.module}.{called.name}" if isinstance(called, Global) else type(called)
            raise ValueError(f"refused: the pickle calls {what}")
        self.stack.append(CONSTRUCTORS[called](*arguments))

    def op_build(self, _: None) -> None:
        # torch hangs version numbers on a state_dict, as an attribute: dropped, never set
        state = self.stack.pop()
        target = self.stack[-1]
        if (
            not isinstance(target, dict)
            or not isinstance(state, dict)
            or set(state) != {"_metadata"}
        ):
            raise ValueError(f"refused: the pickle uses BUILD on a {type(target).__name__}")

    def op_binpersid(self, _: None) -> None:
        self.stack.append(_storage(self.stack.pop()))


def _listed(module: str, name: str) -> Global:
    entry = Global(module, name)
    if entry not in CONSTRUCTORS and entry not in STORAGES:
        raise ValueError(
            f"refused: the pickle names {f'{module}.{name}'[:200]}, "
            "which a file of weights has no use for; it was not run"
        )
    return entry


def _storage(identity: Any) -> Storage:
    """Read torch's persistent id: ("storage", type, key, device, size) and, once, None."""
    match identity:
        case ("storage", Global() as kind, str(key), str(), int(size), *view) if (
            kind in STORAGES and type(size) is int and size >= 0 and view in ([], [None])
        ):
            return Storage(STORAGES[kind], key, size)
    parts = identity if isinstance(identity, tuple) else (identity,)
    types = ", ".join(type(part).__name__ for part in parts[:8])
    raise ValueError(f"refused: a persistent id of an unknown shape: {types}")


def _with_items(target: Any, items: list[Any]) -> dict[Any, Any]:
    mapping: dict[Any, Any] = _as(dict, target)
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int):  # others may take forever to be hashed
            raise ValueError(f"a key of a dict is a {type(key).__name__}; known: text, numbers")
        mapping[key] = value
    return mapping


def _as(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"the pickle uses a {type(value).__name__} as a {kind.__name__}")
    return value
