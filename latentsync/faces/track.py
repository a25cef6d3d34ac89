"""One face through the whole video: chosen, smoothed once, and stored for everyone to look up.

The track is one memory-mappable array with a row per source frame. Pieces of it without a break (same
shot, same person, a face in every frame) are what windows are cut from.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from latentsync.errors import UnusableFile
from latentsync.faces.align import similarity_matrices
from latentsync.faces.alignment import Alignment
from latentsync.faces.detect import DETECTION_DTYPE
from latentsync.faces.face import LIMITS
from latentsync.faces.identity import Box, Choice, choose_slots, follow, overlap
from latentsync.faces.points import MOUTH_POINTS
from latentsync.faces.shots import changes, shot_changes
from latentsync.records import Record
from latentsync.storage.mapped import blocks, column, let_go, open_array

MAX_BRIDGED_FRAMES = 3  # a face missing for so long is interpolated, if the head has not moved
NOTHING_FRAMES = 500  # rows at a time where nobody has looked: bounds the memory
MIN_STILL_OVERLAP = 0.8  # of its boxes before and after

TRACK_DTYPE = np.dtype(
    [
        ("face", np.bool_),  # whether there is a face; the other fields are 0 without one
        ("shot", np.int32),  # changes with every cut and with every change of the person
        ("matrix", np.float64, (2, 3)),  # source pixels -> crop, see faces.align
        ("box", np.float32, 4),  # left, top, right, bottom, source pixels
        ("points", np.float32, (3, 2)),  # alignment points, whole source pixels
        ("mouth", np.float32, (len(MOUTH_POINTS), 2)),  # source pixels, in the order of MOUTH_POINTS
    ]
)


class TrackSummary(Record):
    """What was found in a video of ``frames`` frames."""

    frames: int
    frames_with_face: int
    runs: int  # unbroken pieces


def build_track(
    files: Sequence[Path],
    choice: Choice,
    resolution: int,
    alignment: Alignment,
    out: Path,
    video: str = "the video",
    starts: Sequence[int] | None = None,
    frames: int = 0,
) -> TrackSummary:
    """Join the detections of all chunks (DETECTION_DTYPE, in order) into the track of one face.

    ``starts`` are the chunks' first frames, where they do not follow each other, and ``frames`` is the least number of
    rows; where nobody has looked, there is no face.
    Writes ``out`` (.npy of TRACK_DTYPE, a row per source frame). Raises InputError when no frame of
    ``video`` has a usable face.
    """
    looked_at = sum(len(open_array(file)) for file in files)
    chunks = _Chunks(files, starts, frames)
    frames = sum(map(len, chunks))
    cuts = shot_changes(_changes(chunks))
    shots = np.searchsorted(cuts, np.arange(frames), side="right")
    track = np.lib.format.open_memmap(out, mode="w+", dtype=TRACK_DTYPE, shape=(frames,))
    people = follow(_boxes(chunks), shots, _place(files[0], choice))
    slots, who = choose_slots(people, frames, choice)
    if not (slots >= 0).any():
        least = f"{LIMITS.min_width_px}x{LIMITS.min_height_px} px"
        raise UnusableFile(
            f"{video}: none of its {looked_at} frames shows a face of at least {least} that is not in profile; "
            "give a video in which the speaker's face is larger or turned to the camera"
        )
    _copy_faces(chunks, slots, _scenes(who, shots), track)
    _bridge_dropouts(track)
    pieces = runs(track, np.arange(frames))
    for start, end in pieces:
        _align(track[start:end], resolution, alignment)
    track.flush()
    return TrackSummary(frames=frames, frames_with_face=int(column(track, "face").sum()), runs=len(pieces))


def runs(track: np.ndarray, source_indices: np.ndarray) -> list[tuple[int, int]]:
    """Half-open output ranges without a break, for the source frame of each output frame (N,).

    Within one every frame has a face, all are of one shot, and the source moves by at most one frame.
    """
    face, shot = (column(track, name)[source_indices] for name in ("face", "shot"))
    joined = face[1:] & face[:-1] & (shot[1:] == shot[:-1]) & (np.abs(np.diff(source_indices)) <= 1)
    starts = np.flatnonzero(face & np.concatenate([[True], ~joined]))
    ends = np.flatnonzero(face & np.concatenate([~joined, [True]])) + 1
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


class _Chunks:
    """Detections in pieces, as often as they are asked for; rows of nothing where nobody has looked."""

    def __init__(self, files: Sequence[Path], starts: Sequence[int] | None, frames: int) -> None:
        self._files, self._starts, self._frames = files, starts, frames

    def __iter__(self) -> Iterator[np.ndarray]:
        at = 0
        for index, file in enumerate(self._files):
            rows = open_array(file)
            start = self._starts[index] if self._starts else at
            yield from _nothing(at, start)
            yield rows
            at = start + len(rows)
        yield from _nothing(at, self._frames)


def _nothing(start: int, end: int) -> Iterator[np.ndarray]:
    for piece in range(start, end, NOTHING_FRAMES):
        yield np.broadcast_to(np.zeros((), DETECTION_DTYPE), min(NOTHING_FRAMES, end - piece))


def _changes(chunks: Iterable[np.ndarray]) -> np.ndarray:
    """Change of each frame to the one before, across chunk borders: (M,)."""
    parts, last = [], None
    for chunk in chunks:
        signatures = chunk["signature"]
        before = signatures[:1] if last is None else last
        parts.append(changes(np.concatenate([before, signatures]))[1:])
        last = signatures[-1:].copy()
    return np.concatenate(parts)


def _boxes(chunks: Iterable[np.ndarray]) -> Iterator[list[Box]]:
    for rows in chunks:
        for count, boxes in zip(rows["count"], rows["faces"]["box"].tolist(), strict=True):
            yield boxes[:count]


def _scenes(who: np.ndarray, shots: np.ndarray) -> np.ndarray:
    """Number of the scene of each frame (M,): one shot of one person."""
    begins = np.diff(shots, prepend=shots[:1]) != 0
    seen = np.flatnonzero(who >= 0)
    begins[seen[1:]] |= np.diff(who[seen]) != 0
    return np.cumsum(begins)


def _place(file: Path, choice: Choice) -> tuple[float, float]:
    """The pixel that faces are measured from."""
    if not isinstance(choice, str):
        return choice
    x, y = open_array(file)["centre"][0].tolist()
    return x, y


def _copy_faces(chunks: Iterable[np.ndarray], slots: np.ndarray, scenes: np.ndarray, track: np.ndarray) -> None:
    start = 0
    for rows in chunks:
        part, here = track[start : start + len(rows)], slots[start : start + len(rows)]
        part["shot"] = scenes[start : start + len(rows)]
        seen = np.flatnonzero(here >= 0)
        for name in ("box", "points", "mouth"):
            part[name][seen] = rows["faces"][name][seen, here[seen]]
        part["face"][seen] = True
        start += len(rows)
        let_go(track)


def _align(piece: np.ndarray, resolution: int, alignment: Alignment) -> None:
    """Whole pixels and matrices of an unbroken piece of a track."""
    matrices = similarity_matrices(np.rint(column(piece, "points")), resolution, alignment)
    start = 0
    for rows in blocks(piece):
        rows["points"] = np.rint(rows["points"])
        rows["matrix"] = matrices[start : start + len(rows)]
        start += len(rows)


def _bridge_dropouts(track: np.ndarray) -> None:
    """Interpolate the face where it was missed for a moment and the head stayed where it was."""
    seen = np.flatnonzero(column(track, "face"))
    missed = np.diff(seen) - 1
    for gap in np.flatnonzero((missed > 0) & (missed <= MAX_BRIDGED_FRAMES)):
        before, after, missing = int(seen[gap]), int(seen[gap + 1]), int(missed[gap])
        if track["shot"][before] != track["shot"][after]:
            continue
        if overlap(track["box"][before], track["box"][after]) < MIN_STILL_OVERLAP:
            continue
        for step in range(1, missing + 1):
            row, weight = track[before + step], step / (missing + 1)
            for name in ("box", "points", "mouth"):
                row[name] = (1 - weight) * track[name][before] + weight * track[name][after]
            row["face"] = True
