"""A process that ends with the one that started it, however that ends: nobody else would wait for it."""

import os
import threading
import time
from typing import Final

from lymphct.core.system import kill_group

_LOOK: Final = 0.3
"""Seconds between two looks at who the parent is."""


def end_with(parent: int) -> None:
    """Kill this process and all it started as soon as its parent is another than it was."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        kill_group(os.getpid())

    threading.Thread(target=watch, name="parent", daemon=True).start()
