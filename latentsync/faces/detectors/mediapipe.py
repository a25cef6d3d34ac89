"""Mediapipe's face mesh, one tracker per face, each looking at its own part of the picture.

The mesh's own face finder misses faces below an eighth of the picture, and jitters when it is asked
for several at once. So a finder for small faces runs now and then, and each face it finds gets a view:
a part of the picture that stays where it is while the face stays in it, and a mesh tracker of one face.
"""

import weakref
from contextlib import ExitStack
from typing import Any

import numpy as np

from latentsync.faces.detectors.mediapipe_graphs import FINDERS, MESHES, NOTHING, Graphs
from latentsync.faces.face import LIMITS, DetectorSpec, Face
from latentsync.faces.points import LEFT_BROW, LIPS_INNER, LIPS_OUTER, MOUTH_POINTS, NOSE, RIGHT_BROW

FIND_INTERVAL_FRAMES = 8  # how soon a face that comes into the picture is noticed
VIEW_SIDES = 3.0  # side of a view, in sides of the face: the tracker looks at 1.5 of them
VIEW_MARGIN = 0.2  # of the face, that must remain around it in its view
SETTLING_LOOKS = 4  # the first is 4 px off at 1080x1920, the fourth 0.2
MIN_NOSE_INSET = 0.08  # of the way from ear to ear, as seen; nearer to the side half of the mouth is guessed
LEFT_EAR, NOSE_TIP, RIGHT_EAR = 234, 4, 454
LIPS = len(LIPS_OUTER + LIPS_INNER)  # the first of MOUTH_POINTS
MESH_POINTS = 468  # before the irises


class MediapipeDetector:
    """FaceDetector on mediapipe 0.10.14 (CPU). Not to be shared between threads."""

    def __init__(self) -> None:
        self._in_use: list[tuple[Graphs, Any]] = []
        weakref.finalize(self, _give_back, self._in_use)
        self._finder = self._take(FINDERS)
        self._views: list[_View] = []
        self._spare: list[Any] = []  # idle mesh trackers: making one takes 70 ms
        self._until_find = 0

    def forget(self) -> None:
        """Drop all that is tracked."""
        self._spare += [view.mesh for view in self._views]
        self._views, self._until_find = [], 0

    def detect(self, rgb: np.ndarray) -> list[Face]:
        """Faces in (H, W, 3) uint8 whose landmarks can be trusted; see FaceDetector."""
        rgb = np.ascontiguousarray(rgb)
        found = [(view, view.look(rgb)) for view in self._views]
        seen = _without_doubles([(view, mesh) for view, mesh in found if mesh is not None])
        if self._until_find == 0 or len(seen) < len(found) or not seen:
            seen += self._new_faces(rgb, seen)
            self._until_find = FIND_INTERVAL_FRAMES
        self._until_find -= 1
        kept = [view for view, _ in seen]
        self._spare += [view.mesh for view in self._views if view not in kept]
        self._views = kept
        return [_as_face(mesh, view.score, rgb.shape) for view, mesh in seen]

    def _new_faces(self, rgb: np.ndarray, seen: list) -> list:
        height, width = rgb.shape[:2]
        fresh = []
        for detection in self._finder.process(rgb).detections or []:
            box = detection.location_data.relative_bounding_box
            side = max(box.width * width, box.height * height)
            centre = np.array([(box.xmin + box.width / 2) * width, (box.ymin + box.height / 2) * height])
            known = any(_covers(mesh, centre) for _, mesh in seen + fresh)
            if known or len(seen) + len(fresh) == LIMITS.per_frame:
                continue
            view = _View(self._idle_mesh(), float(detection.score[0]))
            mesh = view.open(rgb, centre, side)
            if mesh is None or not _covers(mesh, centre):
                self._spare.append(view.mesh)
            else:
                fresh.append((view, mesh))
        return fresh

    def _idle_mesh(self) -> Any:
        if not self._spare:
            self._spare.append(self._take(MESHES))
        return self._spare.pop()

    def _take(self, graphs: Graphs) -> Any:
        graph = graphs.take()
        self._in_use.append((graphs, graph))
        return graph


