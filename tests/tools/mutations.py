"""Contents of files made wrong: values of JSON, bytes, lines, opcodes, headers, archives.

Each takes what is drawn from and a content, and returns another content.
"""

import io
import json
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Mutate = Callable[[Random, bytes], bytes]

TWICE, HUGE = "@twice", "@huge"  # what json.dumps does not write is put in their place
DEEP = json.loads("[" * 80 + "]" * 80)
NUMBERS = (0, 1, -1, 2, 7, 2**31, 10**18, 10**25, HUGE, 0.5, 1e300, float("nan"), float("inf"))
TEXTS = ("", " ", "x", "A", "the", "x y", "##", "##a", "[CLS]", "[NEW]", "İ", "\u0301", "\u3000")
TEXTS += ("\ud800", "\x1b[31m", "\u202e", "\0", "../x", "é" * 3000)
LISTS = ([], {}, [None], ["[CLS]"], [[]], [{}], [1, "a"], {"content": "[CLS]"}, {"a": {}}, DEEP)
VALUES = (None, True, False, *NUMBERS, *TEXTS, *LISTS)
NAMES = ("bert", "roberta", "module", "input_ids", "last_hidden_state", "hidden_states.0", "stage")
KEYS = (*TEXTS, *NAMES, "id", "content", "type", "7", "-1", "x_token", "__init__", "check")
BYTES = [bytes([byte]) for byte in b'\0\xff\n\r"{}[]:,#-79 eN.']
BYTES += [
    text.encode() for text in ("[CLS]\n", "##x\n", "PK\3\4", "9" * 20, *"İ\x85\u2028\x1c\u0301")
]
#: Types of numbers in safetensors files, and their bytes.
WIDTHS = {"F64": 8, "I64": 8, "C64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "U8": 1}
WIDTHS |= {"F8_E5M2": 1}


def json_values(draw: Random, content: bytes) -> bytes:
    """Replace, swap, move, remove, rename, double and add values of a JSON document."""
    holder = [json.loads(content)]
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        places = list(_places(holder))
        (values, at), (others, other) = draw.choice(places), draw.choice(places)
        what, new = draw.randrange(12), draw.choice(VALUES)
        alike = [value for value in (*VALUES, others[other]) if type(value) is type(values[at])]
        if what < 7:
            values[at] = _copy(draw.choice(alike or VALUES) if what < 4 else new)
        elif what == 7:
            values[at], others[other] = _copy(others[other]), _copy(values[at])
        elif values is holder:
            continue
        elif what == 8:
            del values[at]
        elif isinstance(values, list):
            values.insert(at, _copy(draw.choice((values[at], others[other], new))))
        else:
            key = draw.choice((*KEYS, str(other), f"{at}{TWICE}"))
            values[key] = values.pop(at) if what == 9 else _copy(draw.choice((new, others[other])))
    text = json.dumps(holder[0])
    return text.replace(TWICE, "").replace(f'"{HUGE}"', "1" + "0" * 5000).encode()


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _places(values: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each list or object with each of its indices or keys, from the outermost on."""
    pending = [values]
    for one in pending:
        items = list(one.items() if isinstance(one, dict) else enumerate(one))
        yield from ((one, at) for at, _ in items)
        pending += [value for _, value in items if isinstance(value, dict | list)]


def some_bytes(draw: Random, content: bytes, end: int | None = None) -> bytes:
    """Overwrite, cut, insert and repeat bytes, those before an end."""
    for _ in range(draw.choice((1, 1, 2, 8))):
        at, until = sorted(draw.randrange(len(content[:end]) + 1) for _ in "ab")
        drawn = draw.randbytes(draw.choice((1, 1, 2, 8)))
        new = draw.choice((b"", *BYTES, drawn, drawn, drawn, content[at:until][:300]))
        past = draw.choice((at, at + len(new), at + len(new), at + 1, at + 8, until))
        content = content[:at] + new + content[past:]
    return content if draw.random() < 0.9 else content[: draw.randrange(len(content) + 1)]


def in_pieces(split: Callable[[bytes], list[bytes]]) -> Mutate:
    """Remove, double, replace and mutate the pieces of a content."""

    def mutate(draw: Random, content: bytes) -> bytes:
        pieces = split(content)
        for _ in range(draw.choice((1, 1, 2, 3))):
            at, other = draw.randrange(len(pieces)), draw.choice(pieces)
            piece = pieces[at]
            pieces[at] = draw.choice((b"", piece + other, other, some_bytes(draw, piece, 20)))
        return b"".join(pieces)

    return mutate


def lines(content: bytes) -> list[bytes]:
    """Return the lines of a text."""
    return content.splitlines(keepends=True)


def opcodes(content: bytes) -> list[bytes]:
    """Return the opcodes of the pickles that a content begins with; the last has what follows."""
    stream, starts = io.BytesIO(content), list[int]()
    try:
        while True:
            starts += [at for _, _, at in pickletools.genops(stream) if at is not None]
    except ValueError:  # no pickle any more
        ends = [*starts[1:], len(content)]
    return [content[start:end] for start, end in zip(starts, ends, strict=True)]


def in_header(mutate: Mutate) -> Mutate:
    """Mutate the header of a safetensors file, and say its length."""

    def changed(draw: Random, content: bytes) -> bytes:
        end = 8 + int.from_bytes(content[:8], "little")
        header = mutate(draw, content[8:end])
        return len(header).to_bytes(8, "little") + header + content[end:]

    return changed


def fitting(draw: Random, content: bytes) -> bytes:
    """Change names, shapes and types in such a header; the numbers stay as many bytes."""
    header, key = json.loads(content), draw.choice(KEYS)
    if draw.random() < 0.1:
        header = {f"{key}.{name}": entry for name, entry in header.items()}
    for name in draw.sample([*header], k=draw.choice((1, 1, 2))):
        entry, kind = header[name], draw.choice([*WIDTHS])
        if not (shape := entry.get("shape")) or draw.random() < 0.4:
            header[draw.choice((key, f"{key}.{name}", name[2:]))] = header.pop(name)
        elif (size := shape[-1] * WIDTHS[entry["dtype"]]) % WIDTHS[kind] == 0:
            entry |= {"dtype": kind, "shape": [*shape[:-1], size // WIDTHS[kind]]}
        else:
            entry["shape"] = draw.choice((shape[::-1], [1, *shape], [*shape, *[1] * 40]))
    return json.dumps(header).encode()


def in_member(mutate: Mutate, name: str = "") -> Mutate:
    """Mutate a member of a zip archive, any or one whose name ends so, and pack it anew."""

    def changed(draw: Random, content: bytes) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
            members = {member.filename: old.read(member) for member in old.infolist()}
            chosen = draw.choice([member for member in members if member.endswith(name)])
            members[chosen] = mutate(draw, members[chosen])
            for member, inside in members.items():
                new.writestr(zipfile.ZipInfo(member), inside)
        return stream.getvalue()

    return changed
