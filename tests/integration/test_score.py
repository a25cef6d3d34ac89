"""A voice that is not the video's scores worse than its own, ten times out of ten."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from latentsync.engines.registry import engine_on_gpu
from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT
from latentsync.faces.detect import find_faces
from latentsync.faces.detectors.registry import load_detector
from latentsync.faces.track import build_track
from latentsync.job import Job, Plan
from latentsync.media.decode import read_rgb
from latentsync.media.loudness import frame_loudness_db
from latentsync.media.probe import probe_audio, probe_video
from latentsync.media.timeline import plan_timeline
from latentsync.records import Artefact, ClipFile
from latentsync.segments.compared import compared_ranges
from latentsync.segments.generate import generate_clip
from latentsync.segments.plan import aligned_mouths, plan_segments, plan_windows, write_segments
from latentsync.segments.render_clip import render_clip
from latentsync.segments.score import score_clip
from latentsync.segments.verdict import Score, shortfalls
from latentsync.segments.voice import extract_voice
from latentsync.settings import Settings
from tests.conftest import Clip
from tests.synthetic import H264, ffmpeg

pytestmark = pytest.mark.slow

PAIRS, SECONDS = 10, 4
SETTINGS = Settings.model_validate({"segments": {"silence": "generate"}})


class Studio:
    """One short clip of a face, and ten voices: parts of the demo's, at ten speeds."""

    def __init__(self, folder: Path, clip: Clip) -> None:
        self.folder = folder
        video = folder / "video.mp4"
        ffmpeg("-i", clip.video, "-t", str(SECONDS), "-an", "-vf", "scale=320:320", *H264, video)
        self.video = probe_video(video, Fraction(25))
        scale, frames = read_rgb(self.video, 0, self.video.frames, 640)
        find_faces(frames, scale, load_detector("mediapipe"), folder / "faces.npy")
        build_track([folder / "faces.npy"], "largest", 512, LATENTSYNC_ALIGNMENT, folder / "track.npy")
        self.pairs = [self._pair(index, clip.voice) for index in range(PAIRS)]

    def _pair(self, index: int, voice: Path) -> tuple[Job, Plan]:
        path = self.folder / f"{index}.wav"
        ffmpeg("-i", voice, "-af", f"atempo={0.8 + 0.06 * index},atrim={0.25 * index}:{0.25 * index + SECONDS}", path)
        sound = probe_audio(path)
        timeline = plan_timeline(self.video, sound, "cut", "cut")
        job = Job(
            video=self.video, audio=sound, original_sound=None, timeline=timeline, output="/o.mp4", settings=SETTINGS
        )
        return job, self._plan(job, self.folder / f"plan{index}")

    def _plan(self, job: Job, folder: Path) -> Plan:
        folder.mkdir()
        track, timeline = np.load(self.folder / "track.npy"), job.timeline
        loudness = frame_loudness_db(job.audio, timeline.fps, timeline.voice_frames)
        grid, opacity = plan_windows(job, track, loudness)
        arrays = {"windows": grid, "opacity": opacity, "loudness": loudness}
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        aligned_mouths(track, 512, folder / "mouth.npy")
        segments = plan_segments(timeline.frames, timeline.frames, 0)
        write_segments(segments, folder / "cuts.npy")
        np.save(folder / "compared.npy", compared_ranges(job, opacity, segments, (0, 1)))
        files = {name: Artefact.of(folder / f"{name}.npy") for name in (*arrays, "mouth", "cuts", "compared")}
        return Plan(
            track=Artefact.of(self.folder / "track.npy"),
            **files,
            mouth_start=0,
            made=(0, 1),
            joined=(0, 1),
            frames_with_face=len(track),
        )

    def rendered(self, index: int) -> Artefact:
        """The clip made to speak with the voice ``index``."""
        (job, plan), folder = self.pairs[index], self.folder / f"made{index}"
        folder.mkdir()
        (segment,) = plan.segments
        with engine_on_gpu(job.settings, lambda: None) as engine:
            extract_voice(job, engine, folder / "voice.npy")
            generate_clip(
                job, plan, Artefact.of(folder / "voice.npy"), segment, engine, folder / "faces.mkv", lambda _: None
            )
        faces = ClipFile(file=Artefact.of(folder / "faces.mkv"), start=0, end=segment.clip_end)
        render_clip(job, plan, segment, faces, None, folder / "clip.mp4", lambda _: None)
        return Artefact.of(folder / "clip.mp4")

    def score(self, clip: Artefact, index: int) -> Score:
        """Of a clip, against the voice ``index``."""
        job, plan = self.pairs[index]
        return score_clip(job, plan, plan.segments[0], clip, lambda _: None)


def test_a_mismatched_voice_scores_worse_in_ten_of_ten_pairs(demo_clip: Clip, tmp_path: Path) -> None:
    studio = Studio(tmp_path, demo_clip)
    for index in range(PAIRS):
        clip = studio.rendered(index)
        own, other = studio.score(clip, index), studio.score(clip, (index + PAIRS // 2) % PAIRS)
        assert shortfalls(own, SETTINGS.score) == (), f"pair {index}"
        assert own.correlation is not None
        assert other.correlation is not None
        assert own.correlation > other.correlation + 0.2, f"pair {index}: {own}, with another voice {other}"
