"""Which requests are made, and what comes of them, with the Hub there and well."""

import hashlib
import json
import sys
from pathlib import Path

import hub_client as hub
import hub_server
import pytest
from wide import WIDE

from minibert import BertConfig, BertModel
from minibert.checkpoint.source import FORMS, open_weights

running, server, repository = hub.running, hub.server, hub.repository  # fixtures
cache, ask, get = hub.cache, hub.ask, hub.get
Fault, Repository, contents = hub_server.Fault, hub_server.Repository, hub.contents
CONFIG, WEIGHTS, FILES, NEWER, MAIN = hub.CONFIG, hub.WEIGHTS, hub.FILES, hub.NEWER, hub.MAIN
VOCABULARY = {"vocab.txt": b"[PAD]\n", "tokenizer_config.json": b"{}"}


def file(name, method="HEAD", repo_id="lab/bert"):
    return f"{method} /{repo_id}/resolve/COMMIT/{name}"


def small(name):
    return [file(name), file(name, "GET")]


def large(name):
    return [file(name), "GET /COMMIT"]  # from the store, by its hash


def test_the_first_call_downloads_what_is_wanted_and_nothing_else(server, repository, get):
    commit = repository.commit(FILES | VOCABULARY | {"pytorch_model.bin": b"", "README.md": b""})
    folder = get("lab/bert", "config", "weights")
    assert server.requests() == [MAIN, *small(CONFIG), *large(WEIGHTS)]
    assert folder.name == commit
    assert contents(folder) == FILES


def test_what_was_downloaded_is_read_as_a_folder_through_its_links(repository, get):
    repository.commit(FILES)
    folder = get("lab/bert")
    assert sys.platform == "win32" or (folder / WEIGHTS).is_symlink()
    assert BertConfig.from_pretrained(folder) == BertConfig.from_pretrained(WIDE)
    report = BertModel.from_pretrained(folder).loading_report
    assert report.sha256() == hashlib.sha256(FILES[WEIGHTS]).hexdigest()


def test_the_second_call_makes_one_request_and_by_the_commit_none(server, repository, get):
    commit = repository.commit(FILES | VOCABULARY)
    wants = ("config", "weights", "tokenizer", "sentence")
    first = get("lab/bert", *wants)
    server.requests()
    ref = first.parents[1] / "refs" / "main"
    written = ref.stat().st_ino, ref.stat().st_mtime_ns
    assert get("lab/bert", *wants) == first
    assert server.requests() == [MAIN]
    assert (ref.stat().st_ino, ref.stat().st_mtime_ns) == written
    assert get("lab/bert", *wants, revision=commit) == first
    assert server.requests() == []


def test_a_commit_is_not_asked_after(server, repository, get):
    commit = repository.commit(FILES)
    assert get("lab/bert", "config", revision=commit).name == commit
    assert server.requests() == small(CONFIG)


def test_what_is_there_already_is_not_downloaded_with_the_rest(server, repository, get):
    repository.commit(FILES)
    get("lab/bert", "config")
    server.requests()
    get("lab/bert", "config", "weights")
    assert server.requests() == [MAIN, *large(WEIGHTS)]


def test_a_branch_that_moved_is_followed_and_the_old_commit_stays(server, repository, get):
    old = repository.commit(FILES)
    get("lab/bert")
    new = repository.commit(NEWER)
    assert contents(get("lab/bert")) == NEWER
    server.requests()
    assert get("lab/bert").name == new
    assert server.requests() == [MAIN]
    assert contents(get("lab/bert", revision=old)) == FILES
    assert server.requests() == []


def test_only_what_changed_is_downloaded_again(server, repository, get):
    repository.commit(FILES)
    get("lab/bert")
    repository.commit(FILES | {CONFIG: NEWER[CONFIG]})
    server.requests()
    get("lab/bert")
    assert server.requests() == [MAIN, *small(CONFIG), file(WEIGHTS)]


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/1", "a-branch"])
def test_a_revision_is_a_branch_or_a_tag(server, repository, get, revision):
    pinned = repository.commit(FILES, revision)
    repository.commit(NEWER)
    assert get("lab/bert", revision=revision).name == pinned
    server.requests()
    assert get("lab/bert", revision=revision, local_files_only=True).name == pinned
    assert server.requests() == []


@pytest.mark.parametrize("request_", ["resolve/main", "HEAD .*config.json", "GET .*config.json"])
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
    absent = [file(form) for form in FORMS[:first]]
    of_form = small(name) if shards else large(name)
    assert server.requests() == [
        MAIN,
        *absent,
        *of_form,
        *[line for shard in shards for line in large(shard)],
    ]
    get("lab/bert", "weights")
    assert server.requests() == [MAIN]


