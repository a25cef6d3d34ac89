"""A part of a job: its segments, and what else has to be looked at so that they come out as in the whole."""

import numpy as np

from latentsync.engines.protocol import WINDOW_FRAMES
from latentsync.engines.registry import is_direct
from latentsync.errors import InputError
from latentsync.job import Job
from latentsync.media.timeline import Timeline
from latentsync.records import Chunk
from latentsync.segments.plan import segments_of
from latentsync.segments.windows import BLOCK_FRAMES
from latentsync.settings import TimingSettings
from latentsync.timecode import frame_at

CHUNK_FRAMES = 500  # source frames in which faces are looked for together
SETTLE_FRAMES = 64  # after which a track has forgotten where it began: faces.align smooths by a fifth every frame


def part_of(timing: TimingSettings, timeline: Timeline) -> tuple[int, int] | None:
    """The output frames ``[start, end)`` that are wanted; None: all. Raises ``InputError`` where there are none."""
    if not timing.part_from and not timing.part_to:
        return None
    start = frame_at(timing.part_from or "0", timeline.fps)
    end = min(frame_at(timing.part_to, timeline.fps) if timing.part_to else timeline.frames, timeline.frames)
    if start >= end:
        seconds = float(timeline.frames / timeline.fps)
        wanted = f"--from {timing.part_from or '0'} --to {timing.part_to or 'the end'}"
        raise InputError(f"{wanted}: there is nothing between them; the output lasts {seconds:.2f} s")
    return start, end


def joined_segments(job: Job) -> tuple[int, int]:
    """Half-open indices of the segments that hold the job's part: whole ones, so that the whole job finds them done."""
    segments = segments_of(job)
    start, end = job.part or (0, job.timeline.frames)
    held = [segment.index for segment in segments if segment.end > start and segment.start < end]
    return held[0], held[-1] + 1


def made_segments(job: Job) -> tuple[int, int]:
    """Half-open indices of the segments whose faces are made: those of the part, and the one its first blends with.

    Faces that are made while rendering blend with none.
    """
    first, last = joined_segments(job)
    return first if is_direct(job.settings.engine) else max(first - 1, 0), last


def span_of(job: Job) -> tuple[int, int]:
    """Frames ``[start, end)`` of the timeline that the output holds."""
    segments, (first, last) = segments_of(job), joined_segments(job)
    return segments[first].start, segments[last - 1].end


def face_chunks(job: Job) -> list[Chunk]:
    """The source frames to look for faces in, on a grid of its own: those of the job, or those that its part needs.

    Each begins where the grid says, since what is seen of a frame depends on those before it.
    """
    needed = np.unique(_needed_frames(job))
    indices, first = np.unique(needed // CHUNK_FRAMES, return_index=True)
    ends = needed[[*first[1:] - 1, -1]] + 1
    return [
        Chunk(index=index, start=index * CHUNK_FRAMES, end=end)
        for index, end in zip(indices.tolist(), ends.tolist(), strict=True)
    ]


def used_frames(job: Job) -> int:
    """Source frames up to the last one that the whole timeline shows while there is voice."""
    return int(job.timeline.source_indices(0, job.timeline.voice_frames).max()) + 1


def reference_frames(job: Job) -> tuple[int, int]:
    """Source frames ``[start, end)`` that show an engine how the mouth usually looks: some 15 s from the middle.

    They are the same for a part and for the whole, so that their faces are the same.
    """
    used = used_frames(job)
    if used <= CHUNK_FRAMES:
        return 0, used
    start = (-(-used // CHUNK_FRAMES) - 1) // 2 * CHUNK_FRAMES
    return start + SETTLE_FRAMES, start + CHUNK_FRAMES - SETTLE_FRAMES


def _needed_frames(job: Job) -> np.ndarray:
    """Source frames that decide on the faces of the part: from the start of its first segment's block.

    Up to the end of the last one's block, whose windows may be in one batch; or of the window that is last in the
    last segment, where faces are made one by one.
    """
    segments, (first, last) = segments_of(job), made_segments(job)
    start = segments[first].start // BLOCK_FRAMES * BLOCK_FRAMES - SETTLE_FRAMES
    if is_direct(job.settings.engine):
        end = segments[last - 1].end + WINDOW_FRAMES + SETTLE_FRAMES
    else:
        end = -(-segments[last - 1].clip_end // BLOCK_FRAMES) * BLOCK_FRAMES + SETTLE_FRAMES
    voice = job.timeline.voice_frames
    shown = job.timeline.source_indices(min(max(start, 0), voice - 1), min(end, voice))
    return np.concatenate([shown, np.arange(*reference_frames(job))])
