"""Pairs from manifests and folders; what is wrong is told by file, line, value and remedy."""

import json
import re
from pathlib import Path

import fsspec
import pytest

from configs.manifest import Pair, find_pairs
from latentsync.errors import InputError
from latentsync.settings import EncodeSettings, Settings


def pairs_of(text: str, path: Path, output_folder: str = "", settings: Settings = Settings()) -> list[Pair]:
    path.write_text(text)
    return find_pairs(str(path), output_folder, settings)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_csv_paths_are_seen_from_the_manifest(tmp_path: Path) -> None:
    text = "video, audio, output\na.mp4, voices/a.wav, out/a.mkv\ns3://b/c.mp4,/abs/c.wav,c.mp4\n"
    first, second = pairs_of(text, tmp_path / "jobs.csv")
    assert (first.video, first.audio) == (f"{tmp_path}/a.mp4", f"{tmp_path}/voices/a.wav")
    assert first.output == f"{tmp_path}/out/a.mkv"
    assert (second.video, second.audio, second.output) == ("s3://b/c.mp4", "/abs/c.wav", f"{tmp_path}/c.mp4")
    assert first.where == f"{tmp_path}/jobs.csv line 2"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_settings_of_a_line_go_over_those_of_the_batch(tmp_path: Path, suffix: str) -> None:
    override = {"encode": {"crf": 23}}
    line = json.dumps({"video": "a.mp4", "audio": "a.wav", "settings": override})
    quoted = json.dumps(override).replace('"', '""')
    text = line if suffix == ".jsonl" else f'video,audio,settings\na.mp4,a.wav,"{quoted}"\n'
    batch = Settings(encode=EncodeSettings(preset="slow"))
    (pair,) = pairs_of(text, tmp_path / f"jobs{suffix}", "/out", batch)
    assert (pair.settings.encode.crf, pair.settings.encode.preset) == (23, "slow")
    assert pair.output == "/out/a.mp4"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"video": "a.mp4"}', r"line 2: audio is missing; give a path or URL"),
        ('{"video": 3, "audio": "a.wav"}', r"line 2: video is 3; give a path or URL in quotes"),
        ('{"video": "a.mp4", ', r"line 2: .* is not valid JSON"),
        ('{"video": "a.mp4", "audio": "a.wav", "crf": 3}', r"line 2: .* is no object with the keys video, audio"),
        ('{"video": "a.mp4", "audio": "a.wav", "settings": {"encode": {"crf": 99}}}', r"line 2: .*crf = 99: .* 51"),
        ('{"video": "a.mp4", "audio": "a.wav", "settings": {"crf": 9}}', r"line 2: .* are not in groups; .*encode"),
        (
            '{"video": "/out/in/a.mp4", "audio": "a.wav", "output": "/out/x/../in/a.mp4"}',
            r"line 2: output .* is one of the inputs",
        ),
        (
            '{"video": "a.mp4", "audio": "a.wav", "output": "../etc/cron.d/a.mp4"}',
            r"line 2: output /out/\.\./etc/cron\.d/a\.mp4 lies outside /out",
        ),
        (
            '{"video": "a.mp4", "audio": "a.wav", "output": "/tmp/a.mp4"}',
            r"line 2: output /tmp/a\.mp4 lies outside /out",
        ),
        ('{"video": "a.mp4", "audio": "a.wav", "output": "s3://b/a.mp4"}', r"line 2: output .* lies outside /out"),
        (
            '{"video": "a.mp4", "audio": "a.wav", "settings": {"run": {"work_dir": "/etc"}}}',
            r"line 2: settings: run is for the whole batch",
        ),
        ("[" * 100_000, r"line 2: \[+ is not valid JSON"),
        ('{"video": "a.mp4", "audio": "a.wav", "output": ' + "1" * 5000 + "}", r"line 2: .* is not valid JSON"),
    ],
)
def test_a_bad_line_does_not_stop_the_others(tmp_path: Path, line: str, told: str) -> None:
    good = '{"video": "x.mp4", "audio": "x.wav"}\n'
    first, bad, last = pairs_of(f"{good}{line}\n{good.replace('x', 'y')}", tmp_path / "jobs.jsonl", "/out")
    assert not first.problem
    assert not last.problem
    assert re.fullmatch(rf"{tmp_path}/jobs\.jsonl {told}.*", bad.problem)


def test_a_link_does_not_lead_an_output_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to("/etc")
    text = "video,audio,output\na.mp4,a.wav,link/a.mp4\n"
    (pair,) = pairs_of(text, tmp_path / "jobs.csv", str(tmp_path / "out"))
    assert "lies outside" in pair.problem


def test_one_output_by_two_names_is_still_one(tmp_path: Path) -> None:
    text = "video,audio,output\na.mp4,a.wav,x.mp4\nb.mp4,b.wav,y/../x.mp4\n"
    assert all("is that of 2 pairs" in pair.problem for pair in pairs_of(text, tmp_path / "jobs.csv", "/out"))


