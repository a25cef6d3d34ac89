import json
import subprocess
from pathlib import Path

import av
import pytest

from latentsync.settings import MarkSettings
from latentsync.stitching.mark import DIGITAL_SOURCE_TYPE, read_mark
from tests.synthetic import ffmpeg
from tests.unit.stitching.finished import make_finished

pytestmark = pytest.mark.slow


def packets(path: Path) -> list[tuple[int, int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(p.stream.index, p.pts, bytes(p)) for p in container.demux() if p.size]


def tags(path: Path) -> dict[str, str]:
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_entries", "format_tags", str(path)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["format"]["tags"]
    return {name.lower(): value for name, value in found.items()}


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_the_mark_survives_a_copy_into_any_of_our_containers(tmp_path, name):
    out = make_finished(tmp_path, name, MarkSettings())
    assert read_mark(out).altered
    for suffix in (".mp4", ".mov", ".mkv"):
        copy = tmp_path / f"copy{suffix}"
        ffmpeg("-i", out, "-c", "copy", copy)
        assert DIGITAL_SOURCE_TYPE in tags(copy)["comment"]
        assert read_mark(copy).altered


@pytest.mark.parametrize("name", ["out.mp4", "out.mov"])
def test_the_same_stands_in_the_xmp_that_asset_managers_read(tmp_path, name):
    out = make_finished(tmp_path, name, MarkSettings())
    ffmpeg("-export_xmp", "1", "-i", out, "-map_metadata", "0", "-f", "ffmetadata", tmp_path / "tags.txt")
    assert f'Iptc4xmpExt:DigitalSourceType\\="{DIGITAL_SOURCE_TYPE}"' in (tmp_path / "tags.txt").read_text()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pictures_and_sound_are_those_of_an_unmarked_file(tmp_path, suffix):
    plain = make_finished(tmp_path, f"plain{suffix}", MarkSettings(metadata=False))
    marked = make_finished(tmp_path, f"marked{suffix}", MarkSettings(aigc_producer="Studio"))
    assert packets(marked) == packets(plain)
    assert not read_mark(plain).altered
    assert read_mark(plain).aigc is None


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_the_aigc_tag_names_producer_and_content(tmp_path, name):
    out = make_finished(tmp_path, name, MarkSettings(aigc_producer='Studio "北京"'))
    found = json.loads(read_mark(out).aigc or "")
    assert (found["Label"], found["ContentProducer"]) == ("1", 'Studio "北京"')
    assert len(found["ProduceID"]) == 32
    assert read_mark(out).altered  # both at once
