"""Everything that was counted since an accelerator was made, in memory that does not grow with time."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from webinfer.core.errors import BrowserLost
from webinfer.core.placement import LaneId
from webinfer.pool.events import (
    BatchFinished,
    BrowserEnded,
    BrowserRefused,
    BrowserStarted,
    Event,
    HostStalled,
    LaneEnded,
    LaneStarted,
    LoadFailedEvent,
    RunFailedEvent,
    RunFinished,
    SessionLoaded,
)
from webinfer.pool.plan.assignment import SessionKey
from webinfer.pool.requests.request import Times
from webinfer.telemetry.counters.bounded import Ended, LruMap
from webinfer.telemetry.counters.busy_time import BusyTime
from webinfer.telemetry.counters.labels import Labels, ModelNames
from webinfer.telemetry.counters.recent import FaultLog, RecentRuns
from webinfer.telemetry.counters.series import LaneCounts, Series, SessionCounts

MODELS = 1000
"""Models with counts of their own; the one that was used longest ago makes room for a new one."""

_SESSIONS = 4096  # with counts of their own


@dataclass(slots=True)
class ModelCounts:
    """One model's counts.

    Attributes:
        sha256: Hash of its files.
        label: Its name in time series.
        series: Its series, by precision, backend and browser.
        busy: The time in which one of its requests was under way.
    """

    sha256: str
    label: str
    series: dict[tuple[str, str, str], Series] = field(default_factory=dict)
    busy: BusyTime = field(default_factory=BusyTime)

    @property
    def is_used(self) -> bool:
        """Whether a session was loaded or an answer given."""
        return any(series.is_used for series in self.series.values())


@dataclass(slots=True)
class NamedModels:
    """Models of one name, by hash: precisions of one model, most often, or files that are called alike.

    ``busy`` is the time in which a request of one of them was under way.
    """

    models: dict[str, ModelCounts] = field(default_factory=dict)
    busy: BusyTime = field(default_factory=BusyTime)


class Counts:
    """What was counted so far. ``Counters`` feeds it, and readers take what they need.

    Args:
        clock: Seconds that only grow.

    Attributes:
        began: When counting began.
        names: Names of models.
        models: Counts of models, by hash, the one used longest ago first.
        named: The same, by name; by hash where it has no name.
        past: Series of models that have no counts of their own any more; their models are labels.
        past_models: How many of these were used.
        busy: The time in which a request was under way.
        faults: What failed, was lost or was refused, by kind and error code; kinds as in ``Fault``.
        fault_log: The last ones.
        starts: Browsers started, by name.
        retired: Lanes and browsers that were ended on purpose, by kind.
        browsers: When each browser that runs was ready, by id.
        browsers_peak: The most browsers that ever ran.
        lanes: Counts of the lanes that run, by id.
        lanes_started: Lanes ever started.
        sessions: Counts of sessions.
        recovered: Requests that were answered after a failed attempt.
        recent: The runs of the last seconds.
        batches: Runs of models with dynamic batching, by their number of requests.
        hits: Look-ups that found a model loaded.
        misses: Look-ups that did not.
        interval: The time in which a request was under way since it was set; ``None`` where it is not asked for.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.began = clock()
        self.names = ModelNames()
        self.models: OrderedDict[str, ModelCounts] = OrderedDict()
        self.named: dict[str, NamedModels] = {}
        self.past: dict[Labels, Series] = {}
        self.past_models = 0
        self.busy = BusyTime()
        self.faults: Counter[tuple[str, str]] = Counter()
        self.fault_log = FaultLog()
        self.starts: Counter[str] = Counter()
        self.retired: Counter[str] = Counter(lane=0, browser=0)
        self.browsers: dict[str, float] = {}
        self.browsers_peak = 0
        self.lanes: dict[LaneId, LaneCounts] = {}
        self.lanes_started = 0
        self.sessions: LruMap[SessionKey, SessionCounts] = LruMap(_SESSIONS)
        self.recovered = 0
        self.recent = RecentRuns(self.began)
        self.batches: Counter[int] = Counter()
        self.hits = self.misses = 0
        self.interval: BusyTime | None = None
        self._name_of: dict[str, str] = {}  # names of models that have counts, by hash
        self._browser_names: dict[str, str] = {}  # by id, of those that ended lately as well
        self._ended = Ended(self._browser_names)

    def __repr__(self) -> str:
        return f"<Counts models={len(self.models)} faults={self.faults.total()}>"

    def labelled(self) -> Iterator[tuple[Labels, Series]]:
        """Yield every series, and labels with its model's label; several may have the same."""
        for model in self.models.values():
            for where, series in model.series.items():
                yield Labels(model.label, *where), series
        yield from self.past.items()

    def sum(self, number: Callable[[Series], int]) -> int:
        """Return the sum of a number over every series.

        Args:
            number: Reads the number from a series.
        """
        return sum(number(series) for _, series in self.labelled())

    def faults_of(self, *kinds: str) -> Counter[str]:
        """Return the faults of some kinds, by error code."""
        codes: Counter[str] = Counter()
        for (kind, code), count in self.faults.items():
            if kind in kinds:
                codes[code] += count
        return codes

    def by_label(self) -> dict[Labels, Series]:
        """Return copies of all series with models by label, whose number is bounded; of the answers they have none."""
        labelled: dict[Labels, Series] = {}
        for labels, series in self.labelled():
            copy = labelled.setdefault(labels, Series())
            copy.runs.merge(series.runs)
            copy.loads.merge(series.loads)
        return labelled

    def uptime(self, browser: str) -> float:
        """Return the seconds since a running browser was ready.

        Args:
            browser: The browser's label.
        """
        now = self._clock()
        return now - self.browsers.get(browser, now)

    # Counting

    def name(self, sha256: str, name: str, cid: str | None, precision: str | None) -> None:
        """Remember what a model is called; its counts are found under the name that it was given last.

        Args:
            sha256: Hash of the model.
            name: Its name.
            cid: CID of its files, where it is known.
            precision: Precision of its weights.
        """
        self.names.put(sha256, name, cid, precision)
        model = self.models.get(sha256)
        if model is not None and self._name_of[sha256] != name:
            self._unname(sha256)
            self._put_name(model, name)

    def add_answer(self, now: float, labels: Labels, times: Times, items: int, batch: int) -> None:
        """Count what a caller got.

        Args:
            now: When, on the clock of ``Times``.
            labels: What ran it: the model's hash, precision, backend and browser.
            times: Where its time went.
            items: Rows of its inputs.
            batch: Requests that ran together.
        """
        sha256, *where = labels
        model = self._model(sha256)
        self._series_of(model, *where).answers.add(times, items, batch)
        began = now - times.total
        model.busy.add(began, now)
        self.named[self._name_of[sha256]].busy.add(began, now)
        self.busy.add(began, now)

    def add_run(self, now: float, event: RunFinished) -> None:
        """Count what a lane did.

        Args:
            now: Now, on the steady clock, in seconds.
            event: The event.
        """
        key = event.key
        self._series(key, self._browser_names.get(event.browser, "")).runs.add(event)
        self._session(key).runs += 1
        self.recovered += event.attempts > 1
        self.recent.add(now, event.total, event.items)
        if self.interval is not None:
            self.interval.add(now - event.total, now)
        lane = self.lanes.get(event.lane)
        if lane is not None:
            lane.add(event.run, now)

    def add(self, event: Event) -> None:
        """Count an event other than ``RunFinished``.

        Args:
            event: The event.
        """
        match event:
            case BatchFinished():
                self.batches[event.size] += 1
            case RunFailedEvent():
                runs = self._series(event.key, self._browser_of(event.lane)).runs
                runs.retried += event.retried
                runs.failed += not event.retried
                self._session(event.key).errors += 1
                self._failed("request", event)
            case SessionLoaded():
                self._series(event.key, self._browser_of(event.lane)).loads.add(event)
            case LoadFailedEvent():
                self._failed("load", event)
            case LaneStarted():
                self.lanes_started += 1
                self.lanes[event.lane] = LaneCounts(self._clock())
            case LaneEnded():
                self.lanes.pop(event.lane, None)
                if event.lost:
                    self._fault("lane", event.code, str(event.lane), None, event.cause)
                else:
                    self.retired["lane"] += 1
            case BrowserStarted():
                self._browser_names[event.browser] = event.name
                self.browsers[event.browser] = self._clock()
                self.browsers_peak = max(self.browsers_peak, len(self.browsers))
                self.starts[event.name] += 1
            case BrowserRefused():
                self._fault("launch", event.code, event.name, None, event.cause)
            case BrowserEnded():
                self.browsers.pop(event.browser, None)
                self._ended.add(event.browser)
                if event.lost:
                    self._fault("browser", BrowserLost.code, event.browser, None, event.cause)
                else:
                    self.retired["browser"] += 1
            case HostStalled():
                reason = f"The event loop was blocked for {event.seconds:.1f} s."
                self._fault("host", HostStalled.code, None, None, reason)

    def _failed(self, kind: str, event: RunFailedEvent | LoadFailedEvent) -> None:
        lane = self.lanes.get(event.lane) if event.lane is not None else None
        if lane is not None:
            lane.errors += 1
        where = None if event.lane is None else str(event.lane)
        self._fault(kind, event.code, where, self.names.short(event.key.model), event.reason)

    def _fault(self, kind: str, code: str, where: str | None, model: str | None, reason: str) -> None:
        self.faults[kind, code] += 1
        self.fault_log.add(self._clock(), kind, code, where, model, reason)

    def _browser_of(self, lane: LaneId | None) -> str:
        """Return the name of a lane's browser; it is empty where there is no lane."""
        return "" if lane is None else self._browser_names.get(lane.browser, "")

    def _session(self, key: SessionKey) -> SessionCounts:
        return self.sessions.use(key) or self.sessions.put(key, SessionCounts())

    def _series(self, key: SessionKey, browser: str) -> Series:
        return self._series_of(self._model(key.model), key.precision, key.backend, browser)

    def _series_of(self, model: ModelCounts, precision: str, backend: str, browser: str) -> Series:
        where = (precision, backend, browser)
        series = model.series.get(where)
        if series is None:
            series = model.series[where] = Series()
        return series

    def _model(self, sha256: str) -> ModelCounts:
        """Return a model's counts, which are used now."""
        model = self.models.get(sha256)
        if model is None:
            if len(self.models) >= MODELS:
                self._forget(next(iter(self.models)))
            model = self.models[sha256] = ModelCounts(sha256, self.names.label(sha256))
            known = self.names.get(sha256)
            self._put_name(model, sha256 if known is None else known.name)
        else:
            self.models.move_to_end(sha256)
        return model

    def _forget(self, sha256: str) -> None:
        """Add a model's counts to those of past models; they stay in the sums."""
        model = self.models.pop(sha256)
        self._unname(sha256)
        self.past_models += model.is_used
        for where, series in model.series.items():
            self.past.setdefault(Labels(model.label, *where), Series()).merge(series)

    def _put_name(self, model: ModelCounts, name: str) -> None:
        self.named.setdefault(name, NamedModels()).models[model.sha256] = model
        self._name_of[model.sha256] = name

    def _unname(self, sha256: str) -> None:
        name = self._name_of.pop(sha256)
        named = self.named[name]
        del named.models[sha256]
        if not named.models:
            del self.named[name]
