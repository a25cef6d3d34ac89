"""The command `lipsync`. A command is imported when it is used."""

import gc
import importlib.metadata
import sys

from cyclopts import App

from flows.cli.console import show_warnings
from flows.cli.ending import run_to_the_end
from flows.cli.running import quiet_prefect
from tasks.arenas import bound_malloc

app = App(
    name="lipsync",
    help="Re-time the lips of a video to a new voice, segment by segment, in constant memory.",
    version=lambda: importlib.metadata.version("lipsync-pipeline"),
    help_format="plaintext",
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)

COMMANDS = {
    "sync": "Lip-sync VIDEO to AUDIO. Exit code 0: done, 2: bad input, 1: failed.",
    "plan": "Say what a job will take and whether it can succeed, before it is made. Exit code 2: it cannot.",
    "serve": "Show the reports in a folder to a browser: on this machine only, unless --host says otherwise.",
    "rerun": "Run a flow run again: only what failed, was lost or is named by --segments is redone.",
    "report": "Sum up what runs took by tag, from the reports that lie beside their outputs.",
    "probe": "Say what a file is and whether it can be used.",
    "verify": "Say what a file tells of its origin. Exit code 0: signed, 1: changed since, 3: not signed.",
    "doctor": "Check this machine: one line per thing, with a verdict and what to do. Exit code 1 if anything fails.",
    "bench": "Measure how fast this machine makes faces: frames/s, ms by part, TFLOP/s, GPU memory.",
    "warm": "Build the engine's GPU kernels into the user's cache, so that the first window need not wait for them.",
    "worker": "Work for a Dask cluster: start one per GPU, and one per machine for its CPUs. Models stay loaded.\n\n"
    "One worker with --gpu 0 --cpus 4 is a whole cluster.",
    "pool-worker": "Take runs from a Prefect work pool; told to stop, give them back, so that another worker goes on.",
    "weights": "Look at, convert and download model weights.",
}
for place, (name, text) in enumerate(COMMANDS.items()):
    function = name.replace("-", "_")
    app.command(f"flows.cli.{function}:{function}", name=name, help=text, sort_key=place)
app.register_install_completion_command(help="Complete lipsync's commands and options in this shell.")


def main() -> None:
    """Run the command and exit with its code."""
    quiet_prefect()
    show_warnings()
    bound_malloc()
    code = run_to_the_end(app)
    gc.freeze()  # else leaving searches all that was imported for garbage: 0.7 s
    sys.exit(code)


if __name__ == "__main__":
    main()
