"""The pairs of a batch: from a CSV or JSONL manifest, or from files of the same name side by side."""

import csv
import io
import json
import posixpath
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from configs.loader import load_settings, merged
from latentsync.errors import InputError
from latentsync.records import Record
from latentsync.settings import Settings
from latentsync.storage.fs import UrlLimits, list_files, read_text
from latentsync.storage.locations import canonical, is_inside, is_url, normalised, same_file, shown

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".ts"})
SOUND_SUFFIXES = frozenset({".wav", ".mp3", ".m4a", ".flac", ".aac", ".ogg", ".opus"})
COLUMNS = ("video", "audio", "output", "settings")
EXAMPLE = '{"encode": {"crf": 23}}'


class Pair(Record):
    """One job of a batch, or why it cannot be one: then ``problem`` names place, value and remedy.

    ``lone``: a file whose partner is not there, and may still come.
    """

    where: str
    video: str = ""
    audio: str = ""
    output: str = ""
    settings: Settings = Settings()
    problem: str = ""
    lone: bool = False


def find_pairs(jobs: str, output_folder: str, settings: Settings) -> list[Pair]:
    """The pairs that ``jobs`` names, in its order; bad ones carry their ``problem``.

    ``jobs`` is a manifest (path or URL ending in .csv or .jsonl), a folder, or a glob such as
    ``s3://bucket/inbox/*``. Raises ``InputError`` when it cannot be read at all.
    """
    jobs, output_folder = normalised(jobs), output_folder and normalised(output_folder)
    suffix = posixpath.splitext(jobs)[1].lower()
    if suffix in (".csv", ".jsonl"):
        pairs = _manifest(jobs, suffix, output_folder, settings)
    else:
        pairs = _side_by_side(jobs, output_folder, settings)
    good = [pair for pair in pairs if not pair.problem]
    outputs = Counter(canonical(pair.output) for pair in good)
    inputs = {canonical(location): pair.where for pair in good for location in (pair.video, pair.audio)}
    return [_checked(pair, outputs, inputs) for pair in pairs]


def _manifest(jobs: str, suffix: str, output_folder: str, settings: Settings) -> list[Pair]:
    text, folder = read_text(jobs, UrlLimits.of(settings.run)), posixpath.dirname(jobs)
    rows: Iterator[tuple[int, Any]] = _csv_rows(text, jobs) if suffix == ".csv" else _lines(text)
    parse: Callable[[Any], dict[str, Any]] = _csv_row if suffix == ".csv" else _json_row
    pairs = []
    for number, row in rows:
        where = f"{shown(jobs)} line {number}"
        try:
            pairs.append(_pair(where, parse(row), folder, output_folder, settings))
        except InputError as error:
            pairs.append(Pair(where=where, problem=f"{where}: {error}"))
    if not pairs:
        raise InputError(f"{shown(jobs)}: no jobs in it; give one line per pair with {', '.join(COLUMNS)}")
    return pairs


