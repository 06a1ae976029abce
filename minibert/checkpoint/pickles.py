"""Reading a pickle without running it.

A pickle is a program for a stack machine: it may have any function of any module called. This
interpreter knows the few opcodes that torch.save needs. A name is never looked up: it is compared
with the closed list below, whose entries are inert constructors of ours, and with that of classes
of a training (inert.py), whose objects are dropped. All else is refused.

pickletools decodes the opcodes; it executes nothing. An opcode takes at least a byte and adds at
most one entry to the stack or the memo: the length bounds both.
"""

import io
import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from minibert.checkpoint.inert import Inert
from minibert.checkpoint.limits import MAX_DIMENSIONS
from minibert.checkpoint.tensors import TYPES
from minibert.runtime.spelling import a_kind

CUT_SHORT = "the pickle is cut short: it ends before its STOP"


@dataclass(frozen=True)
class Storage:
    """A run of numbers of one type, somewhere in the file."""

    dtype: str  # its code in tensors.TYPES
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
class Unread:
    """A tensor that no weight can be: a sparse one, or one of float8. Its numbers are not read."""

    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Global:
    """An entry of the closed list, met in a pickle."""

    module: str
    name: str


#: The classes of storages that a pickle may name, and the codes of their numbers.
STORAGES = {Global("torch", t.storage): t.code for t in TYPES.values() if t.storage}
STORAGES[Global("torch.storage", "UntypedStorage")] = "U8"  # mere bytes
_FLOAT8 = (f"float8_{kind}" for kind in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu"))
#: The names of types; those of the later ones stand beside mere bytes.
NUMBERS = {Global("torch", n) for n in (*(t.name for t in TYPES.values()), "complex32", *_FLOAT8)}


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    if not pairs:  # only Python 2 gave any
        return {}
    items = [part for key, value in _as(list, pairs) for part in (key, value)]
    pairs.clear()  # or a pickle could have one long list copied ever again
    return _with_items({}, items)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> View:
    if max(len(_as(tuple, shape)), len(_as(tuple, strides))) > MAX_DIMENSIONS:
        raise ValueError(f"a tensor has more than {MAX_DIMENSIONS} dimensions")
    numbers = [offset, *shape, *strides]
    if not isinstance(storage, Storage) or not all(type(n) is int for n in numbers):
        raise ValueError("a tensor is described by something else than a storage and numbers")
    if min(numbers) < 0:
        found = f"the offset {offset}, the shape {shape} and the strides {strides}"
        raise ValueError(f"a tensor has {found}; none of them may be negative")
    if len(shape) != len(strides):
        raise ValueError(f"a tensor has {len(shape)} dimensions and {len(strides)} strides")
    return View(storage, offset, shape, strides)


def _unread(kind: str, shape: Any) -> Unread:
    whole = all(type(size) is int and 0 <= size < 2**48 for size in _as(tuple, shape))
    if not whole or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"a tensor has the shape {shape!s:.200}")
    return Unread(kind[:40], shape)


CONSTRUCTORS: dict[Global, Callable[..., Any]] = {
    Global("collections", "OrderedDict"): _ordered_dict,
    Global("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    Global("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    Global("torch._utils", "_rebuild_tensor_v3"): lambda *of: _unread(of[6].name, of[2]),
    Global("torch._utils", "_rebuild_sparse_tensor"): lambda layout, parts: _unread(
        _as(str, layout), next((part for part in _as(tuple, parts) if isinstance(part, tuple)), ())
    ),
    Global("torch._utils", "_rebuild_parameter"): lambda view, *_: view,
    Global("torch", "Size"): lambda sizes: _as(tuple, sizes),
    Global("torch.serialization", "_get_layout"): lambda name: name,
}


def read_pickle(data: bytes, storages: dict[str, Storage] | None = None) -> tuple[Any, int]:
    """Interpret the pickle at the start of the data; return its value and its length in bytes.

    storages: receives, by its key, every storage that is spoken of. ValueError if the pickle names,
    calls or does anything outside the closed list, or is broken.
    """
    stream = io.BytesIO(data)
    machine = _Machine({} if storages is None else storages)
    try:
        for opcode, argument in _instructions(stream):
            machine.step(opcode, argument)
        if len(machine.stack) != 1:
            raise ValueError(f"the pickle is broken: it leaves {len(machine.stack)} values")
        return machine.stack[0], stream.tell()
    except (IndexError, KeyError):  # of the stack, of the memo
        raise ValueError("the pickle is broken: it uses a value that is not there") from None
    except (TypeError, AttributeError, OverflowError):
        raise ValueError("the pickle is broken: a call in it does not fit") from None


_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}


def _instructions(stream: io.BytesIO) -> Iterator[tuple[str, Any]]:
    """Decode one opcode after the other, up to STOP."""
    name = ""
    while name != "STOP":
        code = stream.read(1)
        opcode = _OPCODES.get(code.decode("latin-1"))
        if opcode is None:
            raise ValueError(f"the pickle is broken: {code!r} is no opcode" if code else CUT_SHORT)
        name = opcode.name
        yield name, _argument(opcode.arg, stream)


def _argument(kind: pickletools.ArgumentDescriptor | None, stream: io.BytesIO) -> Any:
    if kind is None:
        return None
    if kind.n != pickletools.UP_TO_NEWLINE:
        try:
            return kind.reader(stream)
        except UnicodeDecodeError:
            raise ValueError("the pickle is broken: a text in it is not UTF-8") from None
    # names and numbers in words: as they are, for pickletools would resolve escapes in them
    lines = [stream.readline() for _ in range(2 if kind.name.endswith("_pair") else 1)]
    if not lines[-1].endswith(b"\n"):
        raise ValueError(CUT_SHORT)
    return "\n".join(line[:-1].decode("utf-8", "backslashreplace") for line in lines)


