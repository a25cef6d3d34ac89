from fractions import Fraction
from pathlib import Path

import pytest
from pydantic import ValidationError

from configs.loader import disk_profile, load_settings
from latentsync.errors import InputError
from latentsync.group import Group
from latentsync.settings import FaceSettings, RunSettings, Settings, TimingSettings


def test_every_setting_is_described_for_the_form() -> None:
    def check(group: Group) -> None:
        for name, field in type(group).model_fields.items():
            value = getattr(group, name)
            assert field.description or group == Settings(), f"{type(group).__name__}.{name} has no description"
            if isinstance(value, Group):
                check(value)

    check(Settings())


@pytest.mark.parametrize(
    ("text", "rate"), [("25", 25), ("30000/1001", Fraction(30000, 1001)), ("29.97", Fraction(2997, 100))]
)
def test_rates_are_exact(text: str, rate: Fraction) -> None:
    assert TimingSettings(fps=text).rate == rate


def test_source_keeps_the_rate() -> None:
    assert TimingSettings(fps="source").rate is None


@pytest.mark.parametrize("fps", ["0", "-25", "1/0", "fast", "1000"])
def test_bad_rates_are_refused(fps: str) -> None:
    with pytest.raises(ValidationError):
        TimingSettings(fps=fps)


def test_a_face_is_chosen_by_word_or_pixel() -> None:
    assert FaceSettings(choice="center").target == "center"
    assert FaceSettings(choice="120,80.5").target == (120.0, 80.5)
    with pytest.raises(ValidationError, match="no choice of a face"):
        FaceSettings(choice="nan,1")
    with pytest.raises(ValidationError, match="no choice of a face"):
        FaceSettings(choice="left")


def test_options_go_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    config = tmp_path / "job.yaml"
    config.write_text("encode: {crf: 23, preset: fast}\nsegments: {segment_seconds: 5}\n")
    settings = load_settings(config, {"encode": {"crf": 16}})
    assert settings.encode.crf == 16
    assert settings.encode.preset == "fast"
    assert settings.segments.segment_seconds == 5
    assert settings.timing.fps == "25"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("encode: {crf: 99}", r"encode\.crf = 99: .*less than or equal to 51"),
        ("encode: {quality: 3}", r"encode\.quality = 3: .*not permitted"),
        ("- 1", "expected groups of settings"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_bad_file_is_refused_by_name_value_and_limit(tmp_path: Path, content: str, message: str) -> None:
    config = tmp_path / "job.yaml"
    config.write_text(content)
    with pytest.raises(InputError, match=message) as refused:
        load_settings(config)
    assert "job.yaml" in str(refused.value)


def test_options_of_an_engine_go_over_those_of_the_file_one_by_one(tmp_path: Path) -> None:
    config = tmp_path / "job.yaml"
    config.write_text("engine: {name: latentsync, latentsync: {steps: 5, seed: 2}}\n")
    own = load_settings(config, {"engine": {"latentsync": {"seed": 3}}}).engine.latentsync
    assert (own.steps, own.seed) == (5, 3)


@pytest.mark.parametrize("name", ["floppy", "../engines/warp", "", "PL0"])
def test_an_unknown_disk_profile_lists_the_known_ones(name: str) -> None:
    with pytest.raises(InputError, match=r"known are autopl, pl0, pl1, ssd, or name a \.yaml file"):
        disk_profile(name)


@pytest.mark.parametrize(
    ("name", "disk_gib", "mb", "writes"),
    [
        ("pl0", 100, 150 / 180 * 125, 2400),
        ("pl0", 320, 150, 0.8 * 5640),
        ("pl0", 2000, 150, 8000),
        ("pl1", 100, 290 / 350 * 170, 0.8 * 6800),
        ("autopl", 2000, 290, 40000),
        ("ssd", 100, 400, 40000),
    ],
)
def test_a_profile_takes_its_share_of_a_disk_of_any_size(name: str, disk_gib: float, mb: float, writes: float) -> None:
    disk = disk_profile(name, disk_gib)
    assert (disk.write_mb_per_second, disk.writes_per_second) == pytest.approx((mb, writes))


def test_a_profile_of_ones_own_is_found_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("write_mb_per_second: 20\nwrites_per_second: 500\n")
    monkeypatch.chdir(tmp_path)
    name = load_settings(None, {"run": {"disk_profile": "./mine.yaml"}}).run.disk_profile
    monkeypatch.chdir("/")
    assert disk_profile(name).write_mb_per_second == 20


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "No such file"), ("name: warp", "no disk profile: .*write_mb_per_second"), ("- 1", "expected groups")],
)
def test_a_file_that_is_no_profile_is_refused_by_name(tmp_path: Path, content: str | None, told: str) -> None:
    path = tmp_path / "mine.yaml"
    if content:
        path.write_text(content)
    with pytest.raises(InputError, match=rf"mine\.yaml: {told}"):
        disk_profile(str(path))


def test_tags_are_a_list_or_have_commas_between():
    given = ("acme, night", ["acme", "night"])
    assert [RunSettings.model_validate({"tags": tags}).tags for tags in given] == [["acme", "night"]] * 2


def test_a_price_needs_both_figures():
    assert RunSettings(gpu_price_per_hour=3.6).price(1000) == 1.0
    assert RunSettings(gpu_price_per_hour=3.6).price(None) is None
    assert RunSettings().price(1000) is None


def test_the_form_opens_the_engine_and_folds_what_few_people_change():
    form = Settings.model_json_schema()
    groups = {**form["properties"], **form["$defs"]["EngineSettings"]["properties"]}
    engine, own_of_engines = groups.pop("engine"), [groups.pop(name) for name in ("name", "options")]
    assert "anyOf" not in engine
    assert "default" not in engine, "which would open the groups within"
    assert all("anyOf" not in setting for setting in own_of_engines)
    for name, group in groups.items():
        assert [kind.get("type") for kind in group["anyOf"]] == [None, "null"], name
        assert (group["default"], bool(group["description"])) == (None, True), name


def test_a_group_that_stays_folded_has_its_defaults_and_a_setting_does_not():
    folded = {"engine": {"name": "warp", "warp": None, "latentsync": None}, "encode": None, "run": None}
    assert Settings.model_validate(folded) == Settings()
    with pytest.raises(ValidationError, match="crf"):
        Settings.model_validate({"encode": {"crf": None}})
