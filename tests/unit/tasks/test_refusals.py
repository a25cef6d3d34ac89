import pytest

from latentsync.errors import InputError
from latentsync.settings import MarkSettings, Settings
from tasks.refusals import refuse_bad_request


def test_a_required_signature_without_a_key_is_refused_before_any_work(tmp_path):
    settings = Settings(mark=MarkSettings(required=True))
    with pytest.raises(InputError, match=r"mark\.required is set: give mark\.certificate and mark\.key"):
        refuse_bad_request("video.mp4", "voice.wav", str(tmp_path / "out.mp4"), settings)
