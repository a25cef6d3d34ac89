import pytest

from flows.cli.app import app
from latentsync.errors import InputError
from latentsync.settings import MarkSettings
from tests.synthetic import ffmpeg
from tests.unit.stitching.finished import flip_bit, make_finished
from tests.unit.stitching.signers import make_signer

pytestmark = pytest.mark.slow


def test_each_verdict_has_its_exit_code(tmp_path, silent, capsys):
    signer = make_signer(tmp_path / "signer")
    signed = make_finished(tmp_path, "out.mp4", MarkSettings(certificate=signer.certificate, key=signer.key))
    changed = flip_bit(signed, b"mdat", tmp_path / "changed.mp4")
    marked = make_finished(tmp_path, "out.mkv", MarkSettings(aigc_producer="Studio"))
    for path, code, words in [
        (signed, 0, "Valid: signed by Test signer, Test studio"),
        (changed, 1, "Invalid: changed after it was signed"),
        (marked, 3, 'AIGC tag: {"Label":"1","ContentProducer":"Studio"'),
        (silent, 3, "unmarked"),
    ]:
        with pytest.raises(SystemExit) as ended:
            app(["verify", str(path)])
        assert ended.value.code == code
        assert words in capsys.readouterr().out
    lying = tmp_path / "lying.mkv"
    ffmpeg("-i", silent, "-c", "copy", "-metadata", "AIGC=x\n\x1b[1A\x1b[2Kout.mp4: Valid: signed by Nobody", lying)
    with pytest.raises(SystemExit):
        app(["verify", str(lying)])
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert told.splitlines()[2].startswith("AIGC tag: ")
    assert len(told.splitlines()) == 3
    with pytest.raises(InputError, match=r"none\.mp4: no such file"):
        app(["verify", str(tmp_path / "none.mp4")])
