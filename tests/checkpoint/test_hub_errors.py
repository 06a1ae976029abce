"""What cannot be had is said in one sentence, by an exception of Python's own."""

import errno
import re
from pathlib import Path

import hub_client as hub
import pytest
from hub_server import Fault, Repository

from minibert.checkpoint.hub import HubOptions
from minibert.checkpoint.hub_errors import explain

running, server, repository = hub.running, hub.server, hub.repository  # fixtures
cache, ask, get, filled = hub.cache, hub.ask, hub.get, hub.filled
WEIGHTS, FILES, MAIN, contents = hub.WEIGHTS, hub.FILES, hub.MAIN, hub.contents


@pytest.fixture
def refused(ask, server):
    """What calls local_folder and returns the error and its sentence, the server called URL."""

    def call(name="lab/bert", *wants, **options):
        outcome = ask(name, *wants, **options)
        assert (outcome.folder, outcome.chain, outcome.warnings) == (None, None, [])
        assert not re.search(r"\n|\. |hf_", outcome.message)
        return outcome.error, outcome.message.replace(server.url, "URL")

    return call


NO_MODEL = (
    "OSError",
    "'lab/bert' is no folder here, and URL has no model of this name that you may read: check the "
    "spelling and the token; a private model needs token= or `hf auth login`",
)
GATED = (
    "PermissionError",
    "'lab/bert' is gated: accept its terms at URL/lab/bert, then pass token= of the same "
    "account, or run `hf auth login`",
)


def not_had(why):
    return (
        "ConnectionError",
        f"'lab/bert' at revision 'main' cannot be had from URL ({why}): check the network, and "
        "HF_ENDPOINT if it is set, or try again later",
    )


ANSWERS = {
    "no repository": (401, {"X-Error-Message": "Invalid username or password."}, NO_MODEL),
    "no repository, with a token": (404, {"X-Error-Code": "RepoNotFound"}, NO_MODEL),
    "a bad token": (
        401,
        {"X-Error-Message": "Invalid credentials in Authorization header"},
        NO_MODEL,
    ),
    "gated": (401, {"X-Error-Code": "GatedRepo"}, GATED),
    "gated, with a token": (403, {"X-Error-Code": "GatedRepo"}, GATED),
    "disabled": (403, {}, not_had("it answered 403")),
    "too many requests": (429, {}, not_had("it answered 429")),
    "broken": (500, {}, not_had("it answered 500")),
    "an answer of its own": (599, {}, not_had("it answered 599")),
}


