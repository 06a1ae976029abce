"""What can go wrong between the Hub and the cache, each in one sentence for the person who asked.

No sentence quotes a library's own message: a token or a signed address may be in it.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from minibert.checkpoint.files import alike, first_of, visible
from minibert.checkpoint.foreign import foreign_among


def explain(error: Any, name: str, revision: str | None, cache: Path) -> OSError:
    """Return the built-in exception that says what happened and what to do."""
    from huggingface_hub import constants, errors

    at, what = constants.ENDPOINT, _asked(name, revision)
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # the client could not ask for it
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):  # first: it is a RepositoryNotFoundError too
        login = "pass token= of the same account, or run `hf auth login`"
        return PermissionError(f"{name!r} is gated: accept its terms at {at}/{name}, then {login}")
    if isinstance(error, errors.RevisionNotFoundError):
        hint = "give a branch, a tag or a whole commit hash"
        return FileNotFoundError(f"{what} is not at {at}: {hint}")
    # who is not logged in gets 401 for what is not there
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        return OSError(
            f"{name!r} is no folder here, and {at} has no model of this name that you may read: "
            "check the spelling and the token; a private model needs token= or `hf auth login`"
        )
    if isinstance(error, errors.LocalTokenNotFoundError):
        return PermissionError("token=True, but no token is stored: run `hf auth login`")
    network = isinstance(error, ConnectionError | TimeoutError)
    if type(error).__module__ == "builtins" and getattr(error, "errno", None) and not network:
        text = f"{what} cannot be written to the cache {str(cache)!r} ({error.strerror})"
        return OSError(error.errno, f"{text}: make room, or set cache_dir= or HF_HOME")
    why = f"it answered {status}" if status else _reason(error)
    hint = "check the network, and HF_ENDPOINT if it is set, or try again later"
    return ConnectionError(f"{_no_folder(name)}{what} cannot be had from {at} ({why}): {hint}")


def lacks(
    files: Collection[str], there: Collection[str], name: str, revision: str | None
) -> OSError:
    """Return the error for a repository that has none of the files; it says what is there."""
    names = [visible(file, 80) for file in sorted(there) if not file.startswith(".")]
    found = f" but {', '.join(first_of(names, 10))}" if names else ""
    text = f"{_asked(name, revision)} has no {_either(files)}{found}"
    hint = f"choose a model or a revision that has one{foreign_among(there)}"
    return FileNotFoundError(f"{text}: {hint}")


def not_cached(
    files: Collection[str], name: str, revision: str | None, cache: Path, why: str
) -> OSError:
    """Return the error for files that are not in the cache when no request may be made."""
    what = f"{_no_folder(name)}{_either(files)} of {_asked(name, revision)}"
    return FileNotFoundError(
        f"{what} is not in the cache {str(cache)!r}, and {why}: run it once with the network"
    )


def _no_folder(name: str) -> str:
    """Say that a name is that of no folder either, where a folder may have been meant."""
    near = alike(Path(name))
    return f"{name!r} is not a folder here{near or ', and'} " if near or "/" not in name else ""


def _either(files: Collection[str]) -> str:
    return visible(" or ".join(files), 200)


def _asked(name: str, revision: str | None) -> str:
    return f"{name!r} at revision {revision or 'main'!r}"


def _reason(error: BaseException) -> str:
    """Say what lies at the root of an exception of whichever library."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    words = error.strerror if isinstance(error, OSError) else None
    return words.lower() if words else type(error).__name__
