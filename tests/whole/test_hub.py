"""Every class opens a Hub id: config, model, tokenizer, the Auto classes and the tasks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hub_client as hub

from minibert import EMBEDDED_CHECKPOINT

ROOT = Path(__file__).parents[2]
running, server, repository = hub.running, hub.server, hub.repository  # fixtures

NAMES = ("config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "tokenizer_config.json")
SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from minibert import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer
from minibert import BertConfig, BertModel, BertTokenizer
from minibert.tasks import fill_mask
hub = {"revision": sys.argv[2], "token": False}
kinds = [
    AutoConfig.from_pretrained("lab/bert", num_hidden_layers=1, **hub),
    AutoModel.from_pretrained("lab/bert", "float64", num_hidden_layers=1, **hub),
    AutoModelForMaskedLM.from_pretrained("lab/bert", **hub),
    AutoTokenizer.from_pretrained("lab/bert", **hub),
    BertConfig.from_pretrained("lab/bert", **hub),
    BertModel.from_pretrained("lab/bert", **hub),
    BertTokenizer.from_pretrained("lab/bert", **hub),
]
word = fill_mask("the capital of france is [MASK] .", model="lab/bert")[0]["token_str"]
shown = [type(kind).__name__ for kind in kinds]
print(json.dumps([shown, kinds[0].num_hidden_layers, len(kinds[1].layers), word]))
"""


def run(home, revision, **environment):
    """Run the script in a process whose Hub and cache are the test's own."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT), revision],
        env={**kept, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_class_opens_a_hub_id_and_then_needs_no_network(server, repository, tmp_path):
    files = {name: (EMBEDDED_CHECKPOINT / name).read_bytes() for name in NAMES}
    commit = repository.commit(files)
    expected = [
        [
            *("BertConfig", "BertModel", "BertForMaskedLM", "BertTokenizer"),
            *("BertConfig", "BertModel", "BertTokenizer"),
        ],
        1,
        1,
        "paris",
    ]
    assert run(tmp_path, "main", HF_ENDPOINT=server.url) == expected
    asked = [request for request in server.requests() if " /api/" not in request]
    got = [request for request in asked if request.startswith("GET")]
    assert len(got) == len(NAMES)  # each file once
    assert run(tmp_path, "main", HF_HUB_OFFLINE="1", HF_ENDPOINT=hub.NOBODY) == expected
    assert run(tmp_path, commit, HF_HUB_OFFLINE="1", HF_ENDPOINT=hub.NOBODY) == expected
    assert server.requests() == []