@pytest.mark.parametrize("request_", [MAIN, "GET .*config.json"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_of_the_hub(server, repository, refused, request_, answer):
    status, headers, expected = ANSWERS[answer]
    repository.commit(FILES)
    server.faults.append(Fault(request_, status=status, headers=headers))
    assert refused() == expected
    assert refused("lab/bert", local_files_only=True)[0] == "FileNotFoundError"


@pytest.mark.parametrize("answer", [*ANSWERS, "portal"])
def test_what_is_in_the_cache_is_used_if_the_hub_is_not_well(server, filled, ask, answer):
    status, headers, (_, sentence) = ANSWERS.get(answer, (200, {}, not_had("")))
    server.faults.append(Fault(MAIN, status=status, headers=headers))
    outcome = ask("lab/bert")
    assert outcome.folder == str(filled)
    [warning] = outcome.warnings
    assert warning.replace(server.url, "URL").startswith(sentence.partition(" (")[0])
    assert warning.endswith(f"; commit {filled.name} in the cache is used instead")
    outcome = ask("lab/bert", force_download=True)
    assert (outcome.folder, outcome.warnings) == (None, [])


@pytest.mark.parametrize(
    ("trouble", "why"),
    [("down", "connection refused"), ("nameless", "name or service not known"), ("hangs", "")],
)
def test_with_the_network_down_the_cache_is_used(server, filled, cache, tmp_path, trouble, why):
    url = hub.NOBODY if trouble == "down" else server.url
    server.faults.append(Fault(MAIN, before=server.hang))
    with hub.Client(tmp_path / "home", "sleepless", trouble, HF_ENDPOINT=url) as client:
        outcome = client("lab/bert", cache_dir=cache)
        assert outcome.folder == str(filled)
        assert f"cannot be had from {url} ({why}" in outcome.warnings[0]
        if trouble != "hangs":
            for more in ({"force_download": True}, {"revision": "v2"}):
                outcome = client("lab/bert", cache_dir=cache, **more)
                assert (outcome.error, outcome.warnings) == ("ConnectionError", [])


def test_a_revision_that_is_gone_is_an_error_though_the_cache_has_it(repository, filled, ask):
    repository.branches.clear()
    outcome = ask("lab/bert")
    assert (outcome.error, outcome.warnings) == ("FileNotFoundError", [])


def test_the_real_refusals_of_the_server(server, repository, refused):
    """As a Hub words them, for each kind of repository."""
    repository.commit(FILES)
    server.repositories["lab/private"] = Repository(FILES, token="hf_other")
    server.repositories["lab/gated"] = Repository({"f" * 40: FILES}, {"main": "f" * 40}, gated=True)
    assert refused("lab/none")[1] == refused("lab/none", token="hf_ours")[1]
    for options in ({}, {"token": "hf_ours"}):
        assert "no model of this name" in refused("lab/private", **options)[1]
        assert "is gated" in refused("lab/gated", **options)[1]
        for revision in ("v2", "f" * 40):
            assert refused("lab/bert", revision=revision, **options) == (
                "FileNotFoundError",
                f"'lab/bert' at revision {revision!r} is not at URL: give a branch, a tag or a "
                "whole commit hash",
            )
    assert "check the spelling and the token" in refused("lab/bert", token="hf_wrong")[1]
    assert "no token is stored" in refused("lab/bert", token=True)[1]


def test_a_repository_without_what_is_wanted_says_what_it_has(server, repository, refused):
    repository.commit({"tf_model.h5": b"", "README.md": b"", ".gitattributes": b""})
    at = "'lab/bert' at revision 'main' has"
    choose = (
        ": choose a model or a revision that has one; 'tf_model.h5' is a TensorFlow model: open it "
        "in transformers 4 with from_tf=True, and save it with save_pretrained()"
    )
    assert refused("lab/bert", "config") == (
        "FileNotFoundError",
        f"{at} no config.json but README.md, tf_model.h5{choose}",
    )
    assert server.requests() == [MAIN]
    assert refused("lab/bert", "weights")[1] == (
        f"{at} no model.safetensors or model.safetensors.index.json or pytorch_model.bin or "
        f"pytorch_model.bin.index.json but README.md, tf_model.h5{choose}"
    )
    repository.commit({f"file-{i:02}": b"" for i in range(13)} | {"\x1b[2J" * 99: b""})
    sentence = refused("lab/bert", "config")[1]
    assert sentence.endswith("file-08, and 4 more: choose a model or a revision that has one")
    assert sentence.isprintable()
    assert len(sentence) < 900


def test_a_dropped_connection_never_leaves_half_a_file(server, repository, refused, get, cache):
    repository.commit(FILES)
    server.faults.append(Fault("GET /[0-9a-f]{64}", drop=1000))
    error, message = refused()
    assert error == "ConnectionError"
    assert "'lab/bert' at revision 'main' cannot be had from URL (" in message
    assert not list(cache.rglob(WEIGHTS))
    assert refused("lab/bert", local_files_only=True)[0] == "FileNotFoundError"
    server.faults.clear()
    assert contents(get("lab/bert")) == FILES


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_does_not_take_it(number):
    error = explain(OSError(number, "no"), "lab/bert", None, Path("here"))
    assert error.errno == number
    assert "'lab/bert' at revision 'main' cannot be written to the cache 'here' (no)" in str(error)


# --- arguments that cannot be


@pytest.mark.parametrize(
    "name", ["", "bert base", "-bert", "bert-", "bert--base", "bert.git", ".bert", "a" * 97, "\0"]
)
def test_a_name_that_cannot_be(server, refused, name):
    assert refused(name) == (
        "ValueError",
        f"{name!r} is no folder here and cannot be a Hub id: an id is 'name' or 'owner/name', "
        "of letters, digits, '-', '_' and '.'",
    )
    assert server.requests() == []


@pytest.mark.parametrize(
    "revision",
    ["", "../../x", "a/../b", "/etc", "a//b", "a/", "./a", "a b", "a\nb", "a\0", "a\\b", "^", 7],
)
def test_a_revision_that_cannot_be(server, refused, revision):
    error, message = refused("lab/bert", revision=revision)
    assert error == "ValueError"
    assert message == f"revision is {revision!r}; allowed: a branch, a tag or a commit hash"
    assert server.requests() == []


@pytest.mark.parametrize("token", ["", "hf_secret\n", "hf secret", "hf_sécret"])
def test_a_token_that_cannot_be_is_not_printed(server, refused, token):
    error, message = refused("lab/bert", token=token)
    assert error == "ValueError"
    assert message == "token is empty, or has a space or another character that no token has"
    assert server.requests() == []


def test_wants_and_options_that_cannot_be(refused):
    allowed = "config, weights, generation, tokenizer, sentence"
    message = f"cannot want ['image']; allowed: {allowed}"
    assert refused("lab/bert", "config", "image") == ("ValueError", message)
    options = {"force_download": True, "local_files_only": True}
    message = "force_download=True needs the network, but local_files_only=True"
    assert refused("lab/bert", **options) == ("ValueError", message)


def test_a_token_is_printed_nowhere(server, repository, ask, running):
    repository.commit(FILES)
    assert "hf_" not in repr(HubOptions(token="hf_secret"))
    server.faults.append(Fault(MAIN, times=1, status=403))
    server.faults.append(Fault("GET", drop=1))
    for _ in range(2):
        outcome = ask("lab/bert", token="hf_secret")
        assert outcome.error
        assert "hf_secret" not in repr(outcome)
    assert "hf_secret" not in running[1].printed()
