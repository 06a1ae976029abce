"""The files of one commit of a repository: which are wanted, and where each is got from."""

import os
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minibert.checkpoint.files import write_whole
from minibert.checkpoint.hub_errors import Asked, explain, lacks, not_a_hub
from minibert.checkpoint.source import FORMS, weight_map

# in the order of downloading: a vocabulary comes last, so that it is never there without the rest
_OPTIONAL = {
    "sentence": ("modules.json", "sentence_bert_config.json", "1_Pooling/config.json"),
    "tokenizer": ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
}
_ONE_OF = {"tokenizer": ("vocab.txt", "tokenizer.json"), "config": ("config.json",)}
WANTS = ("sentence", "tokenizer", "config", "weights")

COMMIT = re.compile(r"[0-9a-f]{40}")
_BUSY = (408, 429, 500, 502, 503, 504)  # the client tries again after these


@dataclass(frozen=True)
class HubOptions:
    """How to get a model from the Hub; the names are those of transformers."""

    revision: str | None = None  # a branch, a tag or a commit hash; None: main
    token: str | bool | None = field(default=None, repr=False)  # None: the stored one, if any
    cache_dir: str | os.PathLike[str] | None = None  # None: as HF_HUB_CACHE or HF_HOME say
    local_files_only: bool = False
    force_download: bool = False

    @property
    def cache(self) -> Path:
        """The folder of the cache."""
        from huggingface_hub import constants

        return Path(self.cache_dir or constants.HF_HUB_CACHE).expanduser()


class Missing(Exception):  # noqa: N818  # stays inside: no user sees it
    """None of these files is there, and one is needed."""

    def __init__(self, *files: str) -> None:
        super().__init__(*files)
        self.files = files


def gather(wants: Collection[str], get: Callable[[str], Path | None]) -> None:
    """Get every file that is wanted; Missing if one that is needed is not there."""
    for want in WANTS:
        if want not in wants:
            continue
        for file in _OPTIONAL.get(want, ()):
            if get(file) is None and file == "modules.json":
                break  # no model of sentence-transformers: the others are not there either
        if want in _ONE_OF and not [file for file in _ONE_OF[want] if get(file) is not None]:
            raise Missing(*_ONE_OF[want])
        if want == "weights":
            _gather_weights(get)


def _gather_weights(get: Callable[[str], Path | None]) -> None:
    """Get one form of the weights: the first that is there, as open_weights will choose."""
    for form in FORMS:
        path = get(form)
        if path is None:
            continue
        for shard in _shards(path) if form.endswith(".index.json") else ():
            if get(shard) is None:
                raise Missing(shard)
        return
    raise Missing(*FORMS)


def _shards(index: Path) -> list[str]:
    names = sorted(set(weight_map(index).values()))
    for name in names:
        if not re.fullmatch(r"\w[\w.-]*\.(safetensors|bin)", name):
            raise ValueError(
                f"{str(index)!r} names the shard {name!r:.200}; "
                "allowed: the name of a .safetensors or .bin file in the same folder"
            )
    return names


