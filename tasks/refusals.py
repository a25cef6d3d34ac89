"""What is refused before anything is decoded: all that would otherwise fail after the dear work."""

from pathlib import Path

from configs.loader import disk_profile
from latentsync.engines.registry import check_engine
from latentsync.errors import InputError
from latentsync.media.encode import encoder_works
from latentsync.publishing.writer import check_destination
from latentsync.settings import Settings
from latentsync.stitching.sign import check_signing
from latentsync.storage.remote import is_url

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")


def refuse_bad_request(video: str, audio: str, output: str, settings: Settings) -> None:
    """Raise ``InputError`` or ``WeightsError`` for a job that cannot end well, whatever its inputs hold."""
    disk_profile(settings.run.disk_profile)
    _check_output(video, audio, output)
    if settings.run.report_dir:
        _check_report_dir(settings.run.report_dir)
    if not encoder_works(settings.encode.encoder):
        raise InputError(
            f"encoder {settings.encode.encoder} does not work on this machine; lipsync doctor lists those that do"
        )
    check_signing(settings.mark, Path(output).suffix or ".mp4")
    check_engine(settings.engine, here=settings.run.runner == "threads")


def _check_output(video: str, audio: str, output: str) -> None:
    suffix = Path(output).suffix
    if suffix.lower() not in ("", *SUFFIXES):
        raise InputError(f"{output}: {suffix} files cannot be written; end the name with {', '.join(SUFFIXES)}")
    if _place(output) in (_place(video), _place(audio)):
        raise InputError(f"{output} is one of the inputs and would be overwritten; choose another output")
    check_destination(output, 0)


def _check_report_dir(folder: str) -> None:
    if is_url(folder):
        raise InputError(f"report_dir {folder} is a URL; name a folder")
    check_destination(f"{folder}/contact-sheet.png", 0)


def _place(location: str) -> str:
    return location if is_url(location) else str(Path(location.removeprefix("file://")).expanduser().resolve())
