"""Whole jobs of two tiny clips, joined as a run joins them."""

from fractions import Fraction
from pathlib import Path

from latentsync.job import Job
from latentsync.media.probe import probe_audio, probe_video
from latentsync.media.timeline import Timeline
from latentsync.records import Artefact, ClipFile
from latentsync.settings import MarkSettings, Settings
from latentsync.stitching.assemble import assemble
from tests.synthetic import make_sound, make_video

FPS = Fraction(25)
COUNTS = (20, 30)


def make_finished(folder: Path, name: str, mark: MarkSettings, source: str = "source.mp4") -> Path:
    """The finished file ``name`` of 50 frames in ``folder``, marked as ``mark`` says."""
    frames = sum(COUNTS)
    job = Job(
        video=probe_video(make_video(folder / source, frames, FPS), FPS),
        audio=probe_audio(make_sound(folder / "voice.wav", 32_000, 16_000)),
        original_sound=None,
        timeline=Timeline(fps=FPS, frames=frames, source_frames=frames, voice_frames=frames, source="cut"),
        output=str(folder / name),
        settings=Settings(mark=mark),
    )
    clips = [make_video(folder / f"{count}.mp4", count, FPS) for count in COUNTS]
    ranges = [(0, COUNTS[0]), (COUNTS[0], frames)]
    records = [ClipFile(file=Artefact.of(clip), start=a, end=b) for clip, (a, b) in zip(clips, ranges, strict=True)]
    out = folder / name
    assemble(job, records, out)
    return out


def flip_bit(path: Path, box: bytes, out: Path) -> Path:
    """A copy in which one bit differs, 40 bytes after the first ``box``."""
    content = bytearray(path.read_bytes())
    content[content.index(box) + 40] ^= 1
    out.write_bytes(content)
    return out
