"""Will the whole job fit on its disks? Asked before anything is decoded."""

import shutil
from pathlib import Path

from latentsync.errors import InputError
from latentsync.records import Record
from latentsync.storage.disks import nearest, on_one_disk
from latentsync.storage.locations import is_url, local_path

# Low estimates, from talking heads at crf 18: what fits must not be refused.
FACE_BYTES_PER_PIXEL = 0.5  # of lossless face clips, measured 0.8 (325 MB a minute at 512 px)
BYTES_PER_PIXEL = 0.005  # of the output
MIB = 1024 * 1024


class Space(Record):
    """Bytes that a job writes, by stage; those of ``publish`` at the destination, the others in the workspace."""

    generate: int
    render: int
    join: int
    publish: int

    @classmethod
    def of(cls, frames: int, frame_pixels: int, face_pixels: int) -> "Space":
        """An estimate for ``frames`` frames, with faces of ``face_pixels``."""
        output = int(frames * frame_pixels * BYTES_PER_PIXEL)
        faces = int(frames * face_pixels * FACE_BYTES_PER_PIXEL)
        return cls(generate=faces, render=output, join=2 * output, publish=output)  # joined, then with its sound

    @property
    def work(self) -> int:
        """Bytes in the workspace."""
        return self.generate + self.render + self.join

    def __str__(self) -> str:
        stages = self.model_dump().items()
        return ", ".join(f"{stage} {size / MIB:,.0f} MiB" for stage, size in stages)


def check_space(space: Space, work: Path, output: str, done_bytes: int = 0) -> None:
    """Raise InputError where the job does not fit; ``done_bytes`` of its work are there already."""
    work_bytes = max(space.work - done_bytes, 0)
    if not is_url(output) and on_one_disk(work, local_path(output)):
        _check(work, work_bytes + space.publish, space)
        return
    _check(work, work_bytes, space)
    if not is_url(output):
        _check(local_path(output), space.publish, space)


def _check(path: Path, needed_bytes: int, space: Space) -> None:
    free_bytes = shutil.disk_usage(nearest(path)).free
    if free_bytes < needed_bytes:
        raise InputError(
            f"{path} needs {needed_bytes / MIB:,.0f} MiB, its disk has {free_bytes / MIB:,.0f} MiB free "
            f"(the job writes at least: {space}): free some, or set another output or run.work_dir"
        )
