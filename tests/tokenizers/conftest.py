import gzip
import json
from pathlib import Path

import pytest

from minibert.tokenizers import BertTokenizer

RECORDED = Path(__file__).parents[1] / "data" / "tokenizer.json.gz"


@pytest.fixture(scope="session")
def said():
    """What the tokenizers library and transformers said (tests/tools/record_tokenizer.py)."""
    return json.loads(gzip.decompress(RECORDED.read_bytes()))


@pytest.fixture(scope="session")
def vocab(said):
    return {token: number for number, token in enumerate(said["vocab"])}


@pytest.fixture
def tokenizer(vocab):
    return BertTokenizer(vocab, model_max_length=12)


@pytest.fixture
def small():
    """Return a tokenizer of few words."""
    text = "[PAD] [UNK] [CLS] [SEP] [MASK] a man plays paris is una ##ffa ##ble . b c x"
    return BertTokenizer({word: number for number, word in enumerate(text.split())})


@pytest.fixture
def folder(tokenizer, tmp_path):
    """Return a folder with the three files."""
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def change(folder):
    """Return what sets a value deep inside the folder's tokenizer.json."""
    path = folder / "tokenizer.json"

    def set_value(*place, value):
        file = json.loads(path.read_text("utf-8"))
        inner = file
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = value
        path.write_text(json.dumps(file), "utf-8")

    return set_value
