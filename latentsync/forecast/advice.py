"""What will look or sound worse than it could, with the remedy."""

from collections import defaultdict
from collections.abc import Iterator

from latentsync.forecast.records import Faces, Voice
from latentsync.job import Job

SMALL_PX = 160  # height of a face; below, the mouth is some 25 px high in the source
MOSTLY = 0.98  # share of usable frames that needs no remark
CLIPPED_SHARE = 1e-4  # of the samples; less is hardly heard
QUIET_DB = -35.0  # of speech: 20 dB below usual


def warnings(job: Job, faces: Faces, voice: Voice) -> list[str]:
    """One line each, for the person who orders the job."""
    return [*_of_the_faces(faces), *_of_the_voice(voice), *_of_the_file(job)]


def _of_the_faces(faces: Faces) -> Iterator[str]:
    seconds: defaultdict[str, float] = defaultdict(float)
    for stretch in faces.stretches:
        seconds[stretch.what] += stretch.end_seconds - stretch.start_seconds
    if faces.usable_share < MOSTLY:
        reasons = ", ".join(f"{what} {length:.0f} s" for what, length in seconds.items() if what != "blurred")
        yield f"{1 - faces.usable_share:.0%} of the frames have no usable face and keep their lips ({reasons})"
    if seconds["blurred"]:
        yield f"the face is blurred for about {seconds['blurred']:.0f} s: the new mouth will be sharper than the rest"
    if faces.median_px and faces.median_px < SMALL_PX:
        yield f"the face is {faces.median_px} px high; from {SMALL_PX} px on, the mouth keeps its detail"
    if len(faces.people) > 1 and any(person.chosen_share for person in faces.people[1:]):
        yield "more than one face would speak; --face X,Y chooses by place"


def _of_the_voice(voice: Voice) -> Iterator[str]:
    if voice.clipped_share > CLIPPED_SHARE:
        yield f"the voice is clipped ({voice.clipped_share:.2%} of the samples); record it at a lower level"
    if voice.under_voice != "nothing":
        yield f"{voice.under_voice} seems to lie under the voice, and the lips may follow it; give the voice alone"
    if voice.speech_db < QUIET_DB:
        yield f"the voice is quiet ({voice.speech_db:.0f} dB of full scale); make it louder"


def _of_the_file(job: Job) -> Iterator[str]:
    if job.video.sequential:
        yield f"{job.video.file.path} cannot be entered in the middle: it is copied once before the work begins"
