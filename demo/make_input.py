"""Make the demo's input: a portrait filmed by an unsteady hand, and a voice. Usage: make_input.py FOLDER."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from synth_voice import write_voice

PICTURE = Path(__file__).with_name("astronaut.jpg")
SIZE_PX = 640
FPS = 25
VIDEO_SECONDS, VOICE_SECONDS = 10.0, 9.2
FACE_CENTRE = (186.0, 154.0)  # in the picture, just below the nose: what the camera aims at
VIEW_PX = 275.0  # side of the part of the picture that is seen


def camera(frame: int) -> np.ndarray:
    """(2, 3) affine matrix from picture to frame: slow sways of a hand, none in step with another."""
    t = frame / FPS
    zoom = SIZE_PX / VIEW_PX * (1 + 0.06 * np.sin(0.50 * t) + 0.010 * np.sin(2.3 * t))
    roll_degrees = 2.5 * np.sin(0.62 * t + 1) + 0.5 * np.sin(2.9 * t)
    aim = (
        FACE_CENTRE[0] + 9 * np.sin(0.71 * t) + 1.5 * np.sin(3.1 * t + 2),
        FACE_CENTRE[1] + 6 * np.sin(0.93 * t + 0.5) + 1.2 * np.sin(2.7 * t),
    )
    matrix = cv2.getRotationMatrix2D(aim, roll_degrees, zoom)
    matrix[:, 2] += SIZE_PX / 2 - np.array(aim)
    return matrix


def write_video(path: Path, seconds: float) -> None:
    """Render every frame and encode it with ffmpeg's libx264, tagged as what it is: BT.709, limited range."""
    picture = cv2.imread(str(PICTURE))
    command = (
        f"ffmpeg -nostdin -y -v error -f rawvideo -pix_fmt bgr24 -s {SIZE_PX}x{SIZE_PX} -r {FPS} -i - "
        "-vf scale=out_color_matrix=bt709:out_range=tv,format=yuv420p "
        "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv -c:v libx264 -crf 16 -preset fast"
    )
    encoder = subprocess.Popen([*command.split(), "-movflags", "+faststart", str(path)], stdin=subprocess.PIPE)
    assert encoder.stdin is not None
    with encoder.stdin as pipe:
        for frame in range(round(seconds * FPS)):
            view = cv2.warpAffine(
                picture, camera(frame), (SIZE_PX, SIZE_PX), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
            )
            pipe.write(view.tobytes())
    if encoder.wait():
        raise SystemExit(f"ffmpeg could not encode {path} (status {encoder.returncode})")


def main(folder: Path) -> None:
    """Write ``video.mp4`` and ``voice.wav`` to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_video(folder / "video.mp4", VIDEO_SECONDS)
    write_voice(folder / "voice.wav", VOICE_SECONDS)
    print(f"wrote {folder / 'video.mp4'} and {folder / 'voice.wav'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
