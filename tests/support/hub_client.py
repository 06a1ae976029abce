"""A process that asks for models: the real client of the Hub, with an environment of its own.

The client reads its environment variables once, when it is imported; hence a process. At the end:
the fixtures that the tests of the Hub share.
"""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hub_server import HubServer, Repository
from wide import WIDE

CHILD = """
import faulthandler, json, socket, sys, time, warnings
sys.path.insert(0, sys.argv[1])
if "sleepless" in sys.argv:
    time.sleep = lambda _: None
if "nameless" in sys.argv:
    def getaddrinfo(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")
    socket.getaddrinfo = getaddrinfo
from minibert.checkpoint.hub import HubOptions, local_folder
print("ready", flush=True)
for line in sys.stdin:
    faulthandler.dump_traceback_later(40, exit=True)
    name, wants, options = json.loads(line)
    outcome = {"folder": None, "error": None, "message": "", "chain": None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # the old client's sessions
        try:
            outcome["folder"] = str(local_folder(name, wants, HubOptions(**options)))
        except Exception as error:
            kind = type(error)
            outcome["error"] = kind.__name__ if kind.__module__ == "builtins" else repr(kind)
            outcome["message"] = str(error)
            shown = error.__cause__ or (not error.__suppress_context__ and error.__context__)
            outcome["chain"] = repr(shown) if shown else None
    outcome["warnings"] = [str(w.message) for w in caught]
    outcome["hub_imported"] = "huggingface_hub" in sys.modules
    faulthandler.cancel_dump_traceback_later()
    print(json.dumps(outcome), flush=True)
"""
# what makes a folder one that nobody can write, for a process
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


class Client:
    """A process that calls local_folder; of the Hub it knows what the environment given says.

    It does not sleep between its attempts ("sleepless"), unless other words are given.
    """

    def __init__(
        self,
        home: Path,
        *words: str,
        prefix: tuple[str, ...] = (),
        **environment: str,
    ) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "XDG_", "TQDM"))
            and not name.lower().endswith("_proxy")
        }
        short = {"HF_HUB_ETAG_TIMEOUT": "2", "HF_HUB_DOWNLOAD_TIMEOUT": "2"}
        fixed = {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
        root = str(Path(__file__).parents[2])
        self._stderr = (home / "stderr").open("w")
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-c", CHILD, root, *(words or ["sleepless"])],
            env={**kept, **short, **fixed, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=60)
        finally:
            self._process.kill()
            self._stderr.close()

    def ask(self, name: str, *wants: str, **options: Any) -> None:
        """Call local_folder and go on; no wants: the config and the weights."""
        call = [name, wants or ["config", "weights"], options]
        print(json.dumps(call, default=str), file=self._process.stdin, flush=True)

    def outcome(self) -> SimpleNamespace:
        """Wait for what came of a call."""
        for line in self._process.stdout or ():
            if line.strip() != "ready":
                return SimpleNamespace(**json.loads(line))
        raise AssertionError(f"the client ended: {self.printed()}")

    def __call__(self, name: str, *wants: str, **options: Any) -> SimpleNamespace:
        """Call local_folder and return what came of it."""
        self.ask(name, *wants, **options)
        return self.outcome()

    def folder(self, name: str, *wants: str, **options: Any) -> Path:
        """Return the folder that a call without an error or a warning returned."""
        outcome = self(name, *wants, **options)
        assert outcome.folder is not None, outcome.message
        assert outcome.warnings == []
        return Path(outcome.folder)

    def printed(self) -> str:
        """Return what it wrote to stderr, its progress bars among it."""
        return (self.home / "stderr").read_text()


def read_only(folder: Path) -> tuple[str, ...] | None:
    """Return the command before a process that cannot write a folder; None if that cannot be."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    alone = ["unshare", "--mount"] if root else ["unshare", "--user", "--map-root-user", "--mount"]
    prefix = (*alone, "sh", "-c", READ_ONLY, str(folder))
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return prefix


CONFIG, WEIGHTS = "config.json", "model.safetensors"
FILES = {name: (WIDE / name).read_bytes() for name in (CONFIG, WEIGHTS)}
NEWER = {CONFIG: FILES[CONFIG] + b"\n", WEIGHTS: FILES[WEIGHTS][:-1] + b"\x3c"}
MAIN = "GET /api/models/lab/bert/revision/main"  # asks for the commit and its files
NOBODY = "http://127.0.0.1:9"  # nothing listens there
Ask = Callable[..., SimpleNamespace]


def contents(folder: str | Path) -> dict[str, bytes]:
    """Return the files of a folder and of those in it, by their names."""
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Client]]:
    """A server and a client, for all tests of a module."""
    with HubServer() as server:
        home = tmp_path_factory.mktemp("home")
        with Client(home, HF_ENDPOINT=server.url, TQDM_POSITION="-1") as client:
            yield server, client


@pytest.fixture
def server(running: tuple[Any, Client]) -> Any:
    """The server, with nothing but an empty lab/bert."""
    running[0].reset()
    running[0].repositories["lab/bert"] = Repository()
    return running[0]


@pytest.fixture
def repository(server: Any) -> Any:
    """The repository lab/bert."""
    return server.repositories["lab/bert"]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of the test's own."""
    return tmp_path / "cache"


@pytest.fixture
def ask(running: tuple[Any, Client], server: Any, cache: Path) -> Ask:
    """What calls local_folder and returns what came of it."""
    return functools.partial(running[1], cache_dir=cache)


@pytest.fixture
def get(running: tuple[Any, Client], server: Any, cache: Path) -> Callable[..., Path]:
    """What calls local_folder and returns the folder, without an error or a warning."""
    return functools.partial(running[1].folder, cache_dir=cache)


@pytest.fixture
def filled(server: Any, repository: Any, get: Callable[..., Path]) -> Path:
    """The folder in the cache after a download; the log is empty again."""
    repository.commit(FILES)
    folder = get("lab/bert")
    server.requests()
    return folder
