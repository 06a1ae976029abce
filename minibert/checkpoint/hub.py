"""From a Hub id to a local folder: what is wanted and not in the cache is downloaded.

All files of one call come from one commit. The cache is that of huggingface_hub, which does the
downloading; it is imported only when a Hub id is really used.
"""

import os
import re
import warnings
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from minibert.checkpoint.files import require_folder
from minibert.checkpoint.hub_errors import Asked, not_cached
from minibert.checkpoint.hub_snapshot import (
    COMMIT,
    WANTS,
    HubOptions,
    Missing,
    Snapshot,
    current_commit,
    gather,
    last_commit,
    remember,
    storage,
)

__all__ = ["HubOptions", "local_folder"]

# these were renamed from "name" to "google-bert/name"; a cache may hold them under either
_OWNER = "google-bert/"
_RENAMED = frozenset(
    {
        "bert-base-cased",
        "bert-base-cased-finetuned-mrpc",
        "bert-base-chinese",
        "bert-base-german-cased",
        "bert-base-german-dbmdz-cased",
        "bert-base-german-dbmdz-uncased",
        "bert-base-multilingual-cased",
        "bert-base-multilingual-uncased",
        "bert-base-uncased",
        "bert-large-cased",
        "bert-large-cased-whole-word-masking",
        "bert-large-cased-whole-word-masking-finetuned-squad",
        "bert-large-uncased",
        "bert-large-uncased-whole-word-masking",
        "bert-large-uncased-whole-word-masking-finetuned-squad",
    }
)


def local_folder(
    name: str | os.PathLike[str], wants: Collection[str], options: HubOptions | None = None
) -> Path:
    """Return the folder of that name, or that of the cache with what is wanted of a Hub id.

    ``wants``: any of "config", "weights", "tokenizer", "sentence". A path object, or a text that
    can only be a path, is never looked for on the Hub. ValueError for what cannot be asked for;
    FileNotFoundError for a file or a revision that is not there; other OSErrors, with a sentence,
    if the Hub, the network or the disk does not let us have it.
    """
    if _is_path(name):
        return require_folder(name)
    options = options or HubOptions()
    asked = _check(str(name), wants, options)
    why = _no_requests(options)
    if why:
        return _from_cache(asked, wants, options, why)
    try:
        return _from_hub(asked, wants, options)
    except FileNotFoundError:
        raise
    except OSError as error:
        folder = None if options.force_download else _in_cache(asked, wants, options)
        if folder is None:
            raise
        warnings.warn(f"{error}; commit {folder.name} in the cache is used instead", stacklevel=3)
        return folder


def _is_path(name: object) -> bool:
    if isinstance(name, os.PathLike):
        return True
    if not isinstance(name, str):
        raise TypeError(
            f"the name of a model is a {type(name).__name__}; needed: a folder or a Hub id, as text"
        )
    looks = name.startswith(("./", "../", "~")) or name.endswith("/") or "\\" in name
    return bool(name) and (
        looks or name.count("/") > 1 or Path(name).is_absolute() or os.path.lexists(name)
    )


def _check(name: str, wants: Collection[str], options: HubOptions) -> Asked:
    """Return what is asked for; ValueError if it cannot be."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.errors import HFValidationError

    try:
        hf_hub_url(name, "config.json")  # checks the id
    except HFValidationError:
        raise ValueError(
            f"{name!r:.200} is no folder here and cannot be a Hub id: an id is 'name' or "
            "'owner/name', of letters, digits, '-', '_' and '.'"
        ) from None
    if unknown := set(wants) - set(WANTS):
        raise ValueError(f"cannot want {sorted(unknown)}; allowed: {', '.join(WANTS)}")
    if options.revision is not None and not _is_revision(options.revision):
        raise ValueError(
            f"revision is {options.revision!r:.200}; allowed: a branch, a tag or a commit hash"
        )
    if isinstance(options.token, str) and not re.fullmatch(r"[!-~]+", options.token):
        raise ValueError("token is empty, or has a space or another character that no token has")
    why = _no_requests(options)
    if options.force_download and why:
        raise ValueError(f"force_download=True needs the network, but {why}")
    return Asked(name, options.revision or "main", constants.ENDPOINT, options.cache)


def _is_revision(revision: object) -> bool:
    """Tell what git allows as a name; above all, no way out of the folder of refs."""
    if not isinstance(revision, str) or not revision.isprintable():
        return False
    steps = {"", "."} & set(revision.split("/"))
    return not steps and not re.search(r"[\s~^:?*\[\\]|\.\.", revision)


def _no_requests(options: HubOptions) -> str:
    """Say why no request may be made; nothing if it may."""
    from huggingface_hub import constants

    if options.local_files_only:
        return "local_files_only=True"
    return "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else ""


def _names(repo_id: str) -> list[str]:
    """Return the names under which the cache may hold it, the one asked for first."""
    short = repo_id.removeprefix(_OWNER)
    if short not in _RENAMED:
        return [repo_id]
    return [repo_id, _OWNER + short if repo_id == short else short]


def _from_cache(asked: Asked, wants: Collection[str], options: HubOptions, why: str) -> Path:
    """Return the folder in the cache, by no request; FileNotFoundError if a file is not there."""
    missing: list[Missing] = []
    for repo_id in _names(asked.repo_id):
        snapshot = Snapshot(repo_id, last_commit(repo_id, asked, options), asked, options)
        try:
            gather(wants, snapshot.cached)
            return snapshot.folder
        except Missing as error:
            missing.append(error)
    place = storage(asked.repo_id, options).name
    raise not_cached(missing[0].files, why, place, asked)


def _in_cache(asked: Asked, wants: Collection[str], options: HubOptions) -> Path | None:
    with suppress(OSError, ValueError):  # an index may be spoilt
        return _from_cache(asked, wants, options, "")
    return None


def _from_hub(asked: Asked, wants: Collection[str], options: HubOptions) -> Path:
    """Return the folder in the cache, of the commit that the revision is now."""
    commit = asked.revision
    if not COMMIT.fullmatch(commit):
        patient = options.force_download or _in_cache(asked, wants, options) is None
        commit = current_commit(asked, options, patient)
    snapshot = _whole(asked, commit, wants, options)
    if snapshot is None:
        snapshot = Snapshot(asked.repo_id, commit, asked, options)
        try:
            gather(wants, snapshot.fetched)
        except Missing as error:
            raise snapshot.missing(error.files) from None
    remember(snapshot)
    return snapshot.folder


def _whole(
    asked: Asked, commit: str, wants: Collection[str], options: HubOptions
) -> Snapshot | None:
    """Return the snapshot that needs no more requests, under whichever name the cache holds it."""
    for repo_id in [] if options.force_download else _names(asked.repo_id):
        snapshot = Snapshot(repo_id, commit, asked, options)
        with suppress(Missing):
            gather(wants, snapshot.known)
            return snapshot
    return None
