"""The demo: make the input, lip-sync it with the warp engine, and say what came out."""

import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
OUT = Path("out")
INPUT, REPORT = OUT / "demo-input", OUT / "demo-report"


def main() -> None:
    """Write out/demo.mp4 and out/demo-report/."""
    began = time.monotonic()
    subprocess.run([sys.executable, HERE / "make_input.py", INPUT], check=True)
    lipsync = Path(sys.executable).with_name("lipsync")
    subprocess.run(
        [
            lipsync, "sync", INPUT / "video.mp4", INPUT / "voice.wav", "-o", OUT / "demo.mp4",
            "--engine", "warp", "--segment-seconds", "2", "--work-dir", OUT / "demo-work",
            "--report-dir", REPORT, "--report", REPORT / "report.json",
        ],
        check=True,
    )  # fmt: skip
    report = json.loads((REPORT / "report.json").read_text())
    print(
        f"{OUT / 'demo.mp4'}: {report['frames']} frames in {len(report['segments'])} segments, "
        f"made in {time.monotonic() - began:.0f} s; pictures and report in {REPORT}/"
    )


if __name__ == "__main__":
    main()
