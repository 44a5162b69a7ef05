"""A hub of models for tests: speaks the Hugging Face hub's protocol, and fails as it is told to."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from aiohttp import web

COMMIT = "c" * 40
_LARGE = re.compile(r".*\.onnx(_data.*|\.data)?$|.*\.bin$")  # what is kept in git LFS, and so served by the CDN
_LISTING = re.compile(r"/api/models/(?P<repo>.+?)/revision/(?P<revision>[^/]+)")
_FILE = re.compile(r"/(?P<repo>.+?)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")

Answer = Callable[[web.Request, "Repo", str], web.StreamResponse | None]


@dataclass
class Repo:
    """A repository: one commit, under any number of branches."""

    files: dict[str, bytes]
    bases: list[str] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    token: str | None = None
    gated: bool = False


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    cdn: bool
    token: str | None
    range: str | None


class HubServer:
    """A hub and its CDN, each on a port of its own, in a thread of their own."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.renamed: dict[str, str] = {}
        self.asked: list[Asked] = []
        self.tampered: dict[str, bytes] = {}  # by file: what comes instead
        self.breaks: dict[str, deque[int]] = {}  # by file: after how many bytes the next downloads break off
        self.slow: dict[str, float] = {}  # by file: seconds between its pieces
        self._failures: dict[str, deque[tuple[int, dict[str, str]]]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runners: list[web.AppRunner] = []
        self.url = self.cdn = ""

    def add(self, repo: str, files: Mapping[str, bytes | Path | str], **options: Any) -> Repo:
        """Host a repository."""
        contents = {}
        for name, value in files.items():
            contents[name] = (
                value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else value.read_bytes()
            )
        self.repos[repo] = Repo(contents, **options)
        return self.repos[repo]

    def fail(self, part: str, *statuses: int, **headers: str) -> None:
        """Answer the next requests whose method and path contain a text with these statuses."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        self._failures.setdefault(part, deque()).extend((status, told) for status in statuses)

    def files_asked(self, method: str = "GET") -> list[str]:
        """Return the files that were downloaded, in order of name."""
        found = (_FILE.fullmatch(one.path) for one in self.asked if one.method == method and not one.cdn)
        direct = [match["file"] for match in found if match]
        return sorted(direct + [one.path.split("/", 2)[2] for one in self.asked if one.cdn and one.method == method])

    def environment(self, cache: Path) -> dict[str, str]:
        """Return the variables that point a process to this hub, and nothing else."""
        return {"HF_ENDPOINT": self.url, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}

    def use(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        """Point this process to this hub. The library read its environment when it was imported."""
        from huggingface_hub import constants

        monkeypatch.delenv("HF_TOKEN", raising=False)
        settings = {
            "ENDPOINT": self.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": self.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_HUB_OFFLINE": False,
            "HF_TOKEN_PATH": str(home / "token"),
        }
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value)

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = self._start(self._serve)
        self.cdn = self._start(self._serve_cdn)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from huggingface_hub.utils import close_session

        close_session()
        for runner in self._runners:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # Inside

    def _start(self, handler: Callable[[web.Request], Any]) -> str:
        async def start() -> int:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handler)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            self._runners.append(runner)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port: int = runner.addresses[0][1]
            return port

        return f"http://127.0.0.1:{asyncio.run_coroutine_threadsafe(start(), self._loop).result(10)}"

    def _note(self, request: web.Request, cdn: bool) -> web.Response | None:
        headers = request.headers
        token = headers.get("Authorization", "").removeprefix("Bearer ") or None
        self.asked.append(Asked(request.method, request.path, cdn, token, headers.get("Range")))
        for part, waiting in self._failures.items():
            if part in f"{request.method} {'cdn' if cdn else 'hub'} {request.path}" and waiting:
                status, told = waiting.popleft()
                return web.Response(status=status, headers=told)
        return None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        wanted = _LISTING.fullmatch(request.path) or _FILE.fullmatch(request.path)
        if wanted is None:  # what the library asks for purposes of its own
            return web.Response(status=404)
        failed = self._note(request, cdn=False)
        if failed is not None:
            return failed
        name = wanted["repo"]
        if name in self.renamed:
            target = request.path.replace(name, self.renamed[name], 1)
            return web.Response(status=307, headers={"Location": f"{target}?{request.query_string}"})
        repo = self.repos.get(name)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if repo is None or (repo.token and repo.token != token):
            return web.Response(status=401 if not token else 404, headers={"X-Error-Code": "RepoNotFound"})
        commit = (
            wanted["revision"]
            if wanted["revision"] in repo.branches.values()
            else repo.branches.get(wanted["revision"])
        )
        if commit is None:
            return web.Response(status=404, headers={"X-Error-Code": "RevisionNotFound"})
        if "file" not in wanted.groupdict():
            return web.json_response(_listing(name, repo, commit))
        if repo.gated:
            return web.Response(status=403, headers={"X-Error-Code": "GatedRepo", "X-Error-Message": "Ask for access"})
        if wanted["file"] not in repo.files:
            return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        return await self._file(request, repo, name, wanted["file"], commit)

    async def _file(self, request: web.Request, repo: Repo, name: str, file: str, commit: str) -> web.StreamResponse:
        contents = repo.files[file]
        headers = {"X-Repo-Commit": commit}
        if _LARGE.fullmatch(file):
            headers |= {"X-Linked-Etag": f'"{sha256(contents)}"', "X-Linked-Size": str(len(contents))}
            headers["Location"] = f"{self.cdn}/{name.replace('/', '~')}/{file}"
            return web.Response(status=302, headers=headers)
        return await self._send(request, file, contents, headers | {"ETag": f'"{blob_id(contents)}"'})

    async def _serve_cdn(self, request: web.Request) -> web.StreamResponse:
        failed = self._note(request, cdn=True)
        if failed is not None:
            return failed
        _, name, file = request.path.split("/", 2)
        return await self._send(request, file, self.repos[name.replace("~", "/")].files[file], {})

    async def _send(
        self, request: web.Request, file: str, contents: bytes, headers: dict[str, str]
    ) -> web.StreamResponse:
        contents = self.tampered.get(file, contents)
        first = request.http_range.start or 0
        status = 206 if request.headers.get("Range") else 200
        if status == 206:
            headers["Content-Range"] = f"bytes {first}-{len(contents) - 1}/{len(contents)}"
        rest = contents[first:]
        response = web.StreamResponse(status=status, headers=headers | {"Content-Length": str(len(rest))})
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        if self.breaks.get(file):
            await response.write(rest[: self.breaks[file].popleft()])
            assert request.transport is not None
            request.transport.close()
            return response
        size = len(rest) // 50 if file in self.slow else len(rest)
        for at in range(0, len(rest), max(size, 1)):
            await response.write(rest[at : at + size])
            await asyncio.sleep(self.slow.get(file, 0))
        return response


def sha256(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def blob_id(contents: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(contents) + contents, usedforsecurity=False).hexdigest()


def _listing(name: str, repo: Repo, commit: str) -> dict[str, Any]:
    siblings: list[dict[str, Any]] = []
    for file, contents in repo.files.items():
        entry: dict[str, Any] = {"rfilename": file, "size": len(contents), "blobId": blob_id(contents)}
        if _LARGE.fullmatch(file):
            entry |= {
                "blobId": "0" * 40,
                "lfs": {"sha256": sha256(contents), "size": len(contents), "pointerSize": 130},
            }
        siblings.append(entry)
    tags = [f"base_model:{base}" for base in repo.bases]
    return {"id": name, "sha": commit, "siblings": siblings, "tags": tags, "cardData": {"license": "mit"}}
