"""Which requests are made and what comes of them; what of the cache is used, and when."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import hub_client as hub
import pytest
from hub_server import Fault, Repository
from wide import WIDE

from minibert import BertConfig, BertModel
from minibert.checkpoint.hub import find_folder, local_folder
from minibert.checkpoint.layout import FORMS
from minibert.checkpoint.load import open_weights

running, server, repository = hub.running, hub.server, hub.repository  # fixtures
cache, ask, get, filled = hub.cache, hub.ask, hub.get, hub.filled
CONFIG, WEIGHTS, FILES, NEWER, MAIN = hub.CONFIG, hub.WEIGHTS, hub.FILES, hub.NEWER, hub.MAIN
contents = hub.contents
# how the client learns the files of a commit: today's, and that before 2.0
LISTING = "GET /api/models/lab/bert/(tree|revision)/[0-9a-f]{40}"


# --- with the Hub there and well


def test_the_first_call_downloads_what_is_wanted_and_nothing_else(server, repository, get):
    others = {"vocab.txt": b"[PAD]", "pytorch_model.bin": b"", "README.md": b"", "run.py": b""}
    commit = repository.commit(FILES | others)
    folder = get("lab/bert", "config", "weights")
    requests = server.requests()
    assert requests[0] == MAIN
    assert [line for line in requests if "GET /lab" in line or line == "GET /COMMIT"]
    assert not [line for line in requests if "vocab" in line or ".bin" in line]
    assert folder.name == commit
    assert contents(folder) == FILES


def test_what_was_downloaded_is_read_as_a_folder_through_its_links(repository, get):
    repository.commit(FILES)
    folder = get("lab/bert")
    assert sys.platform == "win32" or (folder / WEIGHTS).is_symlink()
    assert BertConfig.from_pretrained(folder) == BertConfig.from_pretrained(WIDE)
    report = BertModel.from_pretrained(folder).loading_report
    assert report.sha256() == hashlib.sha256(FILES[WEIGHTS]).hexdigest()


def test_the_second_call_makes_one_request(server, repository, get):
    wants = ("config", "weights", "tokenizer", "sentence")
    commit = repository.commit(FILES | {"vocab.txt": b"[PAD]", "tokenizer_config.json": b"{}"})
    folder = get("lab/bert", *wants)
    server.requests()
    assert get("lab/bert", *wants) == folder
    assert server.requests() == [MAIN]
    assert get("lab/bert", *wants, revision=commit) == folder
    assert server.requests() == ["GET /api/models/lab/bert/revision/COMMIT"]


def test_what_is_there_already_is_not_downloaded_with_the_rest(server, repository, get):
    repository.commit(FILES)
    get("lab/bert", "config")
    server.requests()
    get("lab/bert", "config", "weights")
    assert "config.json" not in "".join(server.requests())


def test_a_branch_that_moved_is_followed_and_the_old_commit_stays(server, repository, get):
    old = repository.commit(FILES)
    get("lab/bert")
    new = repository.commit(NEWER)
    assert contents(get("lab/bert")) == NEWER
    assert get("lab/bert", local_files_only=True).name == new
    assert contents(get("lab/bert", revision=old)) == FILES


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/1", "a-branch"])
def test_a_revision_is_a_branch_or_a_tag(server, repository, get, revision):
    pinned = repository.commit(FILES, revision)
    repository.commit(NEWER)
    assert get("lab/bert", revision=revision).name == pinned
    server.requests()
    assert get("lab/bert", revision=revision, local_files_only=True).name == pinned
    assert server.requests() == []


@pytest.mark.parametrize("request_", [MAIN, LISTING, "HEAD .*config.json", "GET .*config.json"])
def test_all_files_are_of_one_commit_whenever_the_branch_moves(server, repository, get, request_):
    old = repository.commit(FILES)
    server.faults.append(Fault(request_, times=1, after=lambda: repository.commit(NEWER)))
    folder = get("lab/bert")
    assert (folder.name, contents(folder)) == (old, FILES)
    assert contents(get("lab/bert")) == NEWER


@pytest.mark.parametrize("first", range(len(FORMS)))
def test_one_form_of_the_weights_is_downloaded(server, repository, get, first):
    content = dict.fromkeys(FORMS[first:], b"x")
    for form in FORMS[1::2]:
        if form in content:
            index = {"weight_map": {"w": f"{form[:5]}-1.bin", "v": f"{form[:5]}-2.bin"}}
            content[form] = json.dumps(index).encode()
            content |= {f"{form[:5]}-{i}.bin": bytes([i]) for i in (1, 2, 3)}
    repository.commit(content)
    name = FORMS[first]
    shards = [f"{name[:5]}-1.bin", f"{name[:5]}-2.bin"] if name.endswith(".json") else []
    assert set(contents(get("lab/bert", "weights"))) == {name, *shards}
    server.requests()
    get("lab/bert", "weights")
    assert server.requests() == [MAIN]


def test_shards_are_read_as_a_folder(repository, get, make, arrays, tmp_path):
    make.write_weights(tmp_path, "safetensors-sharded", arrays)
    repository.commit({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    weights = open_weights(get("lab/bert", "weights"))
    assert set(weights.tensors) == set(arrays)
    assert len(weights.files) == 2


@pytest.mark.parametrize("name", ["../w.bin", "a/w.bin", "\\w.bin", "", "..", "/w.bin"])
def test_no_shard_is_fetched_from_elsewhere(ask, server, repository, name):
    repository.commit({FORMS[1]: json.dumps({"weight_map": {"w": name}}).encode(), "w.bin": b""})
    outcome = ask("lab/bert", "weights")
    assert outcome.error == "ValueError"
    assert f"names the shard {name!r}" in outcome.message
    assert "w.bin" not in "".join(server.requests())


def test_a_shard_is_a_name_and_no_pattern(repository, ask, get):
    repository.commit({FORMS[1]: b'{"weight_map": {"w": "*"}}', "w.bin": b""})
    assert "has no * but model.safetensors.index.json, w.bin" in ask("lab/bert", "weights").message
    content = {FORMS[1]: b'{"weight_map": {"w": "[w].bin"}}', "w.bin": b"", "[w].bin": b"x"}
    repository.commit(content)
    assert set(contents(get("lab/bert", "weights"))) == {FORMS[1], "[w].bin"}


def test_the_files_of_a_tokenizer_and_of_sentence_transformers_are_those_that_exist(
    repository, get
):
    there = {"special_tokens_map.json": b"{}", "vocab.txt": b"a\n", "tokenizer.json": b"[]"}
    extra = {"modules.json": b"[]", "1_Pooling/config.json": b"{}"}
    extra |= {"2_Dense/config.json": b"{}", "2_Dense/model.safetensors": b"x"}
    others = {"2_Dense/pytorch_model.bin": b"x", "onnx/model.onnx": b"x", "1_Pooling/x.py": b"x"}
    repository.commit(FILES | there | extra | others)
    assert contents(get("lab/bert", "tokenizer")) == there | {CONFIG: FILES[CONFIG]}
    assert contents(get("lab/bert", "config", "sentence")) == extra | there | {
        CONFIG: FILES[CONFIG]
    }


def test_a_model_in_a_folder_of_its_own(repository, get, ask):
    """As older versions of sentence-transformers laid it out; its weights may be in shards."""
    index = {FORMS[1]: b'{"weight_map": {"w": "w-1.safetensors"}}', "w-1.safetensors": b"x"}
    whole = {"config.json": FILES[CONFIG], "vocab.txt": b"a\n", **index}
    whole = {f"0_Transformer/{name}": content for name, content in whole.items()}
    whole |= {"modules.json": b"[]", "1_Pooling/config.json": b"{}"}
    repository.commit(whole)
    wants = ("config", "weights", "tokenizer", "sentence")
    folder = get("lab/bert", *wants)
    assert contents(folder) == whole
    assert get("lab/bert", *wants, local_files_only=True) == folder
    assert "has no config.json" in ask("lab/bert", "config").message
    (folder / "0_Transformer/w-1.safetensors").unlink()
    outcome = ask("lab/bert", *wants, local_files_only=True)
    assert outcome.message.startswith("w-1.safetensors of 'lab/bert' at revision ")


def test_force_download_downloads_again(server, repository, get):
    repository.commit(FILES)
    folder = get("lab/bert")
    (folder / CONFIG).resolve().write_bytes(b"spoilt")
    assert contents(get("lab/bert")) != FILES
    assert contents(get("lab/bert", force_download=True)) == FILES


def test_a_token_is_sent_to_the_hub_and_not_to_the_store(server, repository, get):
    repository.token = "hf_ours"
    repository.commit(FILES)
    get("lab/bert", token="hf_ours")
    sent = {bool("lab/bert" in e.line): e.headers.get("Authorization") for e in server.log}
    assert sent == {True: "Bearer hf_ours", False: None}


def test_a_folder_needs_no_hub(tmp_path):
    with hub.Client(tmp_path / "home", HF_ENDPOINT=hub.NOBODY) as client:
        outcome = client(str(WIDE))
        assert outcome.folder == str(WIDE)
        assert client("a/b/c").error == "FileNotFoundError"
        assert not outcome.hub_imported
        assert not client("./bert").hub_imported
        assert client("bert").hub_imported  # this test can fail


def test_a_folder_is_taken_before_a_hub_id(tmp_path, monkeypatch):
    (tmp_path / "lab" / "bert").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert local_folder("lab/bert", {"config"}) == Path("lab/bert")
    for name in (Path("lab/other"), "./other", "../other", "~/other", "other/", "a/b/c", "a\\b"):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            local_folder(name, {"config"})
    (tmp_path / "bert").touch()
    with pytest.raises(NotADirectoryError, match="'bert' is a file"):
        local_folder("bert", {"config"})


def test_the_options_of_the_hub_are_taken_out_of_the_others(tmp_path):
    options = {"revision": "v1", "token": "t", "cache_dir": tmp_path, "force_download": True}
    more = {"hidden_size": 7}
    assert find_folder(tmp_path, {"config"}, options | more) == (tmp_path, more)


# --- the cache


@pytest.mark.parametrize(("variable", "below"), [("HF_HOME", "hub"), ("HF_HUB_CACHE", ".")])
def test_the_environment_says_where_the_cache_is(server, repository, tmp_path, variable, below):
    commit = repository.commit(FILES)
    place = {"HF_HOME": str(tmp_path / "elsewhere"), variable: str(tmp_path / "here")}
    with hub.Client(tmp_path / "home", HF_ENDPOINT=server.url, **place) as client:
        folder = client.folder("lab/bert")
    where = tmp_path / "here" / below / "models--lab--bert" / "snapshots" / commit
    assert folder == where.resolve()


def test_without_a_request_what_is_in_the_cache_is_used(server, filled, ask, tmp_path, cache):
    environment = {"HF_ENDPOINT": server.url, "HF_HUB_OFFLINE": "1"}
    with hub.Client(tmp_path / "home", **environment) as offline:
        assert offline("lab/bert", cache_dir=cache).folder == str(filled)
        assert "and HF_HUB_OFFLINE is set" in offline("lab/other", cache_dir=cache).message
    for revision in (None, filled.name):
        assert ask("lab/bert", revision=revision, local_files_only=True).folder == str(filled)
    for name, wants, lacking in [
        ("lab/bert", ("config", "tokenizer"), "vocab.txt or tokenizer.json or vocab.json"),
        ("lab/other", ("config",), "config.json"),
        ("lab/other", ("weights",), " or ".join(FORMS)),
    ]:
        outcome = ask(name, *wants, local_files_only=True)
        assert (outcome.error, outcome.message) == (
            "FileNotFoundError",
            f"{lacking} of {name!r} at revision 'main' is not in the cache {str(cache)!r}, and "
            "local_files_only=True: run it once with the network",
        )
    assert server.requests() == []


def test_offline_a_missing_shard_is_named(repository, ask):
    content = {FORMS[1]: b'{"weight_map": {"w": "w-1.safetensors"}}', "w-1.safetensors": b""}
    commit = repository.commit(content)
    folder = Path(ask("lab/bert", "weights").folder)
    (folder / "w-1.safetensors").unlink()
    outcome = ask("lab/bert", "weights", local_files_only=True, revision=commit)
    assert outcome.message.startswith("w-1.safetensors of 'lab/bert' at revision ")


def test_offline_a_cache_that_others_filled_will_do(filled, ask):
    (filled / "vocab.txt").write_text("[PAD]\n")
    shutil.rmtree(filled.parents[1] / "trees", ignore_errors=True)
    outcome = ask("lab/bert", "config", "weights", "tokenizer", "sentence", local_files_only=True)
    assert outcome.folder == str(filled)


def test_an_update_that_fails_leaves_the_old_commit_in_use(server, repository, filled, ask):
    for i, request_ in enumerate(("GET .*config.json", "GET /[0-9a-f]{64}", LISTING, MAIN)):
        newer = {name: content[:-1] + bytes([i]) for name, content in FILES.items()}
        repository.commit(newer)
        server.faults[:] = [Fault(request_, status=500)]
        outcome = ask("lab/bert")
        assert outcome.folder == str(filled)
        assert len(outcome.warnings) == 1
        assert ask("lab/bert", local_files_only=True).folder == str(filled)
    server.faults.clear()
    assert contents(ask("lab/bert").folder) == newer


def test_a_client_that_returns_without_a_file_is_not_believed(server, repository, get, tmp_path):
    """Where it cannot list the files of a commit, it hands out what it has of it."""
    repository.commit(FILES)
    folder = get("lab/bert", "config")
    shutil.rmtree(folder.parents[1] / "trees", ignore_errors=True)
    server.faults.append(Fault(LISTING, status=500))
    with hub.Client(tmp_path / "home", HF_ENDPOINT=server.url) as client:
        outcome = client("lab/bert", cache_dir=folder.parents[2])
    assert outcome.error == "ConnectionError"
    assert "(not all of it arrived): check the network" in outcome.message


def test_a_read_only_cache_is_used_and_says_so_if_it_cannot_be(server, filled, cache, tmp_path):
    prefix = hub.read_only(cache)
    if prefix is None:
        pytest.skip("a folder cannot be mounted read-only here: that needs unshare and mount")
    server.repositories["lab/other"] = Repository()
    server.repositories["lab/other"].commit(FILES)
    with hub.Client(tmp_path / "home", prefix=prefix, HF_ENDPOINT=server.url) as client:
        outcome = client("lab/bert", cache_dir=cache)
        assert (outcome.folder, outcome.warnings) == (str(filled), [])
        outcome = client("lab/other", cache_dir=cache)
        assert outcome.error == "OSError"
        assert f"cannot be written to the cache {str(cache)!r} (Read-only file" in outcome.message


def test_two_at_once(server, repository, cache, tmp_path):
    commit = repository.commit(FILES)
    with (
        hub.Client(tmp_path / "a", "sleepy", HF_ENDPOINT=server.url) as one,
        hub.Client(tmp_path / "b", "sleepy", HF_ENDPOINT=server.url) as other,
    ):
        for client in (one, other):
            client.ask("lab/bert", cache_dir=cache)
        outcomes = [client.outcome() for client in (one, other)]
    assert [(Path(o.folder).name, o.warnings) for o in outcomes] == [(commit, [])] * 2
    assert contents(outcomes[0].folder) == FILES
