"""What is in the cache is used: where it is, without any request, and under either name."""

import functools
import shutil
from pathlib import Path

import hub_client as hub
import hub_server
import pytest

running, server, repository = hub.running, hub.server, hub.repository  # fixtures
cache, ask, get, filled = hub.cache, hub.ask, hub.get, hub.filled
Client, Fault, Repository, contents = (
    hub.Client,
    hub_server.Fault,
    hub_server.Repository,
    hub.contents,
)
FILES = hub.FILES
OLD, NEW = "bert-base-cased", "google-bert/bert-base-cased"


# where the cache is


@pytest.mark.parametrize(
    ("variable", "below"),
    [("HF_HOME", "hub"), ("HF_HUB_CACHE", ".")],
)
def test_the_environment_says_where_the_cache_is(server, repository, tmp_path, variable, below):
    commit = repository.commit(FILES)
    place = {"HF_HOME": str(tmp_path / "elsewhere"), variable: str(tmp_path / "here")}
    with Client(tmp_path / "home", HF_ENDPOINT=server.url, **place) as client:
        folder = client.folder("lab/bert")
    where = tmp_path / "here" / below / "models--lab--bert" / "snapshots" / commit
    assert folder == where.resolve()


def test_cache_dir_goes_before_the_environment(repository, ask, cache, running):
    commit = repository.commit(FILES)
    folder = ask("lab/bert").folder
    assert folder == str(cache / "models--lab--bert" / "snapshots" / commit)
    assert not (running[1].home / "hub").exists()


def test_the_endpoint_is_that_of_the_environment(server, repository, tmp_path):
    repository.commit(FILES)
    with Client(tmp_path / "a", HF_ENDPOINT=hub.NOBODY) as client:
        outcome = client("lab/bert", cache_dir=tmp_path)
        assert (outcome.error, server.requests()) == ("ConnectionError", [])
        assert hub.NOBODY in outcome.message
    with Client(tmp_path / "b", HF_ENDPOINT=server.url + "/") as client:
        assert client("lab/bert", cache_dir=tmp_path).folder


# no request at all


@pytest.fixture(scope="module")
def offline(running, tmp_path_factory):
    """A client that is told to make no request."""
    home = tmp_path_factory.mktemp("offline")
    with Client(home, HF_ENDPOINT=running[0].url, HF_HUB_OFFLINE="1") as client:
        yield client


@pytest.fixture(params=["HF_HUB_OFFLINE is set", "local_files_only=True"])
def unasked(request, offline, running, cache):
    """What calls local_folder without a request, and the reason that it gives."""
    if "OFFLINE" in request.param:
        return functools.partial(offline, cache_dir=cache), request.param
    return functools.partial(running[1], cache_dir=cache, local_files_only=True), request.param


def test_offline_what_is_in_the_cache_is_used(server, filled, unasked):
    assert unasked[0]("lab/bert").folder == str(filled)
    assert unasked[0]("lab/bert", revision=filled.name).folder == str(filled)
    assert server.requests() == []


def test_offline_what_is_not_in_the_cache_is_named(server, filled, unasked, cache):
    ask, why = unasked
    outcome = ask("lab/bert", "config", "tokenizer")
    assert (outcome.error, outcome.message) == (
        "FileNotFoundError",
        f"vocab.txt or tokenizer.json of 'lab/bert' at revision 'main' is not in the cache "
        f"{str(cache)!r}, and {why}: run it once with the network, or copy the folder "
        "'models--lab--bert' from a cache that has it",
    )
    message = ask("lab/other").message
    assert message.startswith("config.json of 'lab/other' at revision 'main' is not in the cache")
    assert "of 'lab/bert' at revision 'v2' is not" in ask("lab/bert", revision="v2").message
    outcome = ask("lab/bert", force_download=True)
    assert (outcome.error, outcome.chain) == ("ValueError", None)
    assert outcome.message == f"force_download=True needs the network, but {why}"
    assert server.requests() == []


