"""Signing a finished file with content credentials (C2PA): a manifest that any later change of it breaks."""

import importlib.metadata
import importlib.util
import json
import sys
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latentsync.engines.registry import engine_identity
from latentsync.errors import InputError, TransientError
from latentsync.job import Job
from latentsync.media.audio import MOV_SUFFIXES
from latentsync.media.child import start_child
from latentsync.records import ClipFile
from latentsync.settings import MarkSettings
from latentsync.stitching.mark import DIGITAL_SOURCE_TYPE

PROGRAM = "lipsync-pipeline"
INSTALL = f"run pip install '{PROGRAM}[mark]'"


def check_signing(mark: MarkSettings, suffix: str) -> None:
    """Sign a moment of silence as the file will be signed. Raises InputError with what is wrong.

    ``suffix`` is that of the file to write. Does nothing when neither certificate nor key are set.
    """
    if mark.required and not (mark.certificate and mark.key):
        raise InputError("mark.required is set: give mark.certificate and mark.key, or unset it")
    if not mark.certificate and not mark.key:
        return
    if not (mark.certificate and mark.key):
        given, missing = ("certificate", "key") if mark.certificate else ("key", "certificate")
        raise InputError(f"mark.{given} is set without mark.{missing}; give both, or none")
    for file in (mark.certificate, mark.key):
        if not file.is_file():
            raise InputError(f"{file}: no such file; mark.certificate and mark.key are PEM files")
    if suffix.lower() not in MOV_SUFFIXES:
        raise InputError(f"{suffix} files cannot carry a C2PA manifest; end the output's name with .mp4 or .mov")
    if not importlib.util.find_spec("c2pa"):
        raise InputError(f"mark.certificate needs c2pa-python; {INSTALL}")
    with tempfile.TemporaryDirectory(prefix="lipsync-mark-") as folder:
        _sign_silence(mark, Path(folder))


def sign(unsigned: Path, job: Job, clips: Sequence[ClipFile], out: Path) -> None:
    """Write a copy of ``unsigned`` with a manifest of what was done to which video.

    Raises TransientError when it cannot be signed now: ``check_signing`` has tried it all before.
    """
    source = job.video.file
    complaint = _signed(job.settings.mark, _manifest(job, clips), source.path, unsigned, out)
    if complaint:
        raise TransientError(f"{out}: could not be signed with {job.settings.mark.certificate}: {complaint}")


def _sign_silence(mark: MarkSettings, folder: Path) -> None:
    silence = folder / "silence.wav"
    with wave.open(str(silence), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(320))
    if complaint := _signed(mark, {}, silence, silence, folder / "signed.wav"):
        raise InputError(
            f"mark.certificate {mark.certificate} cannot sign: {complaint}; it must be a PEM chain, the signer first, "
            "valid now and meant for signing documents or e-mail, and mark.key its private key without a password"
        )


def _signed(mark: MarkSettings, manifest: dict[str, Any], parent: Path, unsigned: Path, out: Path) -> str:
    """Sign in a process of its own; what it complained of, or nothing."""
    request = {
        "manifest": {"claim_generator_info": [_program()], **manifest},
        "title": parent.name,
        "parent": str(parent),
        "certificate": str(mark.certificate),
        "key": str(mark.key),
        "timestamp_url": mark.timestamp_url,
        "unsigned": str(unsigned),
        "out": str(out),
    }
    signer = start_child([sys.executable, "-m", "latentsync.stitching.c2pa_signer"], stdin=True, stdout=False)
    _, said = signer.communicate(json.dumps(request).encode())
    complaint = said.decode(errors="replace").strip() or f"the signer ended with status {signer.returncode}"
    return complaint if signer.returncode else ""


def _manifest(job: Job, clips: Sequence[ClipFile]) -> dict[str, Any]:
    """Title, actions and settings. No paths and no addresses: the file goes to the public."""
    actions = [
        {"action": "c2pa.dubbed", "softwareAgent": _program(), "description": "the sound was replaced"},
        {
            "action": "c2pa.edited",
            "softwareAgent": _program(),
            "digitalSourceType": DIGITAL_SOURCE_TYPE,
            "description": "the lips were altered to follow the new sound",
        },
    ]
    work = {
        "video_sha256": job.video.file.sha256,
        "voice_sha256": job.audio.file.sha256,
        "frames": clips[-1].end - clips[0].start,
        "fps": str(job.timeline.fps),
        "segments": len(clips),
        "engine": engine_identity(job.settings.engine),
    }
    return {
        "title": Path(job.output).name,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": f"{PROGRAM}.job", "data": work},
        ],
    }


def _program() -> dict[str, str]:
    return {"name": PROGRAM, "version": importlib.metadata.version(PROGRAM)}
