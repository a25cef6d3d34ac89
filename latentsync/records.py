"""Small frozen records: the only things that cross a task border.

Frame ranges are half-open ``[start, end)`` in output frames; rates are ``Fraction``.
"""

import hashlib
import os
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator


class Record(BaseModel):
    """Base of all records: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artefact(Record):
    """A file that a stage wrote (or an input), with size in bytes and sha256 of its content.

    ``url`` is its copy in a remote workspace, for machines that lack the file. Making one (also from
    cached JSON) fails with ``ValueError`` when the file is missing everywhere, has another size or other
    content: a lost or damaged file is thereby a cache miss. Verifying reads; it never downloads.
    """

    path: Path
    size_bytes: int
    sha256: str
    url: str = ""

    @classmethod
    def of(cls, path: Path, url: str = "") -> Self:
        """Describe the file at ``path``."""
        path = path.absolute()
        return cls(path=path, size_bytes=path.stat().st_size, sha256=file_sha256(path), url=url)

    @model_validator(mode="after")
    def _file_is_intact(self) -> Self:
        if not self.path.is_file():
            if self.url:  # elsewhere for now: ``storage.download.fetch`` brings it and verifies it
                return self
            raise ValueError(f"{self.path} is gone")
        size = self.path.stat().st_size
        if size != self.size_bytes:
            raise ValueError(f"{self.path} has {size} bytes, {self.size_bytes} were written")
        if file_sha256(self.path) != self.sha256:
            raise ValueError(f"{self.path} does not hold what was written (sha256 differs)")
        return self


class VideoInfo(Record):
    """A readable video on its output timeline.

    ``frames`` is the exact number of frames that decoding at ``fps`` gives. ``pix_fmt`` is the
    planar YUV format that frames are decoded to and encoded from; sizes are those after rotation.
    ``stream`` is the index of the pictures in the file.
    """

    file: Artefact
    stream: int = 0
    container: str
    codec: str
    width_px: int
    height_px: int
    fps: Fraction
    source_fps: Fraction
    frames: int
    pix_fmt: str
    color_range: str | None
    color_space: str | None
    color_primaries: str | None
    color_transfer: str | None
    chroma_location: str | None = None  # where the samples of halved chroma lie, as ffmpeg calls it
    mastering_display: str | None = None  # of HDR10, as x265 writes them
    content_light: str | None = None
    sample_aspect_ratio: Fraction
    rotation_degrees: int
    has_audio: bool
    sequential: bool  # cannot be entered in the middle (one GOP, damage): read from the start


class AudioInfo(Record):
    """A readable sound track; ``samples`` is per channel, at its own rate, from time 0.

    ``stream`` is its index in the file.
    """

    file: Artefact
    stream: int = 0
    codec: str
    sample_rate_hz: int
    channels: int
    samples: int

    def frames(self, fps: Fraction) -> int:
        """Whole video frames that the sound covers: ``floor(samples * fps / rate)``."""
        return int(self.samples * fps / self.sample_rate_hz)


class Chunk(Record):
    """Source frames ``[start, end)`` in which faces are found."""

    index: int
    start: int
    end: int


class Segment(Record):
    """One unit of work: renders ``[start, end)``; its face clip also holds the overlap."""

    index: int
    start: int
    end: int
    clip_end: int  # end of the face clip: end + overlap_frames, or end for the last segment

    @property
    def frames(self) -> int:
        """Frames that this segment contributes to the output."""
        return self.end - self.start


class ClipFile(Record):
    """A clip of exactly ``end - start`` frames (faces or rendered), counted when it was written."""

    file: Artefact
    start: int
    end: int


def file_sha256(path: Path) -> str:
    """Content digest of a file, remembered while nothing that the system says of it changes.

    The time of the last change to the inode is among it: nobody can set that back.
    """
    stat = os.stat(path)
    return _sha256(str(path), (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))


@lru_cache(maxsize=65536)
def _sha256(path: str, _state: tuple[int, ...]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
