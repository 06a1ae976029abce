"""Broken pickles, and pickles whose work grows faster than their length."""

import pytest

from minibert.checkpoint.pickles import Storage, View, read_pickle
from minibert.checkpoint.torchfile import read_torch

TWO = b"\x80\x02"
DICT = b"ccollections\nOrderedDict\n"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def text(word):
    return b"X" + len(word).to_bytes(4, "little") + word.encode()


BROKEN = {
    "empty": (b"", "cut short"),
    "no opcode": (b"v", "b'v' is no opcode"),
    "no STOP": (b"}", "cut short"),
    "nothing left": (b".", "leaves 0 values"),
    "two left": (b"}}.", "leaves 2 values"),
    "no mark": (b"}t.", "broken: it uses a value that is not there$"),
    "an empty stack": (b"R.", "broken: it uses a value that is not there$"),
    "an unknown memo": (b"h\5.", "broken: it uses a value that is not there$"),
    "a list for a key": (b"}]Ns.", "a key of a dict is a list"),
    "a tuple for a key": (b"})Ns.", "a key of a dict is a tuple"),
    "a number too large for a key": (
        b"}\x8a\x08" + b"\x7f" * 8 + b"Ns.",
        "a key of a dict is an int",
    ),
    "a key without a value": (b"}(" + text("a") + b"u.", "a key of a dict has no value"),
    "an item set in a list": (b"]" + text("a") + b"Ns.", "uses a list as a dict"),
    "an item appended to a dict": (b"}Na.", "uses a dict as a list"),
    "a name of a number": (b"K\1K\1\x93.", "uses an int as a str"),
    "arguments that are no tuple": (DICT + b"]R.", "uses a list as a tuple"),
    "a tensor without arguments": (
        REBUILD + b")R.",
        "broken: a call in it does not fit$",
    ),
    "pairs of three": (DICT + b"]((NNNte\x85R.", "too many values"),
    "a name cut short": (b"cos\nsyst", "cut short"),
    "a module cut short": (b"cos", "cut short"),
    "a text cut short": (b"X\x09\0\0\0abc", "expected 9 bytes"),
    "a text that is no UTF-8": (b"X\x01\0\0\0\xff.", "broken: a text in it is not UTF-8$"),
    "a text of impossible length": (b"\x8d" + b"\xff" * 8 + b".", "byte count > sys.maxsize"),
}


@pytest.mark.parametrize(("program", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_pickle_is_a_value_error(program, words):
    with pytest.raises(ValueError, match=words):
        read_pickle(program)


def test_a_pickle_cut_short_anywhere(make):
    whole = make.torch_pickle({"w": View(Storage("F32", "0", 6), 0, (2, 3), (3, 1))})
    for length in range(len(whole)):
        with pytest.raises(ValueError, match=r"."):
            read_pickle(whole[:length])


# --- programs whose work grows faster than their length

LAUGHS = b")" + b"q\0h\0\x86" * 200  # a tuple that holds itself twice, 200 times over
PAIRS = b"]q\1" + text("k") + b"N\x86q\2" + b"(" + b"h\2" * 30_000 + b"e"
GROWING = {
    "as a key": b"}" + LAUGHS + b"Ns.",
    "as a value": b"}" + text("w") + LAUGHS + b"s.",
    "as a persistent id": LAUGHS + b"Q.",
    "as what is called": LAUGHS + b")R.",
    "as arguments": REBUILD + LAUGHS + b"R.",
    "as a shape": REBUILD + b"(NN" + LAUGHS + b"h\0tR.",
    "as pairs": DICT + LAUGHS + b"\x85R.",
    "as a name": LAUGHS + text("x") + b"\x93.",
    "as a state": DICT + b")R" + LAUGHS + b"b.",
    "as the whole": LAUGHS + b".",
    "a long list of pairs, ever again": PAIRS.replace(b"N\x86q\2(", b"N\x86q\2a(")
    + DICT
    + b"q\3"
    + b"h\3h\1\x85R" * 30_000
    + b".",
    "a long shape, ever again": b"(" + b"K\1" * 10**5 + b"tq\1" + REBUILD + b"q\2"
    b"(NNh\1h\1tq\3" + b"h\2h\3R" * 10**5 + b".",
    "many arguments, ever again": b"(" + b"N" * 10**5 + b"tq\1"
    + b"ctorch._utils\n_rebuild_parameter\n" + b"q\2" + b"h\2h\1R" * 10**5 + b".",
    "numbers of one hash": b"}("
    + b"".join(
        b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") + b"N" for i in range(1, 30_000)
    )
    + b"u.",
}  # fmt: skip


@pytest.mark.parametrize("where", ["zip", "legacy"])
@pytest.mark.parametrize("program", GROWING.values(), ids=GROWING)
def test_a_growing_program_is_refused_in_time(tmp_path, make, where, program):
    path = tmp_path / "pytorch_model.bin"
    build = make.torch_zip if where == "zip" else make.torch_legacy
    path.write_bytes(build(TWO + program, {}))
    with make.deadline(5), pytest.raises(ValueError, match=r"pytorch_model.bin'") as caught:
        read_torch(path)
    assert len(str(caught.value)) < 500
