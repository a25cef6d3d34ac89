"""Promise 1: face clips made of segments of any length are bit-identical to those of one whole."""

from pathlib import Path

import numpy as np
import pytest

from latentsync.job import Job, Plan
from latentsync.media.encode import read_faces
from latentsync.segments.part import face_chunks
from latentsync.settings import Settings
from tasks.prepare import find_faces, plan, probe, track, voice
from tasks.segments import generate
from tests.conftest import Clip
from tests.e2e.media import cut
from tests.unit.engines.diffusion.weights_on_disk import write_tiny_weights

pytestmark = pytest.mark.slow

SECONDS = 4.48  # 112 frames: whole windows of 16, so that the last clip overlaps as the others do


def face_clips(
    clip: Clip, work_dir: Path, segment_seconds: float, engine: dict
) -> tuple[Job, Plan, dict[int, list[np.ndarray]]]:
    """Frame -> its faces in every clip that holds it."""
    groups = {
        "engine": engine,
        "run": {"work_dir": str(work_dir)},
        "segments": {"segment_seconds": segment_seconds},
    }
    job = probe.run(str(clip.video), str(clip.voice), str(work_dir / "out.mp4"), Settings.model_validate(groups)).value
    detections = [find_faces.run(job, chunk) for chunk in face_chunks(job)]
    job_plan, features = plan.run(job, track.run(job, detections)).value, voice.run(job)
    faces: dict[int, list[np.ndarray]] = {}
    for segment in job_plan.segments:
        made = generate.run(job, job_plan, features, segment).value
        for frame, face in enumerate(read_faces(made.path, 0, segment.clip_end - segment.start), segment.start):
            faces.setdefault(frame, []).append(face)
    return job, job_plan, faces


@pytest.mark.parametrize("windows_per_batch", [None, 1, 3], ids=["warp", "latentsync", "latentsync, 3 windows a batch"])
def test_face_clips_of_segments_equal_those_of_the_whole(
    windows_per_batch: int | None, demo_clip: Clip, tmp_path: Path
) -> None:
    clip, engine = cut(demo_clip, tmp_path, SECONDS), {"name": "warp"}
    if windows_per_batch:
        weights = write_tiny_weights(tmp_path / "weights")
        own = {"weights": str(weights), "device": "cpu", "steps": 2, "windows_per_batch": windows_per_batch}
        engine = {"name": "latentsync", "latentsync": own}
    job, whole_plan, whole = face_clips(clip, tmp_path / "work", 1000, engine)
    _, parts_plan, parts = face_clips(clip, tmp_path / "work", SECONDS / 4, engine)
    assert len(whole_plan.segments) == 1
    assert len(parts_plan.segments) >= 4
    assert sorted(whole) == sorted(parts) == list(range(job.timeline.frames))
    assert sum(len(versions) > 1 for versions in parts.values()) == 16 * (len(parts_plan.segments) - 1)
    assert len({face.tobytes() for (face,) in whole.values()}) > 0.8 * len(whole)  # they do speak
    for frame, (face,) in whole.items():
        for version in parts[frame]:
            np.testing.assert_array_equal(version, face, err_msg=f"frame {frame}")