def _call(called: Any, arguments: Any) -> Any:
    if isinstance(called, Inert):
        return called
    named = isinstance(called, Global)
    what = f"{called.module}.{called.name}" if named else a_kind(called)
    if not named or called not in CONSTRUCTORS:
        raise ValueError(f"refused: the pickle calls {what}")
    if len(_as(tuple, arguments)) > 8:
        raise ValueError(f"refused: the pickle calls {what} with {len(arguments)} arguments")
    return CONSTRUCTORS[called](*arguments)


def _new(kind: Any, _: Any) -> Inert:
    if not isinstance(kind, Inert):
        raise ValueError("refused: the pickle uses opcode NEWOBJ")
    return kind


def _listed(module: Any, name: Any) -> Global | Inert:
    entry = Global(_as(str, module), _as(str, name))
    if inert := Inert.of(module, name) if entry not in CONSTRUCTORS else None:
        return inert
    if not any(entry in listed for listed in (CONSTRUCTORS, STORAGES, NUMBERS)):
        why = "which a file of weights has no use for; it was not run"
        hint = "Save the model's state_dict() alone"
        raise ValueError(f"refused: the pickle names {f'{module}.{name}'[:200]}, {why}. {hint}")
    return entry


def _storage(identity: Any) -> Storage:
    """Read torch's persistent id: ("storage", type, key, device, size) and, once, None."""
    match identity:
        case ("storage", Global() as kind, str(key), str(), int(size), *view) if (
            kind in STORAGES and type(size) is int and size >= 0 and view in ([], [None])
        ):
            return Storage(STORAGES[kind], key, size)
    parts = identity[:8] if isinstance(identity, tuple) else (identity,)
    types = ", ".join(type(part).__name__.replace("NoneType", "None") for part in parts)
    raise ValueError(f"refused: a persistent id of an unknown shape: {types}")


def _refuse_state(target: Any, state: Any) -> None:
    """Refuse a BUILD, except of the version numbers of a state dict, which are dropped."""
    dicts = isinstance(target, dict) and isinstance(state, dict)
    if not isinstance(target, Inert) and (not dicts or list(state) != ["_metadata"]):
        raise ValueError(f"refused: the pickle uses BUILD on {a_kind(target)}")


def _with_items(target: Any, items: list[Any]) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {} if isinstance(target, Inert) else _as(dict, target)
    if len(items) % 2:
        raise ValueError("the pickle is broken: a key of a dict has no value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if isinstance(key, Inert):
            continue
        # other keys may take forever to be hashed, and large numbers can share one hash
        if not isinstance(key, str) and not (type(key) is int and abs(key) < 2**60):
            raise ValueError(f"a key of a dict is {a_kind(key)}; known: text, numbers")
        mapping[key] = value
    return mapping


def _as(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"the pickle uses {a_kind(value)} as a {kind.__name__}")
    return value


#: Opcodes whose argument is the value.
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
}
#: What makes a value of those that an opcode takes from the stack.
_MAKERS: dict[str, Callable[..., Any]] = {
    **{"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False},
    **{"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple},
    **dict.fromkeys(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), lambda *items: items),
    **{"STACK_GLOBAL": _listed, "REDUCE": _call, "NEWOBJ": _new},
}
#: How many values that are.
_TAKEN = {
    **dict.fromkeys(("APPEND", "TUPLE1", "BINPERSID", "BUILD"), 1),
    **dict.fromkeys(("SETITEM", "TUPLE2", "STACK_GLOBAL", "REDUCE", "NEWOBJ"), 2) | {"TUPLE3": 3},
}


class _Machine:
    """The stack machine of the pickle module, cut down to what torch.save writes."""

    def __init__(self, storages: dict[str, Storage]) -> None:
        self.storages = storages
        self.makers = {**_MAKERS, "BINPERSID": self.storage}
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # the stacks below each MARK
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:
        taken = self.take(opcode)
        match opcode:
            case "PROTO" if argument > 5:
                raise ValueError(f"refused: pickle protocol {argument}; known: 2 to 5")
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                self.marked.append(self.stack)
                self.stack = []
            case "APPEND" | "APPENDS":
                if not isinstance(self.stack[-1], Inert):
                    _as(list, self.stack[-1]).extend(taken)
            case "SETITEM" | "SETITEMS":
                _with_items(self.stack[-1], taken)
            case "BUILD":
                _refuse_state(self.stack[-1], *taken)
            case "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case "GLOBAL":
                self.stack.append(_listed(*argument.split("\n")))
            case _ if opcode in self.makers:
                self.stack.append(self.makers[opcode](*taken))
            case _ if opcode in _LITERALS:
                self.stack.append(argument)
            case _:
                met = repr(argument.replace("\n", " ")[:80]) if isinstance(argument, str) else ""
                raise ValueError(f"refused: the pickle uses opcode {opcode} {met}".rstrip())

    def storage(self, identity: Any) -> Storage:
        found = _storage(identity)
        self.storages[found.key] = found
        return found

    def take(self, opcode: str) -> list[Any]:
        if opcode in ("TUPLE", "APPENDS", "SETITEMS"):  # all above the last MARK
            taken, self.stack = self.stack, self.marked.pop()
            return taken
        return [self.stack.pop() for _ in range(_TAKEN.get(opcode, 0))][::-1]
