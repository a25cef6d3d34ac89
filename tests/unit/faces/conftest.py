import pytest
from tests.unit.faces.face_scene import LAYOUTS, smooth_frame

from latentsync.frames import Frame


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS.keys())
def frame(request) -> Frame:
    return smooth_frame(request.param)