def test_offline_a_missing_shard_is_named(server, repository, ask):
    repository.commit({"model.safetensors.index.json": b'{"weight_map": {"w": "w-1.safetensors"}}'})
    outcome = ask("lab/bert", "weights")
    assert outcome.message.startswith("'lab/bert' at revision 'main' has no w-1.safetensors")
    outcome = ask(
        "lab/bert", "weights", local_files_only=True, revision=repository.branches["main"]
    )
    assert outcome.message.startswith("w-1.safetensors of 'lab/bert' at revision ")


def test_offline_a_cache_that_others_filled_will_do(filled, ask):
    """Other tools download without noting which files the Hub has not."""
    (filled / "vocab.txt").write_text("[PAD]\n")
    shutil.rmtree(filled.parents[1] / ".no_exist", ignore_errors=True)
    outcome = ask("lab/bert", "config", "weights", "tokenizer", "sentence", local_files_only=True)
    assert outcome.folder == str(filled)


def test_what_others_did_not_ask_for_is_asked_for(server, repository, ask):
    """A vocabulary alone, or the second form of the weights, does not show that it is all."""
    there = {"vocab.txt": b"a", "tokenizer_config.json": b"{}", "pytorch_model.bin": b""}
    commit = repository.commit(FILES | there)
    folder = Path(ask("lab/bert", "config").folder)
    for name in ("vocab.txt", "pytorch_model.bin"):
        (folder / name).write_bytes(there[name])
    assert ask("lab/bert", "weights", "tokenizer", revision=commit).folder == str(folder)
    assert contents(folder) == FILES | there


@pytest.mark.parametrize("content", ["", "main", "v2", "../../x", "f" * 40, b"\xff\xfe"])
def test_offline_a_spoilt_reference_leads_nowhere(filled, ask, content):
    ref = filled.parents[1] / "refs" / "main"
    ref.with_name("v2").write_text(filled.name)
    ref.write_bytes(content if isinstance(content, bytes) else content.encode())
    outcome = ask("lab/bert", local_files_only=True)
    assert outcome.error == "FileNotFoundError"
    assert "config.json of 'lab/bert'" in outcome.message


# both names


@pytest.mark.parametrize(("cached", "asked"), [(OLD, NEW), (NEW, OLD), (OLD, OLD), (NEW, NEW)])
def test_both_names_find_what_lies_under_one(server, cache, get, offline, cached, asked):
    server.repositories[NEW] = Repository()
    server.repositories[NEW].commit(FILES)
    server.renamed[OLD] = NEW
    folder = get(cached)
    server.requests()
    assert offline.folder(asked, cache_dir=cache) == folder
    assert server.requests() == []
    assert get(asked) == folder
    assert not [line for line in server.requests() if "/main/" not in line]
    assert len(list(cache.glob("models--*"))) == 1


def test_other_names_have_one_owner_only(server, ask):
    server.repositories["google-bert/mine"] = Repository()
    server.repositories["google-bert/mine"].commit(FILES)
    assert ask("google-bert/mine").folder
    assert ask("mine", local_files_only=True).error == "FileNotFoundError"


def test_what_lies_half_under_the_other_name_is_not_taken(server, ask, cache):
    server.repositories[NEW] = Repository()
    server.repositories[NEW].commit(FILES)
    server.renamed[OLD] = NEW
    ask(OLD, "config")
    folder = ask(NEW).folder
    assert contents(folder) == FILES
    assert "google-bert" in folder


def test_a_spoilt_index_in_the_cache_does_not_keep_the_new_one_away(repository, get):
    index = "model.safetensors.index.json"
    repository.commit({index: b'{"weight_map": {"w": "w.bin"}}', "w.bin": b""})
    (get("lab/bert", "weights") / index).resolve().write_bytes(b"{")
    repository.commit({index: b'{"weight_map": {"w": "v.bin"}}', "v.bin": b""})
    assert set(contents(get("lab/bert", "weights"))) == {index, "v.bin"}
