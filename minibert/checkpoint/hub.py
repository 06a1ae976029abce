"""From the name of a model to its folder: a folder as it is, a Hub id from the Hub or the cache.

huggingface_hub does the downloading and keeps the cache. It is imported only when a Hub id is used.
All files of a call come from one commit.
"""

import errno
import glob
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from minibert.checkpoint.files import require_folder
from minibert.checkpoint.hub_errors import explain, lacks, not_cached
from minibert.checkpoint.keywords import without_effect
from minibert.checkpoint.layout import (
    CONFIG_NAME,
    FORMS,
    GENERATION_NAME,
    shards_of,
    weights_in_force,
)
from minibert.runtime.annotations import fits, in_words
from minibert.runtime.spelling import a_kind
from minibert.runtime.warn import warn

#: What may be wanted, and the files that belong to it. Of the weights, one form is taken.
WANTS: dict[str, tuple[str, ...]] = {
    "config": (CONFIG_NAME,),
    "weights": FORMS,
    "generation": (GENERATION_NAME,),
    "tokenizer": (
        *("vocab.txt", "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"),
        *("special_tokens_map.json", "added_tokens.json", CONFIG_NAME),
    ),
    # and of each module's folder what it has of all of these
    "sentence": (
        *("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"),
    ),
}
#: The folder of a module of sentence-transformers; in older layouts the model itself is in 0_*.
_MODULE = re.compile(r"\d+_\w+(?=/)")
#: At least one of these must be there.
_NEEDED = {"config": (CONFIG_NAME,), "weights": FORMS, "tokenizer": WANTS["tokenizer"][:3]}
#: What git allows as a name, or nearly; above all, no way out of the folder of refs.
_REVISION = re.compile(r"\w[\w.@#+=-]*(/\w[\w.@#+=-]*)*")


@dataclass(frozen=True)
class HubOptions:
    """How to get a model from the Hub; the names are those of transformers."""

    revision: str | None = None  # a branch, a tag or a commit hash; None: main
    token: str | bool | None = field(default=None, repr=False)  # None: the stored one, if any
    cache_dir: str | os.PathLike[str] | None = None  # None: as HF_HUB_CACHE or HF_HOME say
    local_files_only: bool = False
    force_download: bool = False


def find_folder(
    name: str | os.PathLike[str], wants: Collection[str], options: Mapping[str, Any]
) -> tuple[Path, dict[str, Any]]:
    """Return the folder of that name, or of that Hub id in the cache, and the other options.

    Options of the Hub are the fields of HubOptions; those of transformers that change nothing are
    left out (keywords.py). Errors are those of local_folder.
    """
    hub = {key: options[key] for key in HubOptions.__dataclass_fields__ if key in options}
    for key, value in hub.items():
        if not fits(value, kind := HubOptions.__dataclass_fields__[key].type):
            raise TypeError(f"{key} is {a_kind(value)}; needed: {in_words(kind)}")
    others = without_effect({key: value for key, value in options.items() if key not in hub})
    return local_folder(name, wants, HubOptions(**hub)), others


def local_folder(
    name: str | os.PathLike[str], wants: Collection[str], options: HubOptions | None = None
) -> Path:
    """Return the folder of that name, or that of the cache with what is wanted of a Hub id.

    ``wants``: any of WANTS. A path object, or a text that can only be a path, is never looked for
    on the Hub. ValueError for what cannot be asked for; FileNotFoundError for a file or a revision
    that is not there; other OSErrors, with a sentence, if the Hub, the network or the disk does
    not let us have it.
    """
    if _is_path(name):
        return require_folder(name)
    name, options, folder = str(name), options or HubOptions(), None
    if offline := _check(name, wants, options):
        return _from_cache(name, wants, options, offline)
    try:
        return _from_hub(name, wants, options)
    except Exception as error:  # ours, or of the client, of what it stands on, or of the disk
        if type(error) in (ValueError, FileNotFoundError):
            raise error from None
        explained = explain(error, name, options.revision, _cache(options))
    if not isinstance(explained, FileNotFoundError) and not options.force_download:
        with suppress(OSError, ValueError):  # an index may be spoilt
            folder = _from_cache(name, wants, options, "")
    if folder is None:
        raise explained
    warn(f"{explained}; commit {folder.name} in the cache is used instead")
    return folder


def _is_path(name: object) -> bool:
    if isinstance(name, os.PathLike):
        return True
    if not isinstance(name, str):
        found = a_kind(name)
        raise TypeError(f"the name of a model is {found}; needed: a folder or a Hub id, as text")
    looks = name.startswith(("./", "../", "~")) or name.endswith("/") or "\\" in name
    return bool(name) and (
        looks or name.count("/") > 1 or Path(name).is_absolute() or os.path.lexists(name)
    )


