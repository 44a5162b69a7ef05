"""What an accelerator runs on, from its first use to its end: the host, the pool and the recorder."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webinfer.browsers.discovery.find import find, find_several
from webinfer.browsers.processes.profiles import note_port, port_of
from webinfer.core.errors import OptionError, PoolClosed, PortInUse
from webinfer.core.options import Options
from webinfer.pool.pool import Pool
from webinfer.telemetry.readers.snapshot import Snapshot, take
from webinfer.telemetry.recorder import Recorder
from webinfer.telemetry.registry import Entry, announce, retract
from webinfer.transport.server import Host
from webinfer.tuning.results import TuningResults

if TYPE_CHECKING:
    from webinfer.telemetry.database.store import Store

log = logging.getLogger("webinfer")


class Lifecycle:
    """Starts what an accelerator runs on when it is first needed, and ends it.

    Args:
        options: Options of the accelerator.

    Attributes:
        options: The options in force; ``limit_memory`` and ``scale_timeouts`` replace them.
        host: Serves the browsers' pages; ``None`` before the first use.
        pool: Browsers and lanes; ``None`` before the first use.
        recorder: Counts every result and event, and writes them to the database.
        tunings: Results of tuning, from the cache directory and the database.
        closed: Whether it was ended.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.host: Host | None = None
        self.pool: Pool | None = None
        self.recorder = Recorder()
        self.tunings = TuningResults()
        self.closed = False
        self._entry: Entry | None = None  # by which other processes find this accelerator
        self._starting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Lifecycle {'closed' if self.closed else self.pool or 'not started'}>"

    async def open(self) -> Pool:
        """Find the browsers and start the host, unless that was done.

        Returns:
            The pool, without a browser at first.

        Raises:
            BrowserNotFound: There is no browser to start.
            PortInUse: The host's port is taken.
            DatabaseError: The database cannot be opened.
            PoolClosed: The accelerator was closed.
        """
        self.check_open()
        # Each part starts once, even if an earlier call failed halfway: the next call starts only what is missing.
        async with self._starting:
            options = self.options
            if self.pool is None and options.browsers:
                installations = await asyncio.to_thread(find_several, options.browsers)
            elif self.pool is None:
                installations = [await asyncio.to_thread(find, options.browser, options.executable)]
            if self.recorder.store is None and options.db_path is not None:
                self.recorder.open(await asyncio.to_thread(_open_store, options.db_path), options)
                self.tunings.rows = self.recorder.tunings
            if self.host is None:
                self.host = host = await _start_host(options)
                host.report, host.exposition = self._report, self._exposition
                self._entry = await asyncio.to_thread(_announce, host)
            if self.pool is None:
                self.pool = Pool(self.host, installations, options)
                self.recorder.watch(self.pool)
            self.check_open()  # close() may have come while this started; it waits for the lock, and ends all of it
            return self.pool

    async def database(self) -> Store:
        """Return the database.

        Raises:
            OptionError: There is none.
        """
        await self.open()
        if self.recorder.store is None:
            raise OptionError("There is no database to ask: set db_path, to :memory: if need be.", option="db_path")
        return self.recorder.store

    async def snapshot(self) -> Snapshot:
        """Return what is going on right now.

        Raises:
            PoolClosed: The accelerator was closed.
        """
        self.check_open()
        return await take(self.pool, self.recorder.counters)

    def check_open(self) -> None:
        """Refuse to go on after ``close``.

        Raises:
            PoolClosed: The accelerator was closed.
        """
        if self.closed:
            raise PoolClosed("The accelerator is closed: make a new one.")

    async def close(self) -> None:
        """End the browsers and the host, and fail whatever still waits."""
        self.closed = True
        if self.pool is not None:
            await self.pool.close()  # which ends a start under way, too
        async with self._starting:
            if self.pool is not None:
                await self.pool.close()
            if self._entry is not None:
                retract(self._entry)  # not in a thread: when the interpreter exits, none can be had any more
            if self.host is not None:
                await self.host.close()
            self.recorder.close()  # not in a thread either

    async def _report(self) -> dict[str, Any]:
        return (await self.snapshot()).to_dict()

    async def _exposition(self, accept: str) -> tuple[bytes, str]:
        from webinfer.telemetry.readers import prometheus  # late: its client takes a while to import

        return await prometheus.expose(await self.snapshot(), self.recorder.counters.read(), accept)


def _announce(host: Host) -> Entry | None:
    """Return the entry by which other processes find the accelerator; ``None`` if it cannot be written."""
    try:
        return announce(host.origin, host.status_token)
    except (OSError, OptionError) as error:
        log.warning("other processes will not find this accelerator: %s", error)
        return None


def _open_store(path: Path) -> Store:
    from webinfer.telemetry.database.store import Store  # late: DuckDB takes a while to import

    return Store(path)


async def _start_host(options: Options) -> Host:
    """Return the host, started. With kept profiles it takes the port that it had before, if that is free.

    Raises:
        PortInUse: The port that the options name is taken.
    """
    # A browser's storage belongs to an origin, and so to a port: on another one, a kept profile holds no models.
    profiles = options.profiles
    known = await asyncio.to_thread(port_of, profiles) if profiles is not None else 0
    preferred = options.port or known
    for port in dict.fromkeys((preferred, options.port)):
        host = Host(options.address, port, options.max_message_mb, options.heartbeat, options.metrics_token)
        try:
            await host.start()
            break
        except PortInUse:
            if port == options.port:
                raise
    if profiles is not None and (not known or options.port):
        await asyncio.to_thread(note_port, profiles, host.port)
    return host
