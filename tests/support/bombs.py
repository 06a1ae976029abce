"""Small files that ask for much: each function fills a folder, or the file of a recording."""

import json
import shutil
import struct
import zipfile

import numpy as np
from wide import WIDE

MANY, LARGE = 10**6, 60 * 2**20
ZEROS = bytes(2**20)


# Archives


def zip_of_names(path, count, ending=".npy"):
    """Write an archive with so many members, all of them empty, by its directory alone."""
    entry = struct.Struct("<4s4B4HL2L5H2L")
    rest = (20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0)
    names = (b"%08d" % i + ending.encode() for i in range(count))
    directory = b"".join(entry.pack(b"PK\x01\x02", *rest) + name for name in names)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, len(directory), 34, 0)
    path.write_bytes(b"PK\x03\x04" + bytes(30) + directory + end)


def archive(path, members, how=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", how, compresslevel=1) as file:
        for name, parts in members.items():
            with file.open(name, "w") as member:
                for part in parts:
                    member.write(part)


def npy(shape, dtype="<f4", padding=0):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    text = header.encode() + b" " * padding + b"\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text


def npz_of_members(path):
    with zipfile.ZipFile(path, "w") as file:
        for i in range(60_000):
            file.writestr(f"{i}.npy", b"")


def npz_of_zeros(path, dtype="<f4", mib=400):
    start = npy((mib * 2**20 // np.dtype(dtype).itemsize,), dtype)
    archive(path, {"a.npy": [start, *[ZEROS] * mib]}, zipfile.ZIP_DEFLATED)


def npz_of_half_zeros(path):
    npz_of_zeros(path, "<f2", 200)


def npz_with_a_long_header(path):
    archive(path, {"a.npy": [npy((1,), padding=LARGE)]})


def npz_of_names(path):
    zip_of_names(path, 500_000)


# Safetensors


def safetensors(path, header, size=0):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))


def empty_tensors(path):
    entry = b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    safetensors(path, b"{" + b",".join(entry % i for i in range(MANY)) + b"}")


def safetensors_with_a_long_header(path):
    safetensors(path, b"{}".ljust(LARGE))


def long_metadata(path):
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    safetensors(path, {"__metadata__": {"a": "x" * LARGE}, "a": entry})


# PyTorch


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"J" + struct.pack("<i", value)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(size, shape, strides, key="0", kind="Float"):
    storage = b"(" + text("storage") + f"ctorch\n{kind}Storage\n".encode() + text(key)
    storage += text("cpu") + number(size) + b"tQ"
    view = storage + number(0) + numbers(shape) + numbers(strides) + b"\x89ccollections\n"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + view + b"OrderedDict\n)RtR"


def state(tensors):
    return b"\x80\x02}(" + b"".join(text(k) + v for k, v in tensors.items()) + b"u."


def torch_zip(path, pickle, storages=(), how=zipfile.ZIP_STORED, byteorder=()):
    members = {"a/data.pkl": [pickle]} | {f"a/data/{k}": v for k, v in dict(storages).items()}
    archive(path, members | ({"a/byteorder": byteorder} if byteorder else {}), how)


def torch_of_names(path):
    zip_of_names(path, 500_000, "/data/1")


def deflated_storage(path):
    pickle = state({"a": tensor(2**27, (2**27,), (1,))})
    torch_zip(path, pickle, {"0": [ZEROS] * 512}, zipfile.ZIP_DEFLATED)


def deflated_pickle(path):
    torch_zip(path, b"\x80\x02](" + b"N" * 2**28 + b"e.", how=zipfile.ZIP_DEFLATED)


def stride_of_0(path):
    pickle = state({f"{i}": tensor(2**20, (2**20, 60), (1, 0)) for i in range(4)})
    torch_zip(path, pickle, {"0": [ZEROS] * 4})


def halves_of_stride_0(path):
    pickle = state({"a": tensor(LARGE // 2, (LARGE // 2, 60), (1, 0), kind="Half")})
    torch_zip(path, pickle, {"0": [ZEROS] * 60})


def long_byteorder(path):
    pickle = state({"a": tensor(1, (1,), (1,))})
    torch_zip(path, pickle, {"0": [bytes(4)]}, byteorder=[b"little" * 10 * 2**20])


def large_pickle(path):
    torch_zip(path, b"\x80\x02](" + b"N" * (4 * 2**20 - 8) + b"e.")


def pickle_of_dicts(path):
    torch_zip(path, b"\x80\x02](" + b"}" * (2**20 - 8) + b"e.")


def large_legacy_pickles(path):
    """Five as the old form has them: its magic number, and four of four megabytes."""
    magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
    path.write_bytes(magic + (b"\x80\x02](" + b"N" * (4 * 2**20 - 8) + b"e.") * 4)


def legacy_pickles_of_a_fifth(path):
    """The same, and all five together are as long as one may be."""
    magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
    path.write_bytes(magic + (b"\x80\x02](" + b"}" * (2**18 - 20) + b"e.") * 4)


# Configs, vocabularies, tokenizers


def config(path, **changes):
    values = json.loads((WIDE / "config.json").read_text()) | changes
    (path / "config.json").write_text(json.dumps(values))
    shutil.copy(WIDE / "model.safetensors", path)


def long_config(path):
    config(path, other=[{}] * (LARGE // 4))


def a_million_labels(path):
    config(path, id2label={i: f"L{i}" for i in range(MANY)})


def a_million_labels_by_number(path):
    config(path, num_labels=MANY)


def vocab_size_of_a_billion(path):
    config(path, vocab_size=10**9)


def long_index(path):
    config(path)
    (path / "model.safetensors").unlink()
    shards = {f"tensor{i}": "a" for i in range(MANY)}
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def vocab(path, tokens):
    (path / "vocab.txt").write_text("\n".join([*SPECIAL, *tokens]))


def largest_real_vocab(path):
    """As many tokens as LaBSE has, the model with the most of them."""
    vocab(path, map(str, range(501_148)))


def long_vocab(path):
    vocab(path, map(str, range(8 * MANY)))


def vocab_of_empty_lines(path):
    vocab(path, [""] * 20 * MANY)


def vocab_of_a_line(path):
    vocab(path, ["a" * LARGE])


def vocab_of_capitals(path):
    vocab(path, ["".join(chr(65 + int(c)) for c in str(i)) for i in range(50_000)])


def tokenizer(path, vocabulary=(), added=(), **model):
    ids = {token: i for i, token in enumerate([*SPECIAL, *vocabulary])}
    model = {"type": "WordPiece", "vocab": ids, **model}
    processor, entries = {"type": "BertProcessing"}, [*enumerate(added, len(ids))]
    added = [{"id": i, "content": token, "special": True} for i, token in entries]
    file = {"model": model, "added_tokens": added, "post_processor": processor}
    file["pre_tokenizer"] = {"type": "BertPreTokenizer"}
    (path / "tokenizer.json").write_text(json.dumps(file))


def long_tokenizer(path):
    tokenizer(path)
    with (path / "tokenizer.json").open("ab") as file:
        file.write(b" " * LARGE)


def tokenizer_of_empty_lists(path):
    (path / "tokenizer.json").write_text('{"added_tokens":[' + "[]," * (20 * MANY) + "[]]}")


def added_tokens_with_a_common_beginning(path):
    tokenizer(path, added=["xy" + "a" * i for i in range(250)])


def long_added_token(path):
    tokenizer(path, added=["x" * 100_000])


def many_extra_tokens(path):
    vocab(path, map(str, range(30_000)))
    tokens = [f"<{i}>" for i in range(20_000)]
    (path / "tokenizer_config.json").write_text(json.dumps({"extra_special_tokens": tokens}))


def words_of_any_length(path):
    """By a class of transformers for which the setting in tokenizer.json counts."""
    tokenizer(path, ["a", "##a", "b" * 5000], max_input_chars_per_word=10**9)
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (path / "tokenizer_config.json").write_text(json.dumps(config))


def plain_tokenizer(path):
    tokenizer(path, ["a", "##a"])
