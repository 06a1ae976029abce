"""The network is down, the Hub is not well, the cache cannot be written, two come at once."""

import functools
import threading
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
WEIGHTS, FILES, NEWER, MAIN = hub.WEIGHTS, hub.FILES, hub.NEWER, hub.MAIN


# the network is down, or the Hub is not well


@pytest.fixture(params=["down", "nameless"])
def unreachable(request, running, tmp_path):
    """A client that reaches nobody, and the reason that it gives."""
    endpoint = {"down": hub.NOBODY, "nameless": running[0].url}[request.param]
    with Client(tmp_path / "home", "sleepless", request.param, HF_ENDPOINT=endpoint) as client:
        yield (
            client,
            {"down": "connection refused", "nameless": "its name cannot be resolved"}[
                request.param
            ],
        )


def test_with_the_network_down_the_last_known_commit_is_used(filled, cache, unreachable):
    client, reason = unreachable
    outcome = client("lab/bert", cache_dir=cache)
    assert outcome.folder == str(filled)
    if hub.patience_is_a_choice():
        assert outcome.naps == []  # there is nothing to wait for
    [warning] = outcome.warnings
    assert f"cannot be reached for 'lab/bert' at revision 'main' ({reason})" in warning
    assert warning.endswith(f"; commit {filled.name} in the cache is used instead")
    assert client.folder("lab/bert", cache_dir=cache, revision=filled.name) == filled
    for more in ({"force_download": True}, {"revision": "v2"}):
        outcome = client("lab/bert", cache_dir=cache, **more)
        assert (outcome.error, outcome.warnings) == ("ConnectionError", [])
        assert f"({reason}): check the network" in outcome.message


