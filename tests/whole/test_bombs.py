"""Small files that ask for much: each is read right or refused in a sentence, within bounds."""

import inspect
import json
import subprocess
import sys

import bombs
import pytest

SECONDS, MIB = 5, 300  # of the processor; above what the interpreter and the package take

# what reads a file or folder `path`
TENSORS = "for tensor in open_weights(path).tensors.values(): tensor.read('float32')"
MODEL = "BertForSequenceClassification.from_pretrained(path)"
TOKENIZER = "BertTokenizer.from_pretrained(path)"
TEXT = TOKENIZER + "({})"

#: The bombs, by what they are put into and what reads them.
NAMED = {"weights of safetensors": "model.safetensors", "weights of PyTorch": "pytorch_model.bin"}
TABLE = [
    *(
        ("recording", "read_recording(path / 'file')", make)
        for make in (
            *(bombs.npz_of_members, bombs.npz_of_names, bombs.npz_of_zeros),
            *(bombs.npz_of_half_zeros, bombs.npz_with_a_long_header),
            bombs.long_metadata_of_a_recording,
        )
    ),
    *(
        ("weights of safetensors", TENSORS, make)
        for make in (
            *(bombs.empty_tensors, bombs.safetensors_with_a_long_header, bombs.long_metadata),
        )
    ),
    *(
        ("weights of PyTorch", TENSORS, make)
        for make in (
            *(bombs.torch_of_names, bombs.deflated_storage, bombs.deflated_pickle),
            *(bombs.stride_of_0, bombs.halves_of_stride_0, bombs.long_byteorder),
            *(bombs.large_pickle, bombs.pickle_of_dicts, bombs.large_legacy_pickles),
            bombs.legacy_pickles_of_a_fifth,
        )
    ),
    *(
        ("folder", MODEL, make)
        for make in (
            *(bombs.long_config, bombs.a_million_labels, bombs.a_million_labels_by_number),
            *(bombs.vocab_size_of_a_billion, bombs.long_index),
        )
    ),
    *(
        ("folder", TOKENIZER, make)
        for make in (
            *(bombs.long_vocab, bombs.vocab_of_empty_lines, bombs.vocab_of_a_line),
            *(bombs.vocab_of_capitals, bombs.long_tokenizer, bombs.tokenizer_of_empty_lists),
            bombs.many_extra_tokens,
        )
    ),
    ("folder", TEXT.format("'xz' * 100_000"), bombs.added_tokens_with_a_common_beginning),
    ("folder", TEXT.format("'x' * 99_999"), bombs.long_added_token),
    ("folder", TEXT.format("'a' * 4999"), bombs.words_of_any_length),
    ("folder", TEXT.format("'a' * 50_000_000"), bombs.plain_tokenizer),
    ("folder", TEXT.format("'é' * 50_000_000"), bombs.plain_tokenizer),
    ("folder", TEXT.format("'é' * 4_000_000"), bombs.plain_tokenizer),
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
path, base, began, said = Path(sys.argv[1]), peak(), time.process_time(), ""
try:
    exec(sys.argv[2])
except (ValueError, OSError) as error:
    said = str(error)
print(json.dumps([time.process_time() - began, peak() - base, said]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("place", "read", "make"), TABLE, ids=[f"{m.__name__}-{i}" for i, (*_, m) in enumerate(TABLE)]
)
def test_a_bomb_is_read_or_refused_within_bounds(tmp_path, place, read, make):
    name = {"recording": "file", "folder": ""}.get(place) or NAMED.get(place, "")
    make(tmp_path / name if name else tmp_path)
    command = [sys.executable, "-c", READER, str(tmp_path), read]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    seconds, mib, said = json.loads(done.stdout)
    assert seconds < SECONDS, (mib, said)
    assert mib < MIB, (seconds, said)
    assert len(said) <= 1000
    assert said.isprintable()


def test_every_bomb_is_in_the_table():
    used = {make.__name__ for *_, make in TABLE}
    makers = {
        n
        for n, f in inspect.getmembers(bombs, inspect.isfunction)
        if [*inspect.signature(f).parameters] == ["path"]
    }
    assert makers <= used
