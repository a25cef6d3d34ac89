import pytest

from flows.cli.bench import _measured
from latentsync.engines.diffusion.spec import QUALITIES, LatentSyncSettings
from latentsync.engines.settings import EngineSettings
from latentsync.errors import InputError


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_quality_is_a_group_of_settings(quality):
    settings = LatentSyncSettings.model_validate({"quality": quality})
    assert settings.model_dump(include=set(QUALITIES[quality])) == QUALITIES[quality]


def test_what_is_set_beside_a_quality_wins():
    settings = LatentSyncSettings(quality="fast", steps=12)
    assert (settings.steps, settings.scheduler, settings.deepcache, settings.guidance_end) == (12, "dpm", 3, 0.6)
    assert LatentSyncSettings.model_validate(settings.model_dump()) == settings


def test_the_bench_measures_every_quality_with_the_settings_beside_it():
    engine = EngineSettings.model_validate({"name": "latentsync-1.6", "latentsync": {"dtype": "bfloat16"}})
    measured = _measured(engine, presets=True)
    assert {quality: each.own.deepcache for quality, each in measured.items()} == {"exact": 0, "balanced": 3, "fast": 3}
    assert {each.own.dtype for each in measured.values()} == {"bfloat16"}


def test_an_engine_without_qualities_says_so():
    with pytest.raises(InputError, match="warp has none"):
        _measured(EngineSettings(), presets=True)