def test_shards_are_read_as_a_folder(repository, get, make, arrays, tmp_path):
    make.write_weights(tmp_path, "safetensors-sharded", arrays)
    repository.commit({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    weights = open_weights(get("lab/bert", "weights"))
    assert set(weights.tensors) == set(arrays)
    assert len(weights.files) == 2


@pytest.mark.parametrize("name", ["../w.bin", "a/w.bin", "\\w.bin", "", "..", "/w.bin", "w.py"])
def test_no_shard_is_fetched_from_elsewhere(ask, server, repository, name):
    index = json.dumps({"weight_map": {"w": name}}).encode()
    repository.commit({FORMS[1]: index, "w.bin": b"", "w.py": b""})
    outcome = ask("lab/bert", "weights")
    assert outcome.error == "ValueError"
    assert f"names the shard {name!r}" in outcome.message
    assert server.requests() == [MAIN, file(FORMS[0]), *small(FORMS[1])]


def test_the_files_of_a_tokenizer_are_those_that_exist(server, repository, get):
    there = {"special_tokens_map.json": b"{}", "vocab.txt": b"a\n", "tokenizer.json": b"[]"}
    repository.commit(FILES | there)
    assert contents(get("lab/bert", "tokenizer")) == there
    assert server.requests() == [
        MAIN,
        file("tokenizer_config.json"),
        *small("special_tokens_map.json"),
        file("added_tokens.json"),
        *small("vocab.txt"),
        *small("tokenizer.json"),
    ]
    get("lab/bert", "tokenizer")
    assert server.requests() == [MAIN]


def test_the_files_of_sentence_transformers(server, repository, get):
    repository.commit(FILES)
    get("lab/bert", "config", "sentence")
    assert server.requests() == [MAIN, file("modules.json"), *small(CONFIG)]
    extra = {"modules.json": b"[]", "1_Pooling/config.json": b"{}"}
    repository.commit(FILES | extra | {"2_Dense/config.json": b"{}"})
    folder = get("lab/bert", "config", "sentence")
    assert contents(folder) == extra | {CONFIG: FILES[CONFIG]}


def test_force_download_downloads_again(server, repository, get):
    repository.commit(FILES)
    folder = get("lab/bert")
    blob = (folder / CONFIG).resolve()
    blob.write_bytes(b"spoilt")
    assert contents(get("lab/bert")) != FILES
    server.requests()
    assert contents(get("lab/bert", force_download=True)) == FILES
    assert server.requests() == [MAIN, *small(CONFIG), *large(WEIGHTS)]


@pytest.mark.parametrize("asked", ["bert-base-cased", "google-bert/bert-base-cased"])
def test_the_old_name_leads_to_the_new(server, get, asked):
    server.repositories["google-bert/bert-base-cased"] = Repository()
    server.repositories["google-bert/bert-base-cased"].commit(FILES)
    server.renamed["bert-base-cased"] = "google-bert/bert-base-cased"
    assert contents(get(asked)) == FILES
    server.requests()
    get(asked)
    followed = ["bert-base-cased", "google-bert/bert-base-cased"]
    names = followed if asked == followed[0] else followed[1:]
    assert server.requests() == [f"HEAD /{name}/resolve/main/config.json" for name in names]


def test_a_token_is_sent_to_the_hub_and_not_to_the_store(server, repository, get):
    repository.token = "hf_ours"
    repository.commit(FILES)
    get("lab/bert", token="hf_ours")
    sent = {entry.line[:10]: entry.headers.get("Authorization") for entry in server.log}
    assert sent.pop("GET /lab/b") == sent.pop("HEAD /lab/") == "Bearer hf_ours"
    assert list(sent.values()) == [None]
    assert len(server.log) == 5


def test_a_download_that_broke_off_goes_on_where_it_stopped(ask, server, repository):
    content = bytes(range(256)) * (11 * 2**12)  # more than the client writes at once
    repository.commit({WEIGHTS: content})
    server.faults.append(Fault("GET /[0-9a-f]{64}", times=1, drop=len(content) - 5))
    outcome = ask("lab/bert", "weights")
    if outcome.error:  # before 1.0 the client goes on in the next call only
        assert (outcome.error, "broke off" in outcome.message) == ("ConnectionError", True)
        outcome = ask("lab/bert", "weights")
    assert contents(Path(outcome.folder)) == {WEIGHTS: content}
    ranges = [entry.headers.get("Range") for entry in server.log if entry.line.startswith("GET")]
    assert ranges == [None, f"bytes={10 * 2**20}-"]


def test_the_progress_bars_are_those_of_the_client(running, repository, get):
    repository.commit({"config.json": b"{}", WEIGHTS: b"x" * 3333})
    get("lab/bert")
    printed = running[1].printed()
    assert "config.json: 100%" in printed
    assert "3.33k/3.33k" in printed


def test_a_folder_needs_no_hub(tmp_path):
    with hub.Client(tmp_path / "home", HF_ENDPOINT=hub.NOBODY) as client:
        outcome = client(str(WIDE))
        assert outcome.folder == str(WIDE)
        assert client("a/b/c").error == "FileNotFoundError"
        assert not outcome.hub_imported
        assert not client("./bert").hub_imported
        assert client("bert").hub_imported  # this test can fail


def test_a_folder_is_taken_before_a_hub_id(tmp_path, monkeypatch):
    from minibert.checkpoint.hub import local_folder

    (tmp_path / "lab" / "bert").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert local_folder("lab/bert", {"config"}) == Path("lab/bert")
    for name in (Path("lab/other"), "./other", "../other", "~/other", "other/", "a/b/c", "a\\b"):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            local_folder(name, {"config"})
    (tmp_path / "bert").touch()
    with pytest.raises(NotADirectoryError, match="'bert' is a file"):
        local_folder("bert", {"config"})
