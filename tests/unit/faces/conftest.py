import pytest

from latentsync.media.frames import Frame
from tests.unit.faces.face_scene import LAYOUTS, smooth_frame


@pytest.fixture(params=LAYOUTS.values(), ids=list(LAYOUTS))
def frame(request) -> Frame:
    return smooth_frame(request.param)