@dataclass(frozen=True)
class Snapshot:
    """The files of one commit, in the cache and on the Hub."""

    repo_id: str
    commit: str
    asked: Asked
    options: HubOptions

    @property
    def folder(self) -> Path:
        """Where the cache keeps them."""
        return storage(self.repo_id, self.options) / "snapshots" / self.commit

    def cached(self, file: str) -> Path | None:
        """Return the file in the cache; None if it is not there, be it on the Hub or not."""
        found = self._look(file)
        return Path(found) if isinstance(found, str) else None

    def known(self, file: str) -> Path | None:
        """Return the file in the cache; None if the Hub has none, Missing if only it can tell."""
        found = self._look(file)
        if found is None:
            raise Missing(file)
        return Path(found) if isinstance(found, str) else None

    def fetched(self, file: str) -> Path | None:
        """Return the file in the cache, downloaded if need be; None if the Hub has none."""
        if not self.options.force_download:
            with suppress(Missing):
                return self.known(file)
        return self._download(file)

    def _look(self, file: str) -> object:
        from huggingface_hub import try_to_load_from_cache

        return try_to_load_from_cache(
            self.repo_id, file, cache_dir=self.options.cache, revision=self.commit
        )

    def _download(self, file: str) -> Path | None:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            path = hf_hub_download(
                self.repo_id,
                file,
                revision=self.commit,
                token=self.options.token,
                cache_dir=self.options.cache,
                force_download=self.options.force_download,
            )
        except Exception as error:  # of the client, of what it stands on, or of the disk
            absent = isinstance(error, EntryNotFoundError)
            if absent and not isinstance(error, LocalEntryNotFoundError):
                return None
            raise explain(error, self.asked, file) from None
        return Path(path)

    def missing(self, files: Collection[str]) -> OSError:
        """Return the error for files that the Hub has not; it says what is there instead."""
        from huggingface_hub import HfApi

        there: list[str] = []
        with suppress(Exception):  # only for the sentence
            api = HfApi(token=self.options.token)
            info = api.model_info(self.repo_id, revision=self.commit, timeout=10)
            there = [file.rfilename for file in info.siblings or []]
        return lacks(files, there, self.asked)


def storage(repo_id: str, options: HubOptions) -> Path:
    """Return the folder of a repository in the cache."""
    from huggingface_hub.file_download import repo_folder_name

    return options.cache / repo_folder_name(repo_id=repo_id, repo_type="model")


def last_commit(repo_id: str, asked: Asked, options: HubOptions) -> str:
    """Return the commit that the revision was when last asked for; nothing if it never was."""
    if COMMIT.fullmatch(asked.revision):
        return asked.revision
    with suppress(OSError, ValueError):
        commit = (storage(repo_id, options) / "refs" / asked.revision).read_text("utf-8").strip()
        return commit if COMMIT.fullmatch(commit) else ""
    return ""


def remember(snapshot: Snapshot) -> None:
    """Write down which commit the revision is, where the client does; not in a read-only cache."""
    revision = snapshot.asked.revision
    if last_commit(snapshot.repo_id, snapshot.asked, snapshot.options) == snapshot.commit:
        return
    ref = storage(snapshot.repo_id, snapshot.options) / "refs" / revision
    with suppress(OSError):
        ref.parent.mkdir(parents=True, exist_ok=True)
        write_whole(ref, snapshot.commit.encode())


def current_commit(asked: Asked, options: HubOptions, patient: bool) -> str:
    """Return the commit that the revision is now, by one request; OSError if there is no answer.

    If ``patient``, a busy Hub is asked again as often as the client thinks fit.
    """
    from inspect import signature

    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.errors import HfHubHTTPError

    retry = {"retry_on_errors": True}
    can_retry = retry.keys() <= signature(get_hf_file_metadata).parameters.keys()  # the old cannot
    try:
        try:
            commit = _head(asked, options)
        except HfHubHTTPError as error:
            if not (patient and can_retry and error.response.status_code in _BUSY):
                raise
            commit = _head(asked, options, **retry)
    except Exception as error:  # of the client, or of what it stands on
        raise explain(error, asked) from None
    if not COMMIT.fullmatch(commit or ""):
        raise not_a_hub(asked)
    return str(commit)


def _head(asked: Asked, options: HubOptions, **more: Any) -> str | None:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    url = hf_hub_url(asked.repo_id, "config.json", revision=asked.revision)
    timeout = constants.HF_HUB_ETAG_TIMEOUT
    commit: str | None
    try:
        commit = get_hf_file_metadata(url, options.token, timeout=timeout, **more).commit_hash
    except HfHubHTTPError as error:
        if not isinstance(error, EntryNotFoundError):
            raise
        # the file is not there, but the commit is
        commit = error.response.headers.get(constants.HUGGINGFACE_HEADER_X_REPO_COMMIT)
    return commit