TROUBLE = {
    "hangs": ({}, "cannot be reached for .*(no answer in time)"),
    "busy": ({"status": 429}, "too many requests from here (429)"),
    "broken": ({"status": 503}, "answered 503"),
    "gone": ({"status": 401}, "has no model of this name that you may read"),
    "gated": ({"status": 401, "headers": {"X-Error-Code": "GatedRepo"}}, "is gated"),
    "portal": ({"status": 200}, "is not a Hub"),
    "elsewhere": ({"status": 302, "headers": {"Location": hub.NOBODY}}, "is not a Hub"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_the_last_known_commit_is_used_if_the_hub_is_not_well(server, filled, ask, trouble):
    fault, words = TROUBLE[trouble]
    server.faults.append(Fault("HEAD", **fault, before=server.hang if not fault else None))
    outcome = ask("lab/bert")
    assert outcome.folder == str(filled)
    [warning] = outcome.warnings
    assert words.replace(".*", "'lab/bert' at revision 'main' ") in warning
    if hub.patience_is_a_choice():
        assert (len(server.requests()), outcome.naps) == (1, [])
    outcome = ask("lab/bert", force_download=True)
    assert (outcome.folder, outcome.warnings) == (None, [])


def test_a_revision_that_is_gone_is_an_error_though_the_cache_has_it(repository, filled, ask):
    repository.branches.clear()
    outcome = ask("lab/bert")
    assert (outcome.error, outcome.warnings) == ("FileNotFoundError", [])


@pytest.mark.parametrize("request_", ["GET .*config.json", "GET /[0-9a-f]{64}", "HEAD .*safetens"])
def test_an_update_that_fails_leaves_the_old_commit_in_use(
    server, repository, filled, ask, request_
):
    new = repository.commit(NEWER)
    fault = Fault(request_, status=500)
    server.faults.append(fault)
    outcome = ask("lab/bert")
    assert outcome.folder == str(filled)
    assert len(outcome.warnings) == 1
    assert ask("lab/bert", local_files_only=True).folder == str(filled)
    fault.times = 0
    outcome = ask("lab/bert")
    assert (Path(outcome.folder).name, outcome.warnings) == (new, [])
    assert contents(outcome.folder) == NEWER


# a cache that cannot be written, a disk that is full, two at once


def readable_tree(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.fixture
def read_only(server, filled, cache, tmp_path):
    """A client for which the cache is read-only."""
    prefix = hub.mounted("read-only", cache)
    if prefix is None:
        pytest.skip("a folder cannot be mounted read-only here: that needs unshare and mount")
    with Client(tmp_path / "home", prefix=prefix, HF_ENDPOINT=server.url) as client:
        yield functools.partial(client, cache_dir=cache)


def test_a_read_only_cache_is_used(server, repository, filled, read_only, cache):
    before = readable_tree(cache)
    outcome = read_only("lab/bert")
    assert (outcome.folder, outcome.warnings) == (str(filled), [])
    assert server.requests() == [MAIN]
    assert read_only("lab/bert", local_files_only=True).folder == str(filled)
    outcome = read_only("lab/bert", "config", "weights", "sentence")
    assert (outcome.folder, outcome.warnings) == (str(filled), [])
    assert readable_tree(cache) == before


def test_a_read_only_cache_need_not_know_the_branch(repository, filled, read_only):
    (filled.parents[1] / "refs" / "main").unlink()  # for the client alone it is read-only
    outcome = read_only("lab/bert")
    assert (outcome.folder, outcome.warnings) == (str(filled), [])


def test_a_read_only_cache_that_is_behind_is_used_with_a_warning(
    repository, filled, read_only, cache
):
    repository.commit(NEWER)
    outcome = read_only("lab/bert")
    assert outcome.folder == str(filled)
    [warning] = outcome.warnings
    assert "which cannot be written" in warning


def test_a_read_only_cache_without_the_file(server, read_only, cache):
    server.repositories["lab/other"] = Repository()
    server.repositories["lab/other"].commit(FILES)
    outcome = read_only("lab/other")
    assert (outcome.error, outcome.message) == (
        "PermissionError",
        f"config.json of 'lab/other' at revision 'main' is not in the cache {str(cache)!r}, which "
        "cannot be written: ask its keeper to add it, or set cache_dir= or HF_HOME to a folder of "
        "your own",
    )


def test_a_full_disk(server, repository, cache, tmp_path):
    commit = repository.commit(FILES)
    cache.mkdir()
    prefix = hub.mounted("full", cache)
    if prefix is None:
        pytest.skip("a small disk cannot be mounted here: that needs unshare and mount")
    with Client(tmp_path / "home", prefix=prefix, HF_ENDPOINT=server.url) as client:
        outcome = client("lab/bert", cache_dir=cache)
        assert (outcome.error, outcome.message) == (
            "OSError",
            f"there is no space left for model.safetensors of 'lab/bert' at revision 'main' in "
            f"the cache {str(cache)!r}: make room, or set cache_dir= or HF_HOME to another disk",
        )
        assert client("lab/bert", "config", cache_dir=cache).folder
        outcome = client("lab/bert", cache_dir=cache, local_files_only=True, revision=commit)
        assert outcome.message.startswith("model.safetensors or ")


def test_two_at_once_download_each_file_once(server, repository, cache, tmp_path):
    commit = repository.commit(FILES)
    heads = threading.Barrier(2, timeout=20)
    server.faults.append(Fault("HEAD .*safetensors", times=2, before=heads.wait))
    environment = {
        "HF_ENDPOINT": server.url,
        "HF_HUB_ETAG_TIMEOUT": "20",
    }  # one waits for the other
    with (
        Client(tmp_path / "a", "sleepy", **environment) as one,
        Client(tmp_path / "b", "sleepy", **environment) as other,
    ):
        for client in (one, other):
            client.ask("lab/bert", cache_dir=cache)
        outcomes = [client.outcome() for client in (one, other)]
    assert [(Path(o.folder).name, o.warnings) for o in outcomes] == [(commit, [])] * 2
    assert contents(outcomes[0].folder) == FILES
    seen = server.requests()
    assert seen.count(MAIN) == 2
    assert seen.count("GET /COMMIT") <= 2
    assert not [path for path in cache.rglob("*") if path.name.endswith((".incomplete", ".tmp"))]
