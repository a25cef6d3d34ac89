import json
from pathlib import Path

import c2pa
import pytest

from latentsync.errors import InputError
from latentsync.settings import MarkSettings
from latentsync.stitching.mark import DIGITAL_SOURCE_TYPE
from latentsync.stitching.sign import check_signing
from latentsync.stitching.verify import Credentials, verify
from tests.synthetic import ffmpeg
from tests.unit.stitching.finished import flip_bit, make_finished
from tests.unit.stitching.signers import Signer, make_signer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return make_signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Path:
    mark = MarkSettings(certificate=signer.certificate, key=signer.key)
    return make_finished(tmp_path_factory.mktemp("signed"), "signed.mp4", mark)


def test_a_signed_file_is_valid_and_says_by_whom(signed):
    found = verify(signed)
    assert found.credentials == Credentials(state="Valid", signer="Test signer, Test studio", signed_at=None)
    assert found.metadata.altered


@pytest.mark.parametrize("box", [b"mdat", b"moov", b"uuid\xbe\x7a"], ids=["pictures", "index", "xmp"])
def test_one_flipped_bit_is_invalid(signed, tmp_path, box):
    changed = flip_bit(signed, box, tmp_path / "changed.mp4")
    found = verify(changed).credentials
    assert found
    assert found.state == "Invalid"
    assert found.problems == ("assertion.bmffHash.mismatch",)


def test_a_copy_loses_the_signature_and_keeps_the_mark(signed, tmp_path):
    copy = tmp_path / "copy.mp4"
    ffmpeg("-i", signed, "-c", "copy", copy)
    found = verify(copy)
    assert found.credentials is None
    assert found.metadata.altered


def test_matroska_has_no_signature_but_a_mark(tmp_path):
    found = verify(make_finished(tmp_path, "out.mkv", MarkSettings()))
    assert found.credentials is None
    assert found.metadata.altered


@pytest.mark.parametrize("source", ["source.mp4", "source.mkv"])
def test_the_manifest_names_source_actions_and_settings(tmp_path, signer, source):
    mark = MarkSettings(certificate=signer.certificate, key=signer.key)
    out = make_finished(tmp_path, "out.mov", mark, source)
    with c2pa.Reader(str(out)) as reader:
        manifest = reader.get_active_manifest()
    assert manifest
    (parent,) = manifest["ingredients"]
    assert (parent["relationship"], parent["title"]) == ("parentOf", source)
    said = {assertion["label"]: assertion["data"] for assertion in manifest["assertions"]}
    actions = said["c2pa.actions.v2"]["actions"]
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.dubbed", "c2pa.edited"]
    assert actions[-1]["digitalSourceType"] == DIGITAL_SOURCE_TYPE
    job = said["lipsync-pipeline.job"]
    assert (job["frames"], job["fps"], job["segments"], job["engine"]["name"]) == (50, "25", 2, "warp")
    assert str(tmp_path) not in json.dumps(manifest)  # nothing of the machine that made it


def test_what_cannot_sign_is_refused_with_its_reason(tmp_path, signer):
    good = MarkSettings(certificate=signer.certificate, key=signer.key)
    check_signing(good, ".mp4")
    check_signing(MarkSettings(), ".mkv")
    expired = make_signer(tmp_path / "expired", days=-1)
    other = make_signer(tmp_path / "other")
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    for change, suffix, complaint in [
        ({"certificate": None, "key": None, "required": True}, ".mp4", "mark.required is set"),
        ({"key": None}, ".mp4", "without mark.key"),
        ({"certificate": None}, ".mp4", "without mark.certificate"),
        ({"key": tmp_path / "none.pem"}, ".mp4", "no such file"),
        ({}, ".mkv", "cannot carry a C2PA manifest"),
        ({"certificate": junk}, ".mp4", "cannot sign"),
        ({"certificate": expired.certificate, "key": expired.key}, ".mp4", "cannot sign"),
        ({"key": other.key}, ".mp4", "cannot sign"),
    ]:
        with pytest.raises(InputError, match=complaint):
            check_signing(good.model_copy(update=change), suffix)
