"""A headless Chromium, told what to do by its debugging protocol."""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 60
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--mute-audio", "--remote-debugging-port=0",
    "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip


class Page:
    """One tab; what its console says is kept in ``complaints``."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._number, self.complaints = connection, 0, list[str]()
        for domain in ("Page", "Runtime", "Log"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result."""
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (message := json.loads(self._connection.recv(timeout=60))).get("id") != self._number:
            self._listen(message)
        if "error" in message:
            raise AssertionError(f"{method}: {message['error']}")
        return message["result"]

    def run(self, script: str) -> Any:
        """The value of a script, awaited if it is a promise."""
        found = self.tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str, seconds: float = 30) -> None:
        """Wait until a script is true."""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, f"not true after {seconds} s: {script}"

    def open(self, address: str, width: int = 1280, height: int = 900) -> None:
        """Load a page in a window of this size, and all that it needs at once."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.tell("Emulation.setDeviceMetricsOverride", **size)
        self.tell("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")
        self.until("[...document.querySelectorAll('video')].every(video => video.readyState > 1)")

    def _listen(self, message: dict[str, Any]) -> None:
        said = message.get("params", {})
        if message.get("method") == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.complaints.append(said["entry"]["text"])
        if message.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.complaints.append(json.dumps(said))


@contextmanager
def browser() -> Iterator[Page]:
    """A new browser with one empty tab. Fails where none is installed."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    assert program, "no Chromium on this machine: apt-get install chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"], stderr=subprocess.DEVNULL
        )
        try:
            with connect(_tab(Path(folder)), max_size=None) as connection:
                yield Page(connection)
        finally:
            process.kill()
            process.wait()


def _tab(folder: Path) -> str:
    """The address of the first tab's debugger."""
    import httpx

    port, end = folder / "DevToolsActivePort", time.monotonic() + START_SECONDS
    while not (port.is_file() and port.read_text().count("\n")):
        assert time.monotonic() < end, f"the browser did not start within {START_SECONDS} s"
        time.sleep(0.1)
    tabs = httpx.get(f"http://127.0.0.1:{port.read_text().splitlines()[0]}/json").json()
    return next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
