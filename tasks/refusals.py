"""What is refused before anything is decoded: all that would otherwise fail after the expensive work."""

from pathlib import Path

from configs.loader import disk_profile
from latentsync.engines.registry import check_engine
from latentsync.errors import InputError
from latentsync.media.container import refuse_no_file
from latentsync.media.encode import encoder_works
from latentsync.publishing.report import sidecar_of
from latentsync.publishing.writer import check_destination
from latentsync.review import files
from latentsync.segments.syncnet.weights import refuse_bad_weights
from latentsync.settings import Settings
from latentsync.stitching.sign import check_signing
from latentsync.storage.locations import is_url, local_path, same_file, shown

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")


def refuse_at_once(video: str, audio: str, output: str, settings: Settings) -> None:
    """What of a bad request is seen in no time: asked by a command before it starts anything. Raises as below."""
    disk_profile(settings.run.disk_profile)
    for location in (video, audio):
        if not is_url(location):
            refuse_no_file(local_path(location))
    _check_output(video, audio, output)
    if settings.run.sidecar:
        refuse_bad_report(sidecar_of(output), video, audio, output)
    if settings.run.report_dir:
        _check_report_dir(settings.run.report_dir, video, audio, output)
    if settings.run.runner == "threads":
        settings.engine.spec.check(settings.engine.own)
        refuse_bad_weights(settings.score)


def refuse_bad_request(video: str, audio: str, output: str, settings: Settings) -> None:
    """Raise ``InputError`` or ``WeightsError`` for a job that cannot end well, whatever its inputs hold."""
    refuse_at_once(video, audio, output, settings)
    if not encoder_works(settings.encode.encoder):
        raise InputError(
            f"encoder {settings.encode.encoder} does not work on this machine; lipsync doctor lists those that do"
        )
    check_signing(settings.mark, Path(output).suffix or ".mp4")
    check_engine(settings.engine, here=settings.run.runner == "threads")


def refuse_bad_report(report: str, video: str, audio: str, output: str) -> None:
    """Raise ``InputError`` for a report that would take the place of an input, of the output or of any other work."""
    _refuse_overwriting("report", report, b"{", video=video, audio=audio, output=output)


def refuse_bad_page(page: str, video: str, audio: str) -> None:
    """Raise ``InputError`` for a page that would take the place of an input or of any other work."""
    _refuse_overwriting("page", page, b"<", video=video, audio=audio)


def _refuse_overwriting(kind: str, place: str, begins: bytes, **others: str) -> None:
    """``begins``: the first byte of a file of this kind, by which an earlier one is known."""
    _refuse_same(kind, place, **others)
    check_destination(place, 0)
    if is_url(place):
        return
    path = local_path(place)
    if path.is_file() and _first_byte(path) not in (b"", begins):
        raise InputError(f"{kind} {place} would overwrite a file that is no {kind}; choose another name")


def _refuse_same(kind: str, place: str, **others: str) -> None:
    for what, other in others.items():
        if same_file(place, other):
            raise InputError(f"{kind} {shown(place)} is the {what} and would be overwritten; choose another name")


def _check_output(video: str, audio: str, output: str) -> None:
    suffix = Path(output).suffix
    if suffix.lower() not in ("", *SUFFIXES):
        raise InputError(f"{shown(output)}: {suffix} files cannot be written; end the name with {', '.join(SUFFIXES)}")
    if same_file(output, video) or same_file(output, audio):
        raise InputError(f"{shown(output)} is one of the inputs and would be overwritten; choose another output")
    check_destination(output, 0)


def _check_report_dir(folder: str, video: str, audio: str, output: str) -> None:
    if is_url(folder):
        raise InputError(f"report_dir {shown(folder)} is a URL; name a folder")
    for name in files.ALL:
        _refuse_same("report_dir's", f"{folder}/{name}", video=video, audio=audio, output=output)
        check_destination(f"{folder}/{name}", 0)
    place = local_path(folder)
    for film in files.FILMS:  # an earlier report has its sheet, which is written before them, beside them
        if (place / film).exists() and not (place / files.SHEET).exists():
            raise InputError(f"report_dir {folder} has a {film} that is no report's; choose another folder")


def _first_byte(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(1)
