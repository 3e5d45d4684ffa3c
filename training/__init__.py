"""How the models that come with datamanager are made: `python -m training.NAME` for one; training/README.md says what each reached."""

import os

__all__: list[str] = []

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # sums of one thread come out the same each time; read when NumPy loads
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as in the server