class _View:
    """A part of the picture with one tracked face in it."""

    def __init__(self, mesh: Any, score: float) -> None:
        self.mesh = mesh
        self.score = score
        self.box = (0, 0, 0, 0)

    def open(self, rgb: np.ndarray, centre: np.ndarray, side: float) -> np.ndarray | None:
        """Look at a new place, from scratch, until the landmarks are as steady as a tracker's."""
        self.mesh.process(NOTHING)  # forgets the old place; a reset would take twice as long
        low = np.clip(np.rint(centre - side * VIEW_SIDES / 2).astype(int), 0, None)
        high = np.rint(centre + side * VIEW_SIDES / 2).astype(int)
        self.box = (low[0], low[1], min(high[0], rgb.shape[1]), min(high[1], rgb.shape[0]))
        looks = [self._process(rgb) for _ in range(SETTLING_LOOKS)]
        return looks[-1]

    def look(self, rgb: np.ndarray) -> np.ndarray | None:
        """The face's mesh (468, 3) in pixels of ``rgb``, or None when it is lost; follows the face."""
        mesh = self._process(rgb)
        if mesh is None or self._holds(mesh, rgb.shape):
            return mesh
        low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
        return self.open(rgb, (low + high) / 2, float((high - low).max()))

    def _process(self, rgb: np.ndarray) -> np.ndarray | None:
        left, top, right, bottom = self.box
        part = np.ascontiguousarray(rgb[top:bottom, left:right])
        faces = self.mesh.process(part).multi_face_landmarks
        if not faces:
            return None
        unit = np.array([(point.x, point.y, point.z) for point in faces[0].landmark[:MESH_POINTS]])
        width = right - left  # z has the scale of x
        return unit * (width, bottom - top, width) + (left - 0.5, top - 0.5, 0)

    def _holds(self, mesh: np.ndarray, shape: tuple[int, ...]) -> bool:
        left, top, right, bottom = self.box
        low, high = mesh[:, :2].min(axis=0), mesh[:, :2].max(axis=0)
        margin = VIEW_MARGIN * (high - low)
        inside_low = (low - margin >= (left, top)) | (np.array([left, top]) == 0)
        inside_high = (high + margin <= (right, bottom)) | (np.array([right, bottom]) == shape[1::-1])
        return bool(inside_low.all() and inside_high.all())


def _give_back(in_use: list[tuple[Graphs, Any]]) -> None:
    with ExitStack() as all_of_them:  # also when one fails
        for graphs, graph in in_use:
            all_of_them.callback(graphs.give_back, graph)


def _covers(mesh: np.ndarray, point: np.ndarray) -> bool:
    return bool((mesh[:, :2].min(axis=0) <= point).all() and (point <= mesh[:, :2].max(axis=0)).all())


def _without_doubles(seen: list) -> list:
    """Two views that ended up on the same face: keep the older one."""
    kept = []
    for view, mesh in seen:
        if not any(_covers(other, mesh[:, :2].mean(axis=0)) for _, other in kept):
            kept.append((view, mesh))
    return kept


def _as_face(mesh: np.ndarray, score: float, shape: tuple[int, ...]) -> Face:
    """The face of a mesh; a profile, or lips beyond the picture's edge, are its defect."""
    flat = mesh[:, :2].astype(np.float32)
    points = np.stack([flat[list(group)].mean(axis=0) for group in (LEFT_BROW, RIGHT_BROW, NOSE)])
    mouth = flat[list(MOUTH_POINTS)]
    across = flat[RIGHT_EAR] - flat[LEFT_EAR]
    nose = (flat[NOSE_TIP] - flat[LEFT_EAR]) @ across / (across @ across)
    lips, edge = mouth[:LIPS], np.array(shape[1::-1]) - 1
    box = np.concatenate([flat.min(axis=0), flat.max(axis=0)])
    if (lips < 0).any() or (lips > edge).any():
        return Face(box, score, points, mouth, defect="cut off")
    turned = min(nose, 1 - nose) < MIN_NOSE_INSET
    return Face(box, score, points, mouth, defect="in profile" if turned else None)


MEDIAPIPE = DetectorSpec(
    name="mediapipe",
    load=MediapipeDetector,
    long_side_px=960,  # enough for the face mesh, which looks at 192 px of face
    libraries=("mediapipe", "opencv-contrib-python", "numpy"),
)
