"""A small server of the shape of the Hub, on loopback.

Files of the suffixes in LARGE lie on a second server, as on the Hub: the first answers with a
redirect to it, and with their size and hash. Every request is logged; faults are switched on for
the requests that match a pattern.
"""

import hashlib
import json
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin")
FILE = re.compile(r"/(?P<id>[^/]+(?:/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
INFO = re.compile(r"/api/models/(?P<id>[^/]+(?:/[^/]+)?)/revision/(?P<revision>[^/]+)")
TREE = re.compile(r"/api/models/(?P<id>[^/]+(?:/[^/]+)?)/tree/(?P<revision>[^/]+)")
SOON = 10  # seconds after which whoever hangs is let go


@dataclass
class Repository:
    """What a repository holds: files by commit, and the commits of its branches."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    token: str | None = None  # who reads a private one must send it
    gated: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit and move the branch to it."""
        name = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[name] = dict(files)
        self.branches[branch] = name
        return name


@dataclass
class Fault:
    """What goes wrong for requests whose "METHOD path" matches, all or the first few of them."""

    pattern: str
    times: int = sys.maxsize
    status: int | None = None  # answer with it, and with these headers
    headers: dict[str, str] = field(default_factory=dict)
    drop: int | None = None  # break the connection after so many bytes of the body
    whole: bool = False  # answer a range with the whole file
    before: Callable[[], Any] | None = None  # do this before the answer is made
    after: Callable[[], Any] | None = None  # do this before it is sent


class HubServer:
    """Two servers on loopback, the Hub and its store of large files; stops at the end of with."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.faults: list[Fault] = []
        self.log: list[SimpleNamespace] = []
        self.stores: dict[str, bytes] = {}
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._servers = [self._serve(handler) for handler in (_Hub, _Store)]
        self.url, self.store = (f"http://127.0.0.1:{s.server_port}" for s in self._servers)

    def _serve(self, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), {"hub": self}))
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # a client that has gone is no news
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def __enter__(self) -> "HubServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def hang(self) -> None:
        """Keep the client waiting until the server stops, if it has that patience."""
        self.stopped.wait(SOON)

    def reset(self) -> None:
        """Forget all repositories, faults and requests."""
        for part in (self.repositories, self.faults, self.log, self.stores):
            part.clear()

    def requests(self) -> list[str]:
        """Return the requests since the last call: "METHOD path", without the commits' names."""
        with self._lock:
            seen, self.log[:] = [entry.line for entry in self.log], []
        return [re.sub(r"[0-9a-f]{40,}", "COMMIT", line) for line in seen]

    def note(self, handler: BaseHTTPRequestHandler) -> Fault | None:
        """Log a request; return the fault that it is to meet."""
        line = f"{handler.command} {unquote(urlsplit(handler.path).path)}"
        with self._lock:
            self.log.append(SimpleNamespace(line=line, headers=handler.headers))
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, line):
                    fault.times -= 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    """What both servers do: log, meet faults, answer with ranges."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    timeout = SOON

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.fault = self.hub.note(self) or Fault("")
        if self.fault.before:
            self.fault.before()
        if self.fault.status:
            self.answer(self.fault.status, b"{}", **self.fault.headers)
        else:
            self.respond()

    def respond(self) -> None:
        raise NotImplementedError

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send headers (an underscore stands for a hyphen) and the body, if it is asked for."""
        if self.fault.after:
            self.fault.after()
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault.drop is not None:
            body = body[: self.fault.drop]
            self.close_connection = True
        self.wfile.write(body)

    def answer_file(self, content: bytes, **headers: str) -> None:
        """Send a file, or the range of it that is asked for."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not found or self.fault.whole:
            self.answer(200, content, **headers)
        elif (start := int(found[1])) >= len(content):
            self.answer(416, Content_Range=f"bytes */{len(content)}")
        else:
            part = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[start:], Content_Range=part, **headers)


def _blob(content: bytes) -> str:
    """Return the name that git gives to a content."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _listed(file: str, content: bytes) -> dict[str, Any]:
    """Return a line of the list of files."""
    line = {"type": "file", "path": file, "size": len(content), "oid": _blob(content)}
    if file.endswith(LARGE):
        large = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
        line["lfs"] = large | {"pointerSize": 130}
    return line


class _Store(_Handler):
    """The store of large files: /sha256 of the content."""

    def respond(self) -> None:
        content = self.hub.stores.get(self.path.strip("/"))
        if content is None:
            self.answer(404)
        else:
            self.answer_file(content)


class _Hub(_Handler):
    """The Hub: information about a repository, and its files."""

    def respond(self) -> None:
        path = urlsplit(self.path).path
        found = FILE.fullmatch(path) or INFO.fullmatch(path) or TREE.fullmatch(path)
        if found is None:
            self.answer(404)
        else:
            self.respond_for(found["id"], unquote(found["revision"]), unquote(path), found)

    def respond_for(self, repo_id: str, revision: str, path: str, found: re.Match[str]) -> None:
        repository = self.hub.repositories.get(repo_id)
        sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if sent == "hf_wrong":
            message = "Invalid credentials in Authorization header"
            self.answer(401, X_Error_Message=message)
        elif repository is None or repository.token not in (None, sent):
            if sent:
                self.answer(404, X_Error_Code="RepoNotFound")
            else:  # as the Hub does: who is not known is not told what is not there
                self.answer(401, X_Error_Message="Invalid username or password.")
        elif repository.gated and "resolve" in path:
            self.answer(403 if sent else 401, X_Error_Code="GatedRepo")
        elif (commit := repository.branches.get(revision, revision)) not in repository.commits:
            self.answer(404, X_Error_Code="RevisionNotFound")
        elif "file" in found.groupdict():
            self.respond_file(repository.commits[commit], commit, unquote(found["file"]))
        elif "/tree/" in path:
            there = repository.commits[commit]
            listed = [_listed(file, there[file]) for file in sorted(there)]
            self.answer(200, json.dumps(listed).encode(), Content_Type="application/json")
        else:
            files = [{"rfilename": file} for file in sorted(repository.commits[commit])]
            about = {"id": repo_id, "sha": commit, "siblings": files}
            self.answer(200, json.dumps(about).encode(), Content_Type="application/json")

    def respond_file(self, files: dict[str, bytes], commit: str, file: str) -> None:
        content = files.get(file)
        if content is None:
            self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        elif file.endswith(LARGE):
            name = hashlib.sha256(content).hexdigest()
            self.hub.stores[name] = content
            headers = {"X_Linked_Size": str(len(content)), "X_Linked_Etag": f'"{name}"'}
            place = f"{self.hub.store}/{name}"
            self.answer(302, Location=place, X_Repo_Commit=commit, **headers)
        else:
            self.answer_file(content, ETag=f'"{_blob(content)}"', X_Repo_Commit=commit)