def test_an_output_is_no_input_of_another_pair(tmp_path: Path) -> None:
    text = "video,audio,output\na.mov,a.wav,b.mp4\nb.mp4,b.wav,c.mp4\nc.mov,c.wav,x/../b.wav.mp4\n"
    over, *others = pairs_of(text, tmp_path / "jobs.csv")
    assert f"is an input of {tmp_path}/jobs.csv line 3 and would be overwritten" in over.problem
    assert not any(pair.problem for pair in others)


def test_a_line_of_json_ends_with_the_line(tmp_path: Path) -> None:
    lines = ['{"video": "a\u2028b.mp4", "audio": "a\x85b.wav"}', '{"video": "c.mp4", "audio": "c.wav"}']
    first, second = pairs_of("\r\n".join(lines), tmp_path / "jobs.jsonl", "/out")
    assert (first.problem, first.video) == ("", f"{tmp_path}/a\u2028b.mp4")
    assert second.where == f"{tmp_path}/jobs.jsonl line 2"


def test_two_pairs_must_not_write_one_output(tmp_path: Path) -> None:
    text = "video,audio\na/x.mp4,a/x.wav\nb/x.mp4,b/x.wav\n"
    pairs = pairs_of(text, tmp_path / "jobs.csv", "/out")
    assert all("output /out/x.mp4 is that of 2 pairs; give each its own" in pair.problem for pair in pairs)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"jobs\.csv line 1: the columns are empty; make it video, audio"),
        ("film,sound\n", r"jobs\.csv line 1: the columns are film, sound; make it video, audio"),
        ("video,audio\n", r"jobs\.csv: no jobs in it"),
        ('video,audio\na.mp4,"a.wav\n', r"jobs\.csv line 2: not valid CSV .*; check its quotes"),
        ('"video,audio\na.mp4,a.wav\n', r"jobs\.csv line .: not valid CSV .*; check its quotes"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        pairs_of(text, tmp_path / "jobs.csv", "/out")


def test_a_manifest_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: no such file or folder; check the address"):
        find_pairs(str(tmp_path / "none.csv"), "/out", Settings())


def test_a_comma_too_many_is_told(tmp_path: Path) -> None:
    (pair,) = pairs_of("video,audio\na.mp4,a.wav,b,c\n", tmp_path / "jobs.csv", "/out")
    assert "line 2: 2 more fields than columns; put quotes around" in pair.problem


@pytest.mark.parametrize("pattern", ["{folder}", "{folder}/*", "file://{folder}/*"])
def test_files_of_one_name_are_a_pair(tmp_path: Path, pattern: str) -> None:
    inbox = touch(tmp_path, "b.MOV", "b.m4a", "a.mp4", "a.wav", "notes.txt", ".c.mp4", "c.wav.part")
    first, second = find_pairs(pattern.format(folder=inbox), "/out", Settings())
    assert [Path(first.video).name, Path(first.audio).name, first.output] == ["a.mp4", "a.wav", "/out/a.mp4"]
    assert [Path(second.video).name, Path(second.audio).name, second.output] == ["b.MOV", "b.m4a", "/out/b.mp4"]


def test_a_file_without_partner_waits_and_one_with_two_is_refused(tmp_path: Path) -> None:
    inbox = touch(tmp_path, "lone.mp4", "two.mp4", "two.mp3", "two.wav")
    lone, two = find_pairs(str(inbox), "/out", Settings())
    assert lone.lone
    assert "found lone.mp4; put exactly one video and one sound" in lone.problem
    assert not two.lone
    assert "found two.mp3, two.mp4, two.wav" in two.problem


def test_an_inbox_whose_url_has_a_password_tells_it_to_nobody() -> None:
    memory, inbox = fsspec.filesystem("memory"), "memory://me:secret@host/in"
    for name in ("a.mp4", "a.wav", "lone.mp4"):
        memory.pipe_file(f"/me:secret@host/in/{name}", b"x")
    try:
        pair, lone = find_pairs(inbox, inbox, Settings())
    finally:
        memory.rm("/me:secret@host", recursive=True)
    assert (pair.video, pair.audio) == (f"{inbox}/a.mp4", f"{inbox}/a.wav")
    assert "output memory://host/in/a.mp4 is one of the inputs" in pair.problem
    assert (pair.where, lone.where) == ("memory://host/in/a", "memory://host/in/lone")
    assert "secret" not in pair.problem + lone.problem


def test_results_never_go_over_the_inbox(tmp_path: Path) -> None:
    inbox = touch(tmp_path, "a.mp4", "a.wav")
    (pair,) = find_pairs(str(inbox), str(inbox), Settings())
    assert "is one of the inputs and would be overwritten" in pair.problem


def test_a_glob_that_matches_nothing_is_no_error_but_a_missing_folder_is(tmp_path: Path) -> None:
    assert find_pairs(f"{tmp_path}/*", "/out", Settings()) == []
    with pytest.raises(InputError, match=r"inbox: no such file or folder"):
        find_pairs(f"{tmp_path}/inbox", "/out", Settings())
    with pytest.raises(InputError, match="set output_folder"):
        find_pairs(str(tmp_path), "", Settings())
