import socket
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cli import findings as looked_at
from flows.cli.findings import Finding, findings
from flows.cli.shared_disks import shared_disks
from tests.unit.engines.diffusion.weights_on_disk import write_tiny_weights


def the(name: str, found: list[Finding]) -> Finding:
    return next(finding for finding in found if finding.name == name)


@pytest.fixture
def quick(monkeypatch):
    """Without the two checks that load mediapipe and encode with everything."""
    monkeypatch.setattr(looked_at, "_ENCODERS", {("libx264", "-pix_fmt yuv420p"): "nothing can be encoded"})
    monkeypatch.setattr(looked_at, "_LOAD_FACE_MESH", "print('0')")


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.slow
def test_this_machine_is_fit(tmp_path):
    found = findings(tmp_path)
    needed = {"ffmpeg", "encoder libx264", "encoder libx264 10-bit", "encoder aac", "torch", "face mesh", "Prefect"}
    assert {finding.name for finding in found if finding.verdict == "ok"} >= needed
    assert the("work folder", found).verdict != "fail"  # how full and fast its disk is, is its own business
    assert list(tmp_path.iterdir()) == []


def test_it_is_said_whether_clips_count_against_the_destinations_disk(tmp_path):
    said = {
        place: str(shared_disks(tmp_path / "work", place, "pl0"))
        for place in (f"{tmp_path}/out/a.mp4", "/dev/shm/a.mp4", "s3://key:secret@bucket/a.mp4")
    }
    same, other, url = said.values()
    assert "share a disk" in same
    assert "writes/s (pl0)" in same
    assert "are on two disks" in other
    assert "is sent at no more than 150 MB/s" in url
    assert "secret" not in url
    assert shared_disks(tmp_path, str(tmp_path), "floppy")[0] == "fail"


def test_every_finding_is_one_line_and_every_trouble_has_a_remedy(tmp_path, quick):
    for finding in findings(tmp_path, weights=tmp_path):
        assert "\n" not in str(finding)
        assert finding.detail
        assert finding.verdict == "ok" or finding.remedy


def test_a_machine_without_ffmpeg(tmp_path, quick, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = findings(tmp_path)
    assert the("ffmpeg", found).verdict == the("encoder libx264", found).verdict == "fail"
    assert "apt-get install ffmpeg" in the("ffmpeg", found).remedy


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("4.4.2-0ubuntu0.22.04.1", "fail"), ("5.0.1", "fail"), ("5.1.9-0+deb12u1", "ok"), ("n7.1", "ok"), ("N-117", "ok")],
)
def test_versions_of_ffmpeg(tmp_path, quick, monkeypatch, version, verdict):
    for name in ("ffmpeg", "ffprobe"):
        program(tmp_path, name, f"echo 'ffmpeg version {version} Copyright (c) 2000-2026'")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert the("ffmpeg", findings(tmp_path)).verdict == verdict


def test_an_encoder_that_is_listed_but_cannot_encode(tmp_path, quick, monkeypatch):
    for name in ("ffmpeg", "ffprobe"):
        program(tmp_path, name, "echo '[libx264 @ 0x55a1] Cannot load it' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = the("encoder libx264", findings(tmp_path))
    assert (finding.verdict, finding.detail) == ("fail", "nothing can be encoded: Cannot load it")


def test_an_encoder_that_nothing_depends_on_only_warns(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(looked_at, "_ENCODERS", {("no_such_encoder", ""): ""})
    finding = the("encoder no_such_encoder", findings(tmp_path))
    assert finding.verdict == "warn"
    assert "no_such_encoder" in finding.remedy


def test_a_face_mesh_that_dies_with_its_process(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(looked_at, "_LOAD_FACE_MESH", "import os; os.abort()")
    finding = the("face mesh", findings(tmp_path))
    assert finding.verdict == "fail"
    assert "-6" in finding.detail


@pytest.mark.slow
def test_weights_that_are_whole_or_missing(tmp_path, quick):
    weights = write_tiny_weights(tmp_path / "weights")
    assert the("weights", findings(tmp_path, weights)).verdict == "ok"
    (weights / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    finding = the("weights", findings(tmp_path, weights))
    assert finding.verdict == "fail"
    assert "vae" in finding.detail


def test_a_prefect_server_that_does_not_answer(tmp_path, quick):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refuses connections
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            finding = the("Prefect", findings(tmp_path))
    assert finding.verdict == "fail"
    assert url in finding.detail


def test_a_work_folder_that_cannot_be_written(quick):
    finding = the("work folder", findings(Path("/dev/null/work")))
    assert finding.verdict == "fail"
    assert finding.remedy == "choose another --work-dir"


def test_a_check_that_breaks_is_a_finding_too(tmp_path, quick, monkeypatch):
    def broken():
        raise RuntimeError("driver\nmismatch")

    monkeypatch.setattr(looked_at, "_gpu", broken)
    assert str(the("GPU", findings(tmp_path))).startswith("fail  GPU")
    assert "RuntimeError: driver mismatch" in the("GPU", findings(tmp_path)).detail
