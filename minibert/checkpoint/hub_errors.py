"""What can go wrong between the Hub and the cache, each in one sentence for the person who asked.

No sentence quotes a library's own message: a token or a signed address may be in it.
"""

import errno
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOCKED = (errno.EROFS, errno.EACCES, errno.EPERM)
_BAD_RANGE = 416  # what an old client had of the file is longer than the file
_BAD_TOKEN = "Invalid credentials in Authorization header"

# what is in the name of an exception, and what it means
_SIGNS = {
    "gaierror": "its name cannot be resolved",
    "Timeout": "no answer in time",
    "RemoteProtocolError": "the connection was closed too early",
    "IncompleteRead": "the connection was closed too early",
    "RemoteDisconnected": "the connection was closed too early",
}


@dataclass(frozen=True)
class Asked:
    """What was asked for, of whom, and the cache that is to keep it."""

    repo_id: str
    revision: str
    endpoint: str
    cache: Path

    def __str__(self) -> str:
        return f"{self.repo_id!r} at revision {self.revision!r}"


def explain(error: Any, asked: Asked, file: str | None = None) -> OSError:
    """Return the built-in exception that says what happened and what to do.

    ``file``: the one that was to be downloaded; None if only the commit was asked for.
    """
    from huggingface_hub.errors import (
        FileMetadataError,
        LocalEntryNotFoundError,
        LocalTokenNotFoundError,
    )

    begun = file is not None
    if isinstance(error, LocalEntryNotFoundError | ValueError) and error.__cause__ is not None:
        error, begun = error.__cause__, False  # the client could not ask for it
    what = f"{file} of {asked}" if file else str(asked)
    # some clients raise what is below HfHubHTTPError too
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status not in (None, _BAD_RANGE):
        return _refused(error, asked, what)
    if isinstance(error, LocalTokenNotFoundError):
        return PermissionError(
            "token=True asks for the stored token, and none is stored: run `hf auth login`, "
            "or pass the token itself"
        )
    if isinstance(error, FileMetadataError):
        return not_a_hub(asked)
    of_the_disk = isinstance(error, OSError) and type(error).__module__ == "builtins"
    if begun and of_the_disk and error.errno:  # without a number: the client's, about the size
        return _not_written(error, asked, what)
    return _not_received(error, asked, what, begun)


def _not_received(error: BaseException, asked: Asked, what: str, begun: bool) -> OSError:
    """Return the error for an answer that did not come, or not to its end."""
    if begun:
        return ConnectionError(
            f"the download of {what} broke off ({_reason(error)}): no part of it is taken for "
            "the whole; run it again, with force_download=True if it breaks off every time"
        )
    return ConnectionError(
        f"{asked.endpoint} cannot be reached for {what} ({_reason(error)}): check the network, "
        "and HF_ENDPOINT if it is set"
    )


def _refused(error: Any, asked: Asked, what: str) -> OSError:
    """Return the error for an answer of the Hub that is a refusal."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = asked.endpoint
    if isinstance(error, GatedRepoError):  # first, for it is a RepositoryNotFoundError too
        return PermissionError(
            f"{asked.repo_id!r} is gated: accept its terms at {at}/{asked.repo_id}, then pass "
            "token= of the same account, or run `hf auth login`"
        )
    if isinstance(error, RevisionNotFoundError):
        return FileNotFoundError(
            f"{asked.repo_id!r} has no revision {asked.revision!r} at {at}: "
            "give a branch, a tag or a whole commit hash"
        )
    status = error.response.status_code
    bad_token = error.response.headers.get("X-Error-Message") == _BAD_TOKEN
    # who is not logged in gets 401 for what is not there
    if isinstance(error, RepositoryNotFoundError) or (status == 401 and not bad_token):
        return OSError(
            f"{asked.repo_id!r} is no folder here, and {at} has no model of this name that you "
            "may read: check the spelling; a private model needs token= or `hf auth login`"
        )
    return _status(status, at, what)


def _status(status: int, at: str, what: str) -> OSError:
    if status == 401:
        return PermissionError(
            f"{at} does not accept the token (401) for {what}: make a new one at "
            f"{at}/settings/tokens, or pass token=False for a public model"
        )
    if status == 403:
        return PermissionError(
            f"{at} refuses {what} (403): it is disabled, or the token may not read it"
        )
    if status == 429:
        return ConnectionError(
            f"{at} has had too many requests from here (429) to give {what}: wait some minutes "
            "and run it again; token= raises the limit, and a shared HF_HOME needs fewer requests"
        )
    return ConnectionError(f"{at} answered {status} when asked for {what}: try again later")


def _not_written(error: OSError, asked: Asked, what: str) -> OSError:
    """Return the error for a cache that takes no files."""
    place = f"the cache {str(asked.cache)!r}"
    if error.errno in _FULL:
        return OSError(
            f"there is no space left for {what} in {place}: "
            "make room, or set cache_dir= or HF_HOME to another disk"
        )
    if error.errno in _LOCKED:
        return PermissionError(
            f"{what} is not in {place}, which cannot be written: ask its keeper to add it, "
            "or set cache_dir= or HF_HOME to a folder of your own"
        )
    return OSError(f"{what} cannot be written to {place}: {error.strerror}")


def not_a_hub(asked: Asked) -> OSError:
    """Return the error for an answer that no Hub gives."""
    return ConnectionError(
        f"what answers at {asked.endpoint} for {asked} is not a Hub, for it names no commit: "
        "look for a login page or a proxy in between, and at HF_ENDPOINT if it is set"
    )


def lacks(files: Collection[str], there: Collection[str], asked: Asked) -> OSError:
    """Return the error for a repository that has none of the files."""
    names = sorted(name for name in there if name.isprintable() and not name.startswith("."))
    more = [f"and {len(names) - 10} more"] if len(names) > 10 else []
    found = f" but {', '.join([*names[:10], *more])}" if names else ""
    return FileNotFoundError(
        f"{asked} has no {' or '.join(files)}{found}: choose a model or a revision that has one"
    )


def not_cached(files: Collection[str], why: str, folder: str, asked: Asked) -> OSError:
    """Return the error for files that are not in the cache when no request may be made."""
    return FileNotFoundError(
        f"{' or '.join(files)} of {asked} is not in the cache {str(asked.cache)!r}, and {why}: "
        f"run it once with the network, or copy the folder {folder!r} from a cache that has it"
    )


def _reason(error: BaseException) -> str:
    """Say in words what lies behind an exception of whichever library."""
    links = list(_chain(error))
    names = " ".join(type(link).__name__ for link in links)
    for sign, words in _SIGNS.items():
        if sign in names:
            return words
    system = [link.strerror for link in links if isinstance(link, OSError) and link.strerror]
    return system[-1].lower() if system else type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