def _csv_rows(text: str, jobs: str) -> Iterator[tuple[int, dict]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [name.strip() for name in reader.fieldnames or []]
        if not {"video", "audio"} <= set(columns) <= set(COLUMNS):
            found = ", ".join(columns) or "empty"
            raise InputError(
                f"{shown(jobs)} line 1: the columns are {found}; make it {', '.join(COLUMNS)} (the last two optional)"
            )
        reader.fieldnames = columns
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(
            f"{shown(jobs)} line {reader.line_num + 1}: not valid CSV ({error}); check its quotes"
        ) from error


def _csv_row(row: dict) -> dict[str, Any]:
    if None in row:
        raise InputError(f"{len(row[None])} more fields than columns; put quotes around fields with commas")
    given = {name: value.strip() for name, value in row.items() if value and value.strip()}
    return given | ({"settings": _json(given["settings"])} if "settings" in given else {})


def _lines(text: str) -> Iterator[tuple[int, str]]:
    lines = io.StringIO(text, newline=None)  # str.splitlines would also cut a name at U+2028 and its like
    return ((number, line.rstrip("\n")) for number, line in enumerate(lines, start=1) if line.strip())


def _json_row(line: str) -> dict[str, Any]:
    row = _json(line)
    if not isinstance(row, dict) or not set(row) <= set(COLUMNS):
        raise InputError(f"{line[:120]} is no object with the keys {', '.join(COLUMNS)}")
    return row


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of 5,000 digits, and 5,000 brackets
        raise InputError(f"{text[:120]} is not valid JSON ({error}); write an object such as {EXAMPLE}") from error


def _pair(where: str, row: dict[str, Any], folder: str, output_folder: str, settings: Settings) -> Pair:
    """One row, its paths made absolute and its settings laid over those of the batch."""
    for name in ("video", "audio", "output"):
        if name in row and not isinstance(row[name], str):
            raise InputError(f"{name} is {row[name]!r}; give a path or URL in quotes")
        if name != "output" and not row.get(name):
            raise InputError(f"{name} is missing; give a path or URL")
    output = _output_of(row.get("output", ""), row["video"], output_folder or folder, bool(output_folder))
    merged = _overridden(settings, row.get("settings") or {})
    try:
        video, audio = normalised(row["video"], folder), normalised(row["audio"], folder)
    except InputError as error:
        return Pair(where=where, output=output, problem=f"{where}: {error}")
    return Pair(where=where, video=video, audio=audio, output=output, settings=merged)


def _output_of(given: str, video: str, folder: str, named: bool) -> str:
    """The output that a row gives, which must lie in the folder of the outputs, or of the manifest."""
    if not given:
        return _output(video, folder if named else "")
    output = normalised(given, folder)
    if not is_inside(output, folder):
        raise InputError(f"output {shown(output)} lies outside {shown(folder)}; name one inside, or set output_folder")
    return output


def _overridden(settings: Settings, given: Any) -> Settings:
    values = settings.model_dump(exclude_unset=True)
    if not isinstance(given, dict) or not all(isinstance(group, dict) for group in given.values()):
        raise InputError(f"settings {given!r} are not in groups; write an object such as {EXAMPLE}")
    if "run" in given:
        raise InputError("settings: run is for the whole batch; set it there")
    return load_settings(None, merged(values, given))


def _side_by_side(jobs: str, output_folder: str, settings: Settings) -> list[Pair]:
    """One pair for every video beside a sound of the same name."""
    if not output_folder:
        raise InputError(f"{shown(jobs)}: an output folder is needed for pairs found by name; set output_folder")
    beside: dict[str, list[str]] = defaultdict(list)
    for name in list_files(jobs):
        stem, suffix = posixpath.splitext(name)
        if suffix.lower() in VIDEO_SUFFIXES | SOUND_SUFFIXES and not posixpath.basename(name).startswith("."):
            beside[stem].append(name)
    return [_found(stem, sorted(beside[stem]), output_folder, settings) for stem in sorted(beside)]


def _found(stem: str, names: list[str], output_folder: str, settings: Settings) -> Pair:
    videos = [name for name in names if posixpath.splitext(name)[1].lower() in VIDEO_SUFFIXES]
    sounds = [name for name in names if name not in videos]
    where = shown(stem) if is_url(stem) else stem
    if len(videos) == len(sounds) == 1:
        output = _output(videos[0], output_folder)
        return Pair(where=where, video=videos[0], audio=sounds[0], output=output, settings=settings)
    listing = ", ".join(posixpath.basename(name) for name in names)
    problem = f"{where}: found {listing}; put exactly one video and one sound of the same name side by side"
    return Pair(where=where, problem=problem, lone=len(names) == 1)


def _checked(pair: Pair, outputs: Counter[str], inputs: dict[str, str]) -> Pair:
    """The pair, with a problem if it would overwrite an input, of its own or another pair, or another's output."""
    problem = ""
    if pair.problem:
        return pair
    if same_file(pair.output, pair.video) or same_file(pair.output, pair.audio):
        problem = f"output {shown(pair.output)} is one of the inputs and would be overwritten; choose another output"
    elif (count := outputs[canonical(pair.output)]) > 1:
        problem = f"output {shown(pair.output)} is that of {count} pairs; give each its own"
    elif reader := inputs.get(canonical(pair.output)):
        problem = f"output {shown(pair.output)} is an input of {reader} and would be overwritten; choose another output"
    return pair.model_copy(update={"problem": problem and f"{pair.where}: {problem}"})


def _output(video: str, output_folder: str) -> str:
    if not output_folder:
        raise InputError("output is missing; name a file, or set output_folder")
    return normalised(posixpath.splitext(posixpath.basename(video))[0] + ".mp4", output_folder)
