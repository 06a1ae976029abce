import builtins
import copyreg
import os
import pickle
import sys

import pytest

from minibert.checkpoint.pickles import Global, read_pickle
from minibert.checkpoint.torchfile import read_torch


def text(word):
    return b"X" + len(word).to_bytes(4, "little") + word.encode()


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def stack_name(module, attribute):
    return text(module) + text(attribute) + b"\x93"


RAN = text("ran")  # each payload makes a folder of this name
CODE = text("__import__('os').mkdir('ran')")
CALL = b"(" + RAN + b"tR"
TWO, FOUR = b"\x80\x02", b"\x80\x04"
DICT = name("collections", "OrderedDict")
EXTENSION = 0xF0

#: Programs that do harm when the pickle module runs them, and the word that refuses them.
HARMFUL = {
    "GLOBAL": (TWO + name("os", "mkdir") + CALL, "os.mkdir"),
    "STACK_GLOBAL": (FOUR + stack_name("os", "mkdir") + CALL, "os.mkdir"),
    "a dotted name": (FOUR + stack_name("os", "path.os.mkdir") + CALL, "os.path.os.mkdir"),
    "a split moved": (FOUR + stack_name("os.path", "os.mkdir") + CALL, "os.path.os.mkdir"),
    "eval": (TWO + name("builtins", "eval") + b"(" + CODE + b"tR", "builtins.eval"),
    "exec": (TWO + name("builtins", "exec") + b"(" + CODE + b"tR", "builtins.exec"),
    "eval of Python 2": (TWO + name("__builtin__", "eval") + b"(" + CODE + b"tR", "__builtin__"),
    "import alone": (TWO + name("trap", "x"), "trap.x"),
    "INST": (TWO + b"(" + RAN + b"ios\nmkdir\n", "INST 'os mkdir'"),
    "OBJ": (TWO + b"(" + name("os", "mkdir") + RAN + b"o", "os.mkdir"),
    "EXT1": (TWO + b"\x82\xf0" + CALL, "opcode EXT1"),
    "EXT2": (TWO + b"\x83\xf0\0" + CALL, "opcode EXT2"),
    "EXT4": (TWO + b"\x84\xf0\0\0\0" + CALL, "opcode EXT4"),
    "called for a value": (TWO + b"}" + text("w") + name("os", "mkdir") + CALL + b"s", "os.mkdir"),
    "called for a key": (TWO + b"}" + name("os", "mkdir") + CALL + b"Ns", "os.mkdir"),
    "called, then dropped": (TWO + b"}" + name("os", "mkdir") + CALL + b"0", "os.mkdir"),
    "called for a state": (TWO + DICT + b")R}" + RAN + name("os", "mkdir") + CALL + b"sb", "os.mk"),
    "set by BUILD": (
        TWO + name("trap", "Harm") + b")\x81}" + RAN + b"Nsb",
        "trap.Harm",
    ),
}


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """A folder to do harm in, with a module to import and a warm registry of extensions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "trap.py").write_text(
        "import os\nx = os.makedirs('ran', exist_ok=True)\n"
        "class Harm:\n    def __setstate__(self, state): os.makedirs('ran', exist_ok=True)\n"
    )
    copyreg.add_extension("os", "mkdir", EXTENSION)
    copyreg._extension_cache[EXTENSION] = os.mkdir
    yield tmp_path
    copyreg.remove_extension("os", "mkdir", EXTENSION)
    monkeypatch.delitem(sys.modules, "trap", raising=False)


def wrapped(make, where, program):
    """Put a program into a file of the zip or of the legacy form."""
    return {
        "zip": lambda: make.torch_zip(program, {}),
        "legacy": lambda: make.torch_legacy(program, {}),
    }[where]()


@pytest.mark.parametrize("harmful", HARMFUL.values(), ids=HARMFUL)
def test_the_payloads_would_do_harm(workshop, harmful):
    pickle.loads(harmful[0] + b".")
    assert (workshop / "ran").exists()


@pytest.mark.parametrize("harmful", HARMFUL.values(), ids=HARMFUL)
def test_a_harmful_pickle_is_refused_by_name_and_not_run(workshop, monkeypatch, harmful):
    program, word = harmful
    imported = []

    def read():
        with monkeypatch.context() as patch:
            patch.setattr(builtins, "__import__", lambda *names, **_: imported.append(names[0]))
            read_pickle(program + b".")

    with pytest.raises(ValueError, match=rf"refused: the pickle .*{word}"):
        read()
    assert imported == []
    assert not (workshop / "ran").exists()


@pytest.mark.parametrize("where", ["zip", "legacy"])
@pytest.mark.parametrize("harmful", HARMFUL.values(), ids=HARMFUL)
def test_a_harmful_pickle_in_a_file_is_refused_and_not_run(workshop, make, where, harmful):
    program, word = harmful
    path = workshop / "pytorch_model.bin"
    path.write_bytes(wrapped(make, where, program + b"."))
    with pytest.raises(ValueError, match=rf"pytorch_model.bin' .* refused: the pickle .*{word}"):
        read_torch(path)
    assert not (workshop / "ran").exists()


@pytest.mark.parametrize("position", range(5))
def test_every_pickle_of_a_legacy_file_is_interpreted(workshop, make, position):
    harmful = HARMFUL["GLOBAL"][0] + b"."
    parts = [make.torch_pickle(0x1950A86A20F9469CFC6C), make.torch_pickle(1001)]
    parts += [make.torch_pickle({"little_endian": True}), make.torch_pickle({})]
    parts += [make.torch_pickle([])]
    parts[position] = harmful
    path = workshop / "pytorch_model.bin"
    path.write_bytes(b"".join(parts))
    with pytest.raises(ValueError, match=r"names os\.mkdir"):
        read_torch(path)
    assert not (workshop / "ran").exists()


#: Module and attribute: near the closed list, or often let through by others.
UNLISTED = [
    ("os", "system"),
    ("posix", "system"),
    ("subprocess", "Popen"),
    ("builtins", "getattr"),
    ("functools", "partial"),
    ("operator", "attrgetter"),
    ("_codecs", "encode"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "ndarray"),
    ("torch", "load"),
    ("torch", "Tensor"),
    ("torch", "device"),
    ("torch.hub", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch.serialization", "_load"),
    ("torch._utils", "_rebuild_tensor_v4"),
    ("torch._utils", "_rebuild_wrapper_subclass"),
    ("torch", "float8"),
    ("torch.storage", "TypedStorage"),
    ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    ("torch", "FloatStorage.from_file"),
    ("torch", "_utils._rebuild_tensor_v2"),
    ("torch.FloatStorage", "__init__"),
    ("collections", "OrderedDict.__init__"),
    ("collections", "OrderedDict.fromkeys"),
    ("collections.OrderedDict", "fromkeys"),
    ("collections", "ordereddict"),
    ("collections ", "OrderedDict"),
    ("", "collections.OrderedDict"),
    ("coll\\x65ctions", "OrderedDict"),
    ("collections", "OrderedDict\\x2efromkeys"),
]


@pytest.mark.parametrize("write", [name, stack_name])
@pytest.mark.parametrize("unlisted", UNLISTED, ids=".".join)
def test_a_name_outside_the_list_is_refused(write, unlisted):
    module, attribute = unlisted
    with pytest.raises(ValueError, match="refused: the pickle names") as caught:
        read_pickle(FOUR + write(module, attribute) + b".")
    assert module in str(caught.value)
    assert attribute in str(caught.value)


def test_a_long_name_is_not_repeated_whole():
    with pytest.raises(ValueError, match=r"names os\.a{100}") as caught:
        read_pickle(FOUR + stack_name("os", "a" * 10**6) + b".")
    assert len(str(caught.value)) < 400


REBUILD = name("torch._utils", "_rebuild_tensor_v2")
#: Programs that keep to the listed names, and put them to another use.
MISUSED = {
    "NEWOBJ": (DICT + b")\x81.", "opcode NEWOBJ"),
    "NEWOBJ_EX": (DICT + b")}\x92.", "opcode NEWOBJ_EX"),
    "OBJ": (b"(" + DICT + b"o.", "opcode OBJ"),
    "INST": (b"(icollections\nOrderedDict\n.", "opcode INST 'collections OrderedDict'"),
    "PERSID": (b"Pstorage 0\n.", "opcode PERSID 'storage 0'"),
    "DUP": (b"}2.", "opcode DUP"),
    "an escape in text": (b"S'\\x41'\n.", "opcode STRING"),
    "a number in words": (b"L123L\n.", "opcode LONG"),
    "a huge number": (b"\x8b\0\0\1\0" + b"\1" * 65536 + b".", "opcode LONG4"),
    "a buffer": (b"\x97.", "opcode NEXT_BUFFER"),
    "a set": (b"\x8f.", "opcode EMPTY_SET"),
    "a later protocol": (b"\x80\x06}.", "protocol 6"),
    "a reduce on a reduce": (DICT + b")R)R.", "calls a dict"),
    "a reduce of a storage class": (name("torch", "FloatStorage") + b")R.", "torch.FloatStorage"),
    "a reduce of a text": (text("os.mkdir") + CALL + b".", "calls a str"),
    "nine arguments": (REBUILD + b"(" + b"N" * 9 + b"tR.", "_rebuild_tensor_v2 with 9 arguments"),
    "BUILD of an attribute": (DICT + b")R}" + text("x") + b"Nsb.", "BUILD on a dict"),
    "BUILD of two": (
        DICT + b")R}(" + text("_metadata") + b"N" + text("x") + b"Nub.",
        "BUILD on a dict",
    ),
    "BUILD of slots": (DICT + b")RN}" + text("_metadata") + b"}s\x86b.", "BUILD on a dict"),
    "BUILD on a list": (b"]}" + text("_metadata") + b"}sb.", "BUILD on a list"),
    "BUILD on a name": (DICT + b"}" + text("_metadata") + b"}sb.", "BUILD on a Global"),
}


@pytest.mark.parametrize("misused", MISUSED.values(), ids=MISUSED)
def test_a_listed_name_put_to_another_use_is_refused(misused):
    program, word = misused
    with pytest.raises(ValueError, match=rf"refused: .*{word}"):
        read_pickle(TWO + program)


FLOATS = Global("torch", "FloatStorage")
IDENTITIES = {
    "a text": ("storage", "str"),
    "a list": ([["storage"]], "list"),
    "four parts": (("storage", FLOATS, "0", "cpu"), "str, Global, str, str"),
    "seven parts": (("storage", FLOATS, "0", "cpu", 6, None, None), "int, None, None$"),
    "another word": (("module", FLOATS, "0", "cpu", 6), "str, Global, str, str, int"),
    "no storage": (("storage", Global("collections", "OrderedDict"), "0", "cpu", 6), "Global"),
    "a name in text": (("storage", "FloatStorage", "0", "cpu", 6), "str, str, str, str, int"),
    "a number for a key": (("storage", FLOATS, 0, "cpu", 6), "str, Global, int"),
    "a negative size": (("storage", FLOATS, "0", "cpu", -6), "str, Global, str, str, int"),
    "a fractional size": (("storage", FLOATS, "0", "cpu", 6.0), "float"),
    "truth for a size": (("storage", FLOATS, "0", "cpu", True), "bool"),
    "a view of a storage": (("storage", FLOATS, "0", "cpu", 6, ("1", 0, 6)), "int, tuple"),
}


@pytest.mark.parametrize("case", IDENTITIES.values(), ids=IDENTITIES)
def test_a_persistent_id_of_another_shape_is_refused(make, case):
    identity, types = case
    with pytest.raises(ValueError, match=f"persistent id of an unknown shape: .*{types}"):
        read_pickle(make.torch_pickle(identity)[:-1] + b"Q.")


# --- what is read


def test_the_metadata_of_a_state_dict_is_dropped():
    metadata = b"}" + text("_metadata") + DICT + b")Rsb"
    program = TWO + DICT + b")R(" + text("w") + b"K\5u" + metadata + b"."
    assert read_pickle(program)[0] == {"w": 5}
    assert vars(pickle.loads(program)) == {"_metadata": {}}


def test_the_pairs_of_python_2():
    program = TWO + DICT + b"](](U\1aK\5e](U\1bK\6ee\x85R."
    assert read_pickle(program)[0] == {"a": 5, "b": 6} == pickle.loads(program)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_are_those_of_the_pickle_module(protocol):
    value = {
        "a": [1, 300, -5, 2**40, 2.5],
        "b": (True, False, None),
        "c": ((), (1,), (1, 2)),
        7: "é",
    }
    data = pickle.dumps(value, protocol)
    assert read_pickle(data + b"more") == (value, len(data))


SPARSE = name("torch._utils", "_rebuild_sparse_tensor")
NEWER = name("torch._utils", "_rebuild_tensor_v3")
LAYOUT = b"X\1\0\0\0a"
ODD = {
    "a negative sparse shape": (
        SPARSE + b"(" + LAYOUT + b"(J\xff\xff\xff\xfft\x85tR.",
        "the shape",
    ),
    "a sparse shape of text": (SPARSE + b"(" + LAYOUT + b"(" + LAYOUT + b"t\x85tR.", "the shape"),
    "parts that are no tuple": (SPARSE + b"(" + LAYOUT + b"]tR.", "uses a list as a tuple"),
    "a layout that is no text": (SPARSE + b"(J\1\0\0\0)\x85tR.", "uses an int as a str"),
    "a type that is none": (NEWER + b"(NJ\0\0\0\0))NNNtR.", "broken: a call in it does not fit"),
    "a newer tensor without a type": (
        NEWER + b"(NJ\0\0\0\0))tR.",
        "broken: it uses a value",
    ),
    "a size that is a number": (name("torch", "Size") + b"J\1\0\0\0\x85R.", "int as a tuple"),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_tensor_that_is_no_weight_is_checked_too(odd):
    program, sentence = odd
    with pytest.raises(ValueError, match=sentence):
        read_pickle(b"\x80\2" + program)
