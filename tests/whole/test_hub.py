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


COMMANDS = """
import sys
sys.path.insert(0, sys.argv[1])
from minibert.cli import main
more = sys.argv[2:]
reference = sys.argv[1] + "/minibert/data/toy/reference.safetensors"
two = ("the ball is red .", "it is on the table .")
statuses = [
    main(["verify", "lab/bert", "--reference", reference, "--html", "page.html", *more]),
    main(["compare", reference, reference, "--model", "lab/bert", *more]),
    main(["inspect", "lab/bert", *more]),
    main(["record", "lab/bert", "-o", "made.safetensors", *more]),
    main(["fill-mask", "the ball is [MASK] .", "--model", "lab/bert", *more]),
    main(["next-sentence", *two, "--model", "lab/bert", *more]),
    main(["classify", "a text", "--model", "lab/bert", *more]),
    main(["tag", "a text", "--model", "lab/bert", *more]),
    main(["answer", "who ?", "a text", "--model", "lab/bert", *more]),
    main(["embed", reference.replace("reference.safetensors", "config.json"), "-o", "made.npy",
          "--model", "lab/bert", *more]),
]
print("\\n" + " ".join(map(str, statuses)), file=sys.stderr)
"""

GENERATION = """
import json, sys
sys.path.insert(0, sys.argv[1])
from minibert import AutoModelForCausalLM, GenerationConfig, GPT2LMHeadModel
kinds = AutoModelForCausalLM, GPT2LMHeadModel
found = [kind.from_pretrained("lab/bert").generation_config for kind in kinds]
found.append(GenerationConfig.from_pretrained("lab/bert"))
print(json.dumps([config.num_beams for config in found]))
"""


def run(home, *arguments, script=SCRIPT, **environment):
    """Run a script in a process whose Hub and cache are the test's own."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()
    }
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT), *arguments],
        cwd=home,
        env={**kept, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr if script is COMMANDS else json.loads(done.stdout)


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


def test_every_command_takes_what_from_pretrained_takes_of_a_hub_id(server, repository, tmp_path):
    files = {name: (EMBEDDED_CHECKPOINT / name).read_bytes() for name in NAMES}
    commit = repository.commit(files)
    repository.commit({"config.json": b"{}"})  # what main is now, nobody can read

    def commands(*more, **environment):
        said = run(tmp_path, *more, script=COMMANDS, **environment).splitlines()
        return said[-1], said

    # three tasks need heads that this checkpoint lacks
    expected = "0 0 0 0 0 0 2 2 2 0"
    there = "--revision", commit, "--cache-dir", str(tmp_path / "kept")
    statuses, said = commands(*there, HF_ENDPOINT=server.url)
    assert statuses == expected
    assert len([line for line in said if "no such head" in line]) == 3
    assert len([x for x in server.requests() if x.startswith("GET") and "/api/" not in x]) == 5
    assert (tmp_path / "kept" / "models--lab--bert").is_dir()
    assert commands(*there, "--local-files-only", HF_ENDPOINT=hub.NOBODY)[0] == expected
    assert "[CLS]" in (tmp_path / "page.html").read_text()
    assert server.requests() == []
    assert commands("--local-files-only", HF_ENDPOINT=hub.NOBODY)[0] == " ".join("2" * 10)


def test_how_texts_are_generated_comes_along(server, repository, tmp_path):
    folder = ROOT / "tests" / "data" / "gpt2"
    files = {name: (folder / name).read_bytes() for name in ("config.json", "model.safetensors")}
    repository.commit({**files, "generation_config.json": b'{"num_beams": 3}'})
    for more in ({"HF_ENDPOINT": server.url}, {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": hub.NOBODY}):
        assert run(tmp_path, script=GENERATION, **more) == [3, 3, 3]