def _check(name: str, wants: Collection[str], options: HubOptions) -> str:
    """Raise ValueError for what cannot be asked; return why no request may be made, if none may."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.errors import HFValidationError

    try:
        hf_hub_url(name, CONFIG_NAME)  # checks the id
    except HFValidationError:
        allowed = "'name' or 'owner/name', of letters, digits, '-', '_' and '.'"
        what = "is no folder here and cannot be a Hub id"
        raise ValueError(f"{name!r:.200} {what}: an id is {allowed}") from None
    if unknown := set(wants) - set(WANTS):
        raise ValueError(f"cannot want {sorted(unknown)}; allowed: {', '.join(WANTS)}")
    revision, token = options.revision, options.token
    text = "main" if revision is None else revision
    if not isinstance(text, str) or not _REVISION.fullmatch(text):
        allowed = "a branch, a tag or a commit hash"
        raise ValueError(f"revision is {revision!r:.200}; allowed: {allowed}")
    if isinstance(token, str) and not re.fullmatch(r"[!-~]+", token):
        raise ValueError("token is empty, or has a space or another character that no token has")
    offline = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else ""
    offline = "local_files_only=True" if options.local_files_only else offline
    if options.force_download and offline:
        raise ValueError(f"force_download=True needs the network, but {offline}")
    return offline


def _from_cache(name: str, wants: Collection[str], options: HubOptions, why: str) -> Path:
    """Return the folder in the cache, by no request; FileNotFoundError if a file is not there."""
    files = [file for want in wants if want != "weights" for file in WANTS[want]]
    try:
        folder = _download(name, options, options.revision, files, local_files_only=True)
        lacking = _lacking(wants, folder)
    except (OSError, ValueError):  # there is nothing, or the client knows of more that is wanted
        lacking = next((_NEEDED[want] for want in _NEEDED if want in wants), WANTS["sentence"])
    if lacking:
        raise not_cached(lacking, name, options.revision, _cache(options), why)
    return folder


def _from_hub(name: str, wants: Collection[str], options: HubOptions) -> Path:
    """Return the folder in the cache, of the commit that the revision is now."""
    from huggingface_hub import HfApi, constants

    api, timeout = HfApi(token=options.token), constants.HF_HUB_ETAG_TIMEOUT
    info = api.model_info(name, revision=options.revision or "main", timeout=timeout)
    there = [file.rfilename for file in info.siblings or ()]
    files = [file for want in wants for file in _chosen(want, there)]
    for want in wants:
        if want in _NEEDED and not {re.sub(r"^0_\w+/", "", file) for file in files} & {
            *_NEEDED[want]
        }:
            raise lacks(_NEEDED[want], there, name, options.revision)
    with suppress(FileNotFoundError):
        folder = _from_cache(name, wants, options, "")
        whole = folder.name == info.sha and all((folder / file).exists() for file in files)
        if whole and not options.force_download:
            return folder
    folder = _download(name, options, info.sha, files)
    shards = [
        str(PurePosixPath(file).with_name(shard))
        for file in files
        for shard in shards_of(folder / file)
    ]
    if missing := sorted(set(shards) - set(there)):
        raise lacks(missing, there, name, options.revision)
    if shards:
        _download(name, options, info.sha, shards)
    # the branch moves only now: an interrupted download leaves the commit that is complete
    _download(name, options, options.revision, [*files, *shards], force_download=False)
    return folder


def _chosen(want: str, there: Collection[str]) -> list[str]:
    found = [file for file in WANTS[want] if file in there]
    modules = {match[0] for file in there if (match := _MODULE.match(file))}
    for module in sorted(modules) if want == "sentence" else ():
        inside = [file.removeprefix(f"{module}/") for file in there]
        inside = [name for name, file in zip(inside, there, strict=True) if name != file]
        found += [f"{module}/{file}" for inner in WANTS for file in _chosen(inner, inside)]
    return found[:1] if want == "weights" else found


def _lacking(wants: Collection[str], folder: Path) -> Collection[str]:
    """Return what is needed and not in a folder; of several names that would do, all."""
    if "sentence" in wants and not (folder / CONFIG_NAME).exists():
        folder = next(folder.glob("0_*"), folder)
    for want in wants:
        names = _NEEDED.get(want, ())
        if names and not any((folder / name).exists() for name in names):
            return names
    form = weights_in_force(folder) if "weights" in wants else None
    shards = shards_of(folder / form) if form else []
    return [shard for shard in shards if not (folder / shard).exists()]


def _cache(options: HubOptions) -> Path:
    from huggingface_hub import constants

    return Path(options.cache_dir or constants.HF_HUB_CACHE).expanduser()


def _download(
    name: str, options: HubOptions, revision: str | None, files: Collection[str], **more: Any
) -> Path:
    """Have the client download files to the cache; return the folder of their commit."""
    from huggingface_hub import snapshot_download

    how = {"token": options.token, "force_download": options.force_download, **more}
    how |= {"cache_dir": _cache(options), "allow_patterns": [glob.escape(file) for file in files]}
    folder = Path(snapshot_download(name, revision=revision, **how))
    # a client that cannot list the files of a commit returns without them
    if not more and not all((folder / file).exists() for file in files):
        raise ConnectionError(errno.ECONNABORTED, "not all of it arrived")
    return folder
