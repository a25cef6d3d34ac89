"""How well the lips follow the voice, and what the rest of the picture lost.

Usage: python benchmarks/quality.py SOURCE_VIDEO RESULT_VIDEO VOICE [OTHER_VOICE]
"""

import subprocess
import sys
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from latentsync.media.decode import read_range
from latentsync.media.loudness import frame_loudness_db
from latentsync.media.probe import probe_audio, probe_video
from latentsync.records import VideoInfo
from latentsync.review.pictures import mouth_opening
from latentsync.segments.sync import best_lag

FPS = Fraction(25)
CRF = 18


def psnr_outside(one: VideoInfo, other: VideoInfo, frames: int, inside: np.ndarray) -> float:
    """PSNR of the luma outside the mask ``inside`` (H, W) over all frames, in dB."""
    error = count = 0.0
    with closing(read_range(one, 0, frames)) as first, closing(read_range(other, 0, frames)) as second:
        for a, b in zip(first, second, strict=True):
            difference = (a.y.astype(np.float32) - b.y)[~inside]
            error += float((difference**2).sum())
            count += difference.size
    return float(10 * np.log10(255**2 * count / error))


def changed_region(source: VideoInfo, result: VideoInfo, frames: int) -> np.ndarray:
    """(H, W) bool: a box around the face that holds every pasted pixel of the clip."""
    from latentsync.faces.detectors.registry import load_detector
    from latentsync.media.decode import read_rgb

    boxes, detector = [], load_detector("mediapipe")
    scale, pictures = read_rgb(source, 0, frames, 960)
    with closing(pictures):
        for picture in pictures:
            boxes += [face.box / scale for face in detector.detect(picture)[:1]]
    left, top, right, bottom = np.array(boxes).min(0)[:2].tolist() + np.array(boxes).max(0)[2:].tolist()
    margin = 0.6 * (bottom - top)
    inside = np.zeros((source.height_px, source.width_px), bool)
    inside[max(0, int(top - margin)) : int(bottom + margin), max(0, int(left - margin)) : int(right + margin)] = True
    return inside


def main() -> None:
    """Print correlations and PSNRs."""
    source_file, result_file, *voices = map(Path, sys.argv[1:])
    source, result = probe_video(source_file, FPS), probe_video(result_file, FPS)
    frames = min(source.frames, result.frames)
    opening = mouth_opening(result, frames)
    with TemporaryDirectory() as folder:
        for voice in voices:
            level = frame_loudness_db(probe_audio(voice), FPS, frames)
            at_zero = np.corrcoef(level, np.nan_to_num(opening))[0, 1]
            lag, best = best_lag(level, opening)
            print(f"{voice.name}: correlation {at_zero:.2f} at lag 0, best {best:.2f} at lag {lag}")
        plain = Path(folder) / "plain.mp4"
        command = ["ffmpeg", "-v", "error", "-i", source_file, "-frames:v", str(frames), "-an", "-c:v", "libx264"]
        subprocess.run([*command, "-crf", str(CRF), "-preset", "veryfast", plain], check=True)
        inside = changed_region(source, result, frames)
        print(f"outside the face ({1 - inside.mean():.0%} of the picture), luma against the source:")
        print(f"  plain crf {CRF} encode {psnr_outside(source, probe_video(plain, FPS), frames, inside):.2f} dB")
        print(f"  result {psnr_outside(source, result, frames, inside):.2f} dB")


if __name__ == "__main__":
    main()
