"""Small files that ask for much: each is read right or refused in a sentence, within bounds."""

import json
import re
import subprocess
import sys

import bombs
import pytest

SECONDS, MIB = 5, 300  # of the processor; above what the interpreter and the package take

#: What reads a file, by its name, and the folder that it is in.
TENSORS = "for tensor in open_weights(folder).tensors.values(): tensor.read('float32')"
RECORDING = "read_recording(folder / 'recording')"
MODEL = "BertForSequenceClassification.from_pretrained(folder)"
TOKENIZER = "BertTokenizer.from_pretrained(folder)"

LONG_HEADER, LONG_DIRECTORY = "its header has .* allowed", "the directory of the archive has"
NOT_STORED = "is compressed, which torch.save never does"
#: The bombs: where they lie, what reads them, and how they end (None: they are read).
TABLE = [
    ("recording", RECORDING, bombs.npz_of_members, f"neither as .npz .*{LONG_DIRECTORY}"),
    ("recording", RECORDING, bombs.npz_of_names, f"neither as .npz .*{LONG_DIRECTORY}"),
    ("recording", RECORDING, bombs.npz_of_zeros, "absurdly compressed"),
    ("recording", RECORDING, bombs.npz_of_half_zeros, "absurdly compressed"),
    ("recording", RECORDING, bombs.npz_with_a_long_header, "the header of 'a.npy' has"),
    ("recording", RECORDING, bombs.long_metadata, LONG_HEADER),
    ("model.safetensors", TENSORS, bombs.empty_tensors, LONG_HEADER),
    ("model.safetensors", TENSORS, bombs.safetensors_with_a_long_header, LONG_HEADER),
    ("model.safetensors", TENSORS, bombs.long_metadata, LONG_HEADER),
    ("pytorch_model.bin", TENSORS, bombs.torch_of_names, LONG_DIRECTORY),
    ("pytorch_model.bin", TENSORS, bombs.deflated_storage, NOT_STORED),
    ("pytorch_model.bin", TENSORS, bombs.deflated_pickle, NOT_STORED),
    ("pytorch_model.bin", TENSORS, bombs.stride_of_0, "allowed is 4 times as much"),
    ("pytorch_model.bin", TENSORS, bombs.halves_of_stride_0, "allowed is 4 times as much"),
    ("pytorch_model.bin", TENSORS, bombs.long_byteorder, "big-endian"),
    ("pytorch_model.bin", TENSORS, bombs.large_pickle, "its pickle is larger than"),
    ("pytorch_model.bin", TENSORS, bombs.pickle_of_dicts, "it holds a list"),
    ("pytorch_model.bin", TENSORS, bombs.large_legacy_pickles, "may have 1048576 bytes in all"),
    ("pytorch_model.bin", TENSORS, bombs.legacy_pickles_of_a_fifth, "its preamble is not"),
    (".", MODEL, bombs.long_config, "config.json' has .* allowed"),
    (".", MODEL, bombs.a_million_labels, "config.json' has .* allowed"),
    (".", MODEL, bombs.a_million_labels_by_number, None),
    (".", MODEL, bombs.vocab_size_of_a_billion, r"expected \(1000000000, 21\)"),
    (".", MODEL, bombs.long_index, "index.json' has .* bytes; allowed"),
    (".", TOKENIZER, bombs.largest_real_vocab, None),
    (".", TOKENIZER, bombs.long_vocab, "vocab.txt' has .* bytes; allowed"),
    (".", TOKENIZER, bombs.vocab_of_empty_lines, "about 20000004 entries; allowed"),
    (".", TOKENIZER, bombs.vocab_of_a_line, "vocab.txt' has .* bytes; allowed"),
    (".", TOKENIZER, bombs.vocab_of_capitals, None),
    (".", TOKENIZER, bombs.long_tokenizer, "tokenizer.json' has .* bytes; allowed"),
    (".", TOKENIZER, bombs.tokenizer_of_empty_lists, "tokenizer.json' has .*; allowed"),
    (".", TOKENIZER, bombs.many_extra_tokens, None),
    (".", f"{TOKENIZER}('xz' * 99_999)", bombs.added_tokens_with_a_common_beginning, None),
    (".", f"{TOKENIZER}('x' * 99_999)", bombs.long_added_token, "has 100000 characters; allowed"),
    (".", f"{TOKENIZER}('a' * 4999)", bombs.words_of_any_length, "allowed: up to 500"),
    (".", f"{TOKENIZER}('a' * 50_000_000)", bombs.plain_tokenizer, "Split it into several texts"),
    (".", f"{TOKENIZER}('é' * 8_000_000)", bombs.plain_tokenizer, None),
]

READER = """
import json, resource, sys, time, warnings
from pathlib import Path
from minibert import BertForSequenceClassification, BertTokenizer
from minibert.checkpoint import safetensors, torchfile
from minibert.checkpoint.load import open_weights
from minibert.verification.recordings import read_recording

def peak():  # ru_maxrss would count the parent's
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (10, 12))
folder, base, began, said = Path(sys.argv[1]), peak(), time.process_time(), ""
try:
    exec(sys.argv[2])
except (ValueError, OSError) as error:
    said = str(error)
print(json.dumps([time.process_time() - began, peak() - base, said]))
"""
NAMES = [f"{place}-{make.__name__}" for place, _, make, _ in TABLE]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(("place", "read", "make", "says"), TABLE, ids=NAMES)
def test_a_bomb_is_read_or_refused_within_bounds(tmp_path, place, read, make, says):
    make(tmp_path / place)
    command = [sys.executable, "-c", READER, str(tmp_path), read]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    seconds, mib, said = json.loads(done.stdout)
    assert (seconds < SECONDS, mib < MIB) == (True, True), (seconds, mib, said)
    assert re.search(says or "^$", said), said
    assert len(said) <= 1000
    assert said.isprintable()
