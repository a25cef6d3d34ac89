"""The engine in docs/adding-an-engine.md is one."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np

from latentsync.engines.protocol import FaceWindow
from latentsync.engines.registry import load_engine, resolution_px, voice_rows
from latentsync.engines.settings import ENGINES, EngineSettings
from tests.unit.engines.signals import speech_like, write_wav

PAGE = Path(__file__).parents[3] / "docs" / "adding-an-engine.md"


def test_it_loads_hears_and_makes_faces(tmp_path, monkeypatch):
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    page: dict[str, object] = {"__name__": "page"}
    exec(code, page)
    monkeypatch.setattr(ENGINES, "_specs", dict(ENGINES._specs))
    ENGINES.register(page["GLOW"])  # type: ignore[arg-type]
    settings = EngineSettings(name="glow", options={"gain": 4})

    engine, fps, voice = load_engine(settings), Fraction(25), tmp_path / "voice.npy"
    engine.extract_voice(write_wav(tmp_path / "voice.wav", speech_like(2)), fps, 48, voice)
    window = FaceWindow(16, np.full((16, *2 * [resolution_px(settings)], 3), 100, np.uint8), np.zeros((16, 0, 2)))
    (faces,) = engine.session(voice, fps, None).generate([window])  # type: ignore[arg-type]
    assert faces.shape == window.faces.shape
    assert len(np.unique(faces[:, 0, 0, 0])) > 8
    assert voice_rows(settings, voice, fps, np.array([[16, 32]])) == np.load(voice)[16:32].tobytes()
