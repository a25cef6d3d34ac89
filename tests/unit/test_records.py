import os
from fractions import Fraction
from pathlib import Path

import pytest
from pydantic import ValidationError

from latentsync.records import Artefact, AudioInfo


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mkv"
    path.write_bytes(b"frames" * 1000)
    return path


def test_an_intact_file_survives_the_way_through_json(file: Path) -> None:
    artefact = Artefact.of(file)
    assert Artefact.model_validate_json(artefact.model_dump_json()) == artefact


def test_a_lost_file_is_no_artefact(file: Path) -> None:
    text = Artefact.of(file).model_dump_json()
    file.unlink()
    with pytest.raises(ValidationError, match=r"clip\.mkv is gone"):
        Artefact.model_validate_json(text)


def test_a_truncated_file_is_no_artefact(file: Path) -> None:
    text = Artefact.of(file).model_dump_json()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValidationError, match="5999 bytes, 6000 were written"):
        Artefact.model_validate_json(text)


def test_a_flipped_bit_is_found(file: Path) -> None:
    text = Artefact.of(file).model_dump_json()
    content = bytearray(file.read_bytes())
    content[3000] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValidationError, match="sha256 differs"):
        Artefact.model_validate_json(text)


def test_a_file_that_is_elsewhere_is_verified_without_a_download(file: Path, tmp_path: Path) -> None:
    text = Artefact.of(file, url="s3://bucket/remote.mkv").model_dump_json()
    file.unlink()
    assert Artefact.model_validate_json(text).url.endswith("remote.mkv")
    assert not file.exists()


@pytest.mark.parametrize(
    ("samples", "rate", "fps", "frames"),
    [
        (153_600, 16_000, Fraction(25), 240),
        (153_599, 16_000, Fraction(25), 239),
        (480_000, 48_000, Fraction(30_000, 1001), 299),
        (30 * 16_000, 16_000, Fraction(25), 750),
        (7200 * 44_100, 44_100, Fraction(24_000, 1001), 172_627),
    ],
)
def test_frames_of_a_sound_are_whole_and_exact(file: Path, samples: int, rate: int, fps: Fraction, frames: int) -> None:
    sound = AudioInfo(file=Artefact.of(file), codec="pcm", sample_rate_hz=rate, channels=1, samples=samples)
    assert sound.frames(fps) == frames


def test_a_change_in_place_is_found_when_size_and_time_are_set_back(file: Path) -> None:
    before, digest = file.stat(), Artefact.of(file).sha256
    file.write_bytes(b"FRAMES" * 1000)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert Artefact.of(file).sha256 != digest
