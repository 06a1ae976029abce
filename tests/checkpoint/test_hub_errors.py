"""What cannot be had is said in one sentence, by an exception of Python's own."""

import re

import hub_client as hub
import hub_server
import pytest

from minibert.checkpoint.hub import HubOptions

running, server, repository = hub.running, hub.server, hub.repository  # fixtures
cache, ask, get = hub.cache, hub.ask, hub.get
Fault, Repository, contents = hub_server.Fault, hub_server.Repository, hub.contents
WEIGHTS, FILES, MAIN = hub.WEIGHTS, hub.FILES, hub.MAIN


@pytest.fixture
def refused(ask, server):
    """What calls local_folder and returns the error and its sentence, the server called URL."""

    def call(name="lab/bert", *wants, **options):
        outcome = ask(name, *wants, **options)
        assert (outcome.folder, outcome.chain, outcome.warnings) == (None, None, [])
        assert not re.search(r"\n|\. |hf_", outcome.message)
        return outcome.error, outcome.message.replace(server.url, "URL")

    return call


GATED = {"X-Error-Code": "GatedRepo"}
ANSWERS = {
    "no repository": (
        {"status": 401, "headers": {"X-Error-Message": "Invalid username or password."}},
        "OSError",
        "'lab/bert' is no folder here, and URL has no model of this name that you may read: "
        "check the spelling; a private model needs token= or `hf auth login`",
    ),
    "no repository, with a token": (
        {"status": 404, "headers": {"X-Error-Code": "RepoNotFound"}},
        "OSError",
        "'lab/bert' is no folder here, and URL has no model of this name that you may read: "
        "check the spelling; a private model needs token= or `hf auth login`",
    ),
    "no revision": (
        {"status": 404, "headers": {"X-Error-Code": "RevisionNotFound"}},
        "FileNotFoundError",
        "'lab/bert' has no revision 'main' at URL: give a branch, a tag or a whole commit hash",
    ),
    "gated": (
        {"status": 401, "headers": GATED},
        "PermissionError",
        "'lab/bert' is gated: accept its terms at URL/lab/bert, then pass token= of the same "
        "account, or run `hf auth login`",
    ),
    "gated, with a token": (
        {"status": 403, "headers": GATED},
        "PermissionError",
        "'lab/bert' is gated: accept its terms at URL/lab/bert, then pass token= of the same "
        "account, or run `hf auth login`",
    ),
    "a bad token": (
        {
            "status": 401,
            "headers": {"X-Error-Message": "Invalid credentials in Authorization header"},
        },
        "PermissionError",
        "URL does not accept the token (401) for WHAT: make a new one at URL/settings/tokens, "
        "or pass token=False for a public model",
    ),
    "disabled": (
        {"status": 403, "headers": {"X-Error-Message": "Access to this resource is disabled."}},
        "PermissionError",
        "URL refuses WHAT (403): it is disabled, or the token may not read it",
    ),
    "too many requests": (
        {"status": 429, "headers": {"Retry-After": "7"}},
        "ConnectionError",
        "URL has had too many requests from here (429) to give WHAT: wait some minutes and run "
        "it again; token= raises the limit, and a shared HF_HOME needs fewer requests",
    ),
    "broken": (
        {"status": 500},
        "ConnectionError",
        "URL answered 500 when asked for WHAT: try again later",
    ),
    "no Hub": (
        {"status": 200},
        "ConnectionError",
        "what answers at URL for 'lab/bert' at revision 'main' is not a Hub, for it names no "
        "commit: look for a login page or a proxy in between, and at HF_ENDPOINT if it is set",
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_of_the_hub(server, repository, refused, answer):
    fault, error, message = ANSWERS[answer]
    repository.commit(FILES)
    server.faults.append(Fault("HEAD .*/main/", **fault))
    what = "'lab/bert' at revision 'main'"
    assert refused() == (error, message.replace("WHAT", what))


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("answer", sorted(set(ANSWERS) - {"no revision", "no Hub"}))
def test_the_same_answer_when_a_file_is_asked_for(server, repository, refused, answer, method):
    fault, error, message = ANSWERS[answer]
    repository.commit(FILES)
    server.faults.append(Fault(f"{method} .*/[0-9a-f]{{40}}/config.json", **fault))
    what = "config.json of 'lab/bert' at revision 'main'"
    assert refused() == (error, message.replace("WHAT", what))
    server.faults.clear()
    assert refused("lab/bert", local_files_only=True)[0] == "FileNotFoundError"


def test_a_busy_hub_is_asked_again_if_the_client_can(server, repository, ask):
    repository.commit(FILES)
    server.faults.append(Fault("HEAD", times=2, status=429, headers={"Retry-After": "7"}))
    outcome = ask("lab/bert", "config")
    asked = server.requests().count(MAIN)
    if hub.patience_is_a_choice():
        assert (outcome.error, asked, len(outcome.naps)) == (None, 3, 1)
        assert outcome.naps[0] >= 7
    else:
        assert (outcome.error, asked) in [("ConnectionError", 1), (None, 3)]


def test_the_real_refusals_of_the_server(server, repository, refused):
    """As a Hub words them, for each kind of repository."""
    repository.commit(FILES)
    server.repositories["lab/private"] = Repository(FILES, token="hf_other")
    server.repositories["lab/gated"] = Repository({"f" * 40: FILES}, {"main": "f" * 40}, gated=True)
    assert refused("lab/none")[1] == refused("lab/none", token="hf_ours")[1]
    for options in ({}, {"token": "hf_ours"}):
        assert "no model of this name" in refused("lab/private", **options)[1]
        assert "is gated" in refused("lab/gated", **options)[1]
        assert "has no revision 'v2'" in refused("lab/bert", revision="v2", **options)[1]
        assert "has no revision 'ffff" in refused("lab/bert", revision="f" * 40, **options)[1]
    assert "does not accept the token" in refused("lab/bert", token="hf_wrong")[1]
    assert "none is stored" in refused("lab/bert", token=True)[1]


def test_a_repository_without_what_is_wanted_says_what_it_has(server, repository, refused):
    commit = repository.commit({"tf_model.h5": b"", "README.md": b"", ".gitattributes": b""})
    at = "'lab/bert' at revision 'main' has"
    choose = ": choose a model or a revision that has one"
    assert refused("lab/bert", "config") == (
        "FileNotFoundError",
        f"{at} no config.json but README.md, tf_model.h5{choose}",
    )
    assert server.requests() == [
        MAIN,
        "HEAD /lab/bert/resolve/COMMIT/config.json",
        "GET /api/models/lab/bert/revision/COMMIT",
    ]
    assert refused("lab/bert", "weights")[1] == (
        f"{at} no model.safetensors or model.safetensors.index.json or pytorch_model.bin or "
        f"pytorch_model.bin.index.json but README.md, tf_model.h5{choose}"
    )
    server.faults.append(Fault("/api/", status=500))
    assert refused("lab/bert", "tokenizer", revision=commit)[1] == (
        f"'lab/bert' at revision '{commit}' has no vocab.txt or tokenizer.json{choose}"
    )
    server.faults.clear()
    repository.commit({f"file-{i:02}": b"" for i in range(13)} | {"\x1b[2J": b""})
    assert refused("lab/bert", "config")[1].endswith(f"file-08, file-09, and 3 more{choose}")


# a download that breaks off


def test_a_dropped_connection_never_leaves_half_a_file(server, repository, refused, get, cache):
    repository.commit(FILES)
    server.faults.append(Fault("GET /[0-9a-f]{64}", drop=1000))
    reason = "the connection was closed too early"
    assert refused() == (
        "ConnectionError",
        f"the download of model.safetensors of 'lab/bert' at revision 'main' broke off ({reason}): "
        "no part of it is taken for the whole; run it again, with force_download=True if it "
        "breaks off every time",
    )
    assert not list(cache.rglob(WEIGHTS))
    assert refused("lab/bert", local_files_only=True)[0] == "FileNotFoundError"
    server.faults.clear()
    assert contents(get("lab/bert")) == FILES


def test_a_range_answered_with_the_whole_file_spoils_nothing(server, repository, ask):
    """An old client takes the whole for the rest; it is told by the size."""
    content = {WEIGHTS: bytes(range(256)) * (11 * 2**12)}
    repository.commit(content)
    size = len(content[WEIGHTS])
    server.faults.append(Fault("GET /[0-9a-f]{64}", times=1, drop=size - 5))
    server.faults.append(Fault("GET /[0-9a-f]{64}", times=1, whole=True))
    outcomes = [ask("lab/bert", "weights") for _ in range(3)]
    for outcome in outcomes:
        if outcome.folder:
            assert contents(outcome.folder) == content
        else:
            assert outcome.error == "ConnectionError"
            assert "broke off" in outcome.message
    last = ask("lab/bert", "weights", force_download=True)
    assert contents(last.folder) == content


def test_a_file_of_another_size_than_announced(server, repository, refused):
    repository.commit(FILES)
    server.faults.append(Fault("GET .*config.json", status=200))
    error, message = refused()
    assert error == "ConnectionError"
    assert "config.json of 'lab/bert' at revision 'main' broke off" in message


# arguments that cannot be


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


def test_a_want_that_cannot_be(refused):
    allowed = "sentence, tokenizer, config, weights"
    message = f"cannot want ['image']; allowed: {allowed}"
    assert refused("lab/bert", "config", "image") == ("ValueError", message)


def test_a_token_is_printed_nowhere(server, repository, ask, running, tmp_path):
    repository.commit(FILES)
    assert "hf_" not in repr(HubOptions(token="hf_secret"))
    server.faults.append(Fault("HEAD .*/main/", times=1, status=403))
    server.faults.append(Fault("GET", drop=1))
    for _ in range(2):
        outcome = ask("lab/bert", token="hf_secret")
        assert outcome.error
        assert "hf_secret" not in repr(outcome)
    assert "hf_secret" not in running[1].printed()
