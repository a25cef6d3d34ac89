"""What the pipeline has to know about an engine."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Generic, TypeVar

from latentsync.engines.protocol import Engine
from latentsync.faces.alignment import LATENTSYNC_ALIGNMENT, Alignment
from latentsync.group import Group

Own = TypeVar("Own", bound=Group)


@dataclass(frozen=True)
class EngineSpec(Generic[Own]):
    """An engine and its own settings; making a spec loads nothing.

    The keys of finished work hold every setting but those of ``where_or_how_fast``; a setting that is a path
    counts by the content of what it names.
    """

    name: str
    settings: type[Own]
    resolution_px: Callable[[Own], int]  # side of the aligned faces; WeightsError when the weights do not tell
    rows_heard: Callable[[int, Fraction], range]  # rows of the voice features that output frame n at fps hears
    load: Callable[[Own, int], Engine]  # on the GPU of this index, if it uses one
    load_random: Callable[[Own, int], Engine] | None = None  # without files, for measurements; None: ``load``
    check: Callable[[Own], None] = lambda own: None  # WeightsError when files are not whole
    prepare: Callable[[Own], Path | None] = lambda own: None  # makes a file once that later loads are quicker with
    fetch: Callable[[Path], None] | None = None  # downloads its weights into a folder; None: it has none to fetch
    uses_gpu: Callable[[Own], bool] = lambda own: False  # while it generates
    # Each face depends on its own frame alone and takes less than decoding that frame again: made while rendering, on
    # the CPU, and never kept.
    direct: bool = False
    alignment: Alignment = LATENTSYNC_ALIGNMENT  # where its networks expect brows and nose
    sees_whole_clip: bool = False  # its faces depend on more of the clip's mouths than those of their window
    version: int = 1  # of its code: one more whenever equal settings make other faces than before
    libraries: tuple[str, ...] = ()  # distributions whose versions may change the faces
    where_or_how_fast: frozenset[str] = frozenset()  # settings that change no face
    after_voice: frozenset[str] = frozenset()  # settings that change faces, but not the voice features


AnySpec = EngineSpec[Any]
