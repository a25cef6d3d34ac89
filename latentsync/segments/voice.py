"""The engine's voice features of a whole job."""

from pathlib import Path

from latentsync.engines.protocol import Engine
from latentsync.job import Job
from latentsync.media.audio import extract_mono_16k


def extract_voice(job: Job, engine: Engine, out: Path) -> None:
    """Write the voice features (.npy) of the job's ``voice_frames`` to ``out``."""
    mono = out.with_name(f"{out.name}.wav")
    try:
        extract_mono_16k(job.audio, mono)
        engine.extract_voice(mono, job.timeline.fps, job.timeline.voice_frames, out)
    finally:
        mono.unlink(missing_ok=True)
