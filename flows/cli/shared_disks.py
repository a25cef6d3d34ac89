"""`lipsync doctor`: do the clips count against the limits of the destination's disk?"""

from pathlib import Path
from typing import TYPE_CHECKING

from configs.loader import disk_profile
from latentsync.errors import InputError
from latentsync.storage.disks import on_one_disk, size_gib
from latentsync.storage.locations import is_url, local_path, shown

if TYPE_CHECKING:
    from flows.cli.findings import Answer


def shared_disks(work_dir: Path, output: str, profile: str) -> "Answer":
    """What the disk profile bounds, with the workspace and the output where they are."""
    try:
        disk = disk_profile(profile, size_gib(output))
    except InputError as error:
        return "fail", str(error), "choose another --disk-profile"
    limits = f"{disk.write_mb_per_second:.0f} MB/s and {disk.writes_per_second:.0f} writes/s ({profile})"
    if is_url(output):
        return "ok", f"{shown(output)} is sent at no more than {limits}; clips are written at full speed", ""
    if on_one_disk(work_dir, local_path(output)):
        return "ok", f"{work_dir} and {output} share a disk: all that jobs write, clips too, keeps to {limits}", ""
    return "ok", f"{work_dir} and {output} are on two disks: results keep to {limits}, clips to no limit", ""
