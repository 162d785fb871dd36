"""Metrics: what the process counts, in the text form that Prometheus reads.

On the way of a request there is only an addition to a plain dictionary; names, labels and text are made when somebody
asks. The engine's thread reports whole batches, so those may take the library's locks.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector

from farthing.core.commands import Command
from farthing.core.outcomes import Accepted, Outcome
from farthing.core.renewal_run import RenewalRun

CHARGING: Final = ("charge", "settle")
REQUEST_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COMMIT_SECONDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_UNPRICED: Final = '"unpriced":true'
"""What the entry of a charge says, in its body, whose usage nobody had a price for."""
BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counts for one process: told by the faces (`answered`, `decided`) and by the engine (`committed`, `crashed`)."""

    def __init__(self, depth: Callable[[], int] = lambda: 0) -> None:
        self.depth = depth
        """How many commands wait; asked when the metrics are read."""
        self.of_all: Callable[[], Awaitable[bytes]] | None = None
        """Tells the metrics of all workers, where this process is one of several."""
        self.registry = CollectorRegistry()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds = [0] * (len(REQUEST_SECONDS) + 1)
        self._seconds_sum = 0.0
        self._accepted: Counter[str] = Counter()
        self._replayed: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._crashed: Counter[str] = Counter()
        self._unpriced = 0
        self.commands = 0
        """Of all batches that reached the disk."""
        self._renewals: Counter[str] = Counter()
        self._notified: Counter[tuple[str, str]] = Counter()
        self._payments_waiting = 0
        self._webhooks: Counter[str] = Counter()
        self._webhooks_waiting = 0
        self._webhooks_oldest_seconds = 0.0
        self._job_runs: Counter[tuple[str, str]] = Counter()
        self._job_items: Counter[tuple[str, str]] = Counter()
        self._job_alerts: Counter[str] = Counter()
        self._jobs_parked = 0
        self._job_oldest_due_seconds = 0.0
        self._batches = Histogram(
            "farthing_batch_commands", "Commands that shared one commit.", buckets=BATCH_SIZES, registry=self.registry
        )
        self._commits = Histogram(
            "farthing_commit_seconds", "From taking a batch to its being on the disk.", buckets=COMMIT_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    # Told by the faces, on the event loop

    def answered(self, face: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests[face, status] += 1
        self._seconds[bisect_left(REQUEST_SECONDS, seconds)] += 1
        self._seconds_sum += seconds

    def decided(self, kind: str, outcome: Outcome) -> None:
        """A command was carried out, had been before, or was refused."""
        if not isinstance(outcome, Accepted):
            self._refused[outcome.code] += 1
        elif outcome.replayed:
            self._replayed[kind] += 1
        else:
            self._accepted[kind] += 1
            if kind in CHARGING and outcome.entry is not None and _UNPRICED in outcome.entry.body:
                self._unpriced += 1

    def notified(self, provider: str, result: str) -> None:
        """A provider of payments has sent something; what came of it."""
        self._notified[provider, result] += 1

    def payments_wait(self, count: int) -> None:
        """So many payments wait for somebody, in the whole database."""
        self._payments_waiting = count

    # Told by the jobs

    def webhook_tried(self, result: str, count: int) -> None:
        """Events were sent to endpoints: delivered, failed or given_up."""
        self._webhooks[result] += count

    def webhooks_wait(self, count: int, oldest_seconds: float) -> None:
        """So many events are still to be sent, in the whole database, and the oldest happened so long ago."""
        self._webhooks_waiting, self._webhooks_oldest_seconds = count, oldest_seconds

    def renewed(self, run: RenewalRun) -> None:
        """Subscriptions that were due were renewed."""
        for result in ("successful", "failed", "skipped", "ended"):
            self._renewals[result] += getattr(run, result)

    def job_ran(self, kind: str, done: int, failed: int) -> None:
        """A run of a job came to its end."""
        self._job_runs[kind, "done"] += 1
        self._job_items[kind, "done"] += done
        self._job_items[kind, "failed"] += failed

    def job_failed(self, kind: str) -> None:
        """A run of a job was stopped by an error."""
        self._job_runs[kind, "failed"] += 1

    def job_alarmed(self, kind: str) -> None:
        """Failures of a run were above a tenth of its successes."""
        self._job_alerts[kind] += 1

    def jobs_stand(self, parked: int, oldest_due_seconds: float) -> None:
        """How the table of jobs stands, whoever works on it."""
        self._jobs_parked, self._job_oldest_due_seconds = parked, oldest_due_seconds

    # Told by the engine, in its thread

    def committed(self, commands: int, seconds: float) -> None:
        """A batch reached the disk."""
        self.commands += commands
        self._batches.observe(commands)
        self._commits.observe(seconds)

    def crashed(self, command: Command, error: BaseException) -> None:
        """A bug stopped a command."""
        self._crashed[command.kind] += 1

    # Asked by whoever watches

    def text(self) -> bytes:
        """All that this process counted, as it stands."""
        return generate_latest(self.registry)

    async def page(self) -> bytes:
        """The same, or that of all workers where there are several."""
        return self.text() if self.of_all is None else await self.of_all()

    def collect(self) -> Iterator[Metric]:
        """What is kept in plain numbers, as Prometheus' families."""
        requests = CounterMetricFamily("farthing_requests", "Requests answered.", labels=("face", "status"))
        for (face, status), count in self._requests.items():
            requests.add_metric((face, str(status)), count)
        yield requests
        yield self._request_seconds()
        charges = sum(self._accepted[kind] for kind in CHARGING)
        yield CounterMetricFamily("farthing_charges", "Charges and settles carried out.", value=charges)
        told = "Charges whose usage nobody had a price for."
        yield CounterMetricFamily("farthing_unpriced", told, value=self._unpriced)
        yield _counted("farthing_commands", "Commands carried out, by kind.", "kind", self._accepted)
        yield _counted("farthing_replays", "Commands that had been carried out before.", "kind", self._replayed)
        yield _counted("farthing_refusals", "Commands refused, by code.", "code", self._refused)
        yield _counted("farthing_crashes", "Commands stopped by a bug.", "kind", self._crashed)
        yield _counted("farthing_renewals", "Accounts that the job of renewals met.", "result", self._renewals)
        told = "Messages of payment providers, by what came of them."
        yield _counted_by("farthing_payments_events", told, ("provider", "result"), self._notified)
        told = "Payments that wait for somebody, or for word of themselves; of the whole database."
        yield GaugeMetricFamily("farthing_payments_waiting", told, value=self._payments_waiting)
        told = "Tries to send an event to an endpoint, by what came of them."
        yield _counted("farthing_webhooks", told, "result", self._webhooks)
        told = "Events that are still to be sent to endpoints, 100,000 at most; of the whole database."
        yield GaugeMetricFamily("farthing_webhooks_waiting", told, value=self._webhooks_waiting)
        told = "How long ago the oldest of those happened; of the whole database."
        yield GaugeMetricFamily("farthing_webhooks_oldest_seconds", told, value=self._webhooks_oldest_seconds)
        yield from self._jobs()
        yield GaugeMetricFamily("farthing_queue_depth", "Commands that wait to be decided.", value=self.depth())

    def _jobs(self) -> Iterator[Metric]:
        yield _counted_by("farthing_jobs_runs", "Runs of jobs.", ("kind", "result"), self._job_runs)
        yield _counted_by(
            "farthing_jobs_items", "What jobs did, and what failed of it.", ("kind", "result"), self._job_items
        )
        told = "Runs of jobs with failures above a tenth of the successes."
        yield _counted("farthing_jobs_alerts", told, "kind", self._job_alerts)
        told = "Jobs that failed too often, and wait for somebody to say retry; of the whole database."
        yield GaugeMetricFamily("farthing_jobs_parked", told, value=self._jobs_parked)
        told = "How long the oldest job has been due; of the whole database."
        yield GaugeMetricFamily("farthing_jobs_oldest_due_seconds", told, value=self._job_oldest_due_seconds)

    def _request_seconds(self) -> Metric:
        bounds = [*map(str, REQUEST_SECONDS), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._seconds), strict=True))
        return HistogramMetricFamily(
            "farthing_request_seconds", "From a request's headers to its answer.", buckets, self._seconds_sum
        )


def _counted(name: str, sentence: str, label: str, counts: Counter[str]) -> Metric:
    return _counted_by(name, sentence, (label,), Counter({(value,): count for value, count in list(counts.items())}))


def _counted_by(name: str, sentence: str, labels: Sequence[str], counts: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, sentence, labels=labels)
    for values, count in list(counts.items()):
        family.add_metric(values, count)
    return family
