"""How many tasks may wait for a worker."""

AHEAD_TASKS = 256  # of any runner: each takes 10 KiB until it has ended, and a rack of workers needs no more
AHEAD_OF_A_THREAD = 16  # so many are always there in time
