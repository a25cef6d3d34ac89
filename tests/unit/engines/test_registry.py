import gc
import weakref

import pytest

from latentsync.engines.diffusion.spec import LatentSyncSettings
from latentsync.engines.registry import load_engine
from latentsync.engines.settings import EngineSettings
from tests.unit.engines.diffusion.weights_on_disk import write_tiny_weights

pytestmark = pytest.mark.slow


def engine(weights, **options):
    own = LatentSyncSettings(weights=weights, device="cpu", **options)
    return load_engine(EngineSettings(name="latentsync", latentsync=own))


def test_the_engine_stays_for_the_next_job(tmp_path):
    weights = write_tiny_weights(tmp_path / "a")
    assert engine(weights) is engine(weights)
    assert engine(weights, seed=1).models is engine(weights, seed=2).models


def test_networks_that_nobody_uses_any_more_are_freed(tmp_path):
    first = weakref.ref(engine(write_tiny_weights(tmp_path / "a")).models.unet)
    engine(write_tiny_weights(tmp_path / "b"))
    gc.collect()
    assert first() is None
