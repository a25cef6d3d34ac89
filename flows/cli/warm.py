"""`lipsync warm`: have an engine's GPU kernels built, and its weights converted, before anybody waits for them."""

import time
from typing import Annotated

from cyclopts import Parameter

from flows.cli.console import console
from flows.cli.options import with_settings
from latentsync.engines.registry import load_engine
from latentsync.engines.settings import EngineSettings
from latentsync.errors import InputError, TransientError
from latentsync.settings import Settings


@with_settings("engine")
def warm(
    *,
    random_weights: Annotated[bool, Parameter(negative="", help="No weight files: kernels need none")] = False,
    settings: Settings,
) -> None:
    """Load the engine and make one window, which builds and keeps what the first one needs.

    Published weights are first converted to the number format of the GPU, into a hidden folder beside them.
    """
    began, engine, random = time.perf_counter(), settings.engine, settings.engine.spec.load_random
    if not random_weights:
        _prepare(engine)
    loaded = random(engine.own, 0) if random_weights and random else load_engine(engine)
    loaded.preload()
    console.print(f"{engine.name} is warm after {time.perf_counter() - began:.1f} s", highlight=False)
    if engine.spec.uses_gpu(engine.own):
        from latentsync.engines.diffusion.fused import kernel_cache

        console.print(f"its kernels are in {kernel_cache()}: copy that folder to machines with the same GPU")


def _prepare(engine: EngineSettings) -> None:
    try:
        if made := engine.spec.prepare(engine.own):
            console.print(
                f"{made} was written, once: from now on the weights load from it", highlight=False, soft_wrap=True
            )
    except (InputError, TransientError) as error:
        console.print(f"the weights load as they are: {error}", highlight=False, soft_wrap=True)
