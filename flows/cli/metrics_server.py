"""The figures of the runs that a worker starts, added up at one address for Prometheus."""

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from flows.observe.watch import METRICS_FOLDER
from latentsync.errors import InputError

NOBODY = "0"  # in the place of a process's number: the sum of those that have ended


@contextlib.contextmanager
def metrics_of_runs(address: str) -> Iterator[None]:
    """Have runs that this process starts counted, and serve the sums at ``address`` (host:port); empty: do not.

    Raises ``InputError`` for an address at which nothing can be served.
    """
    if not address:
        yield
        return
    host, _, port = address.rpartition(":")
    with tempfile.TemporaryDirectory(prefix="lipsync-metrics-") as folder:
        registry = CollectorRegistry()
        RunsCollector(registry, folder)
        try:
            server, thread = start_http_server(int(port), host.strip("[]"), registry)
        except (OSError, ValueError, OverflowError) as error:
            raise InputError(f"--metrics {address}: {error}; give a free address, such as 127.0.0.1:9464") from error
        os.environ[METRICS_FOLDER] = folder
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class RunsCollector(MultiProcessCollector):
    """Reads what processes have counted, and keeps one file of those that have ended: there are many a night."""

    def __init__(self, registry: CollectorRegistry, folder: str) -> None:
        super().__init__(registry, folder)
        self._folder, self._turn = Path(folder), threading.Lock()

    def collect(self) -> Iterable[Metric]:
        """All figures, summed or compared over the processes."""
        with self._turn:
            for path in list(self._folder.glob("*.db")):
                kind, _, process = path.stem.rpartition("_")
                if process != NOBODY and not psutil.pid_exists(int(process)):
                    if not kind.startswith("gauge"):
                        _add(path, self._folder / f"{kind}_{NOBODY}.db")
                    path.unlink()
            return super().collect()


def _add(path: Path, total: Path) -> None:
    sums = MmapedDict(str(total))
    for key, value, *_ in MmapedDict.read_all_values_from_file(str(path)):
        sums.write_value(key, sums.read_value(key)[0] + value, 0.0)
    sums.close()
