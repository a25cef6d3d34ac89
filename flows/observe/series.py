"""Figures over time in bounded space: hours of a run take no more than minutes."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Series(Generic[T]):
    """Samples in order; a full list is halved by merging pairs, and filled half as fast."""

    def __init__(self, merge: Callable[[T, T], T], samples_max: int = 1000) -> None:
        self.samples: list[T] = []
        self._merge, self._samples_max = merge, samples_max
        self._stride, self._pending = 1, 0

    def add(self, sample: T) -> None:
        """Append a sample, or merge it with the last one."""
        if self._pending:
            sample = self._merge(self.samples.pop(), sample)
        self.samples.append(sample)
        self._pending = (self._pending + 1) % self._stride
        if len(self.samples) >= self._samples_max and not self._pending:
            last = len(self.samples) - 1
            pairs = ((at, min(at + 1, last)) for at in range(0, last + 1, 2))
            self.samples = [self._merge(self.samples[first], self.samples[second]) for first, second in pairs]
            self._stride *= 2
