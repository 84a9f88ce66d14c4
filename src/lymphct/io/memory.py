"""How much memory this process may still take."""

from contextlib import suppress
from pathlib import Path
from typing import Final

MEMORY_INFO: Final = Path("/proc/meminfo")
CONTROL_GROUP: Final = Path("/sys/fs/cgroup")


def available_memory(info: Path = MEMORY_INFO, group: Path = CONTROL_GROUP) -> int | None:
    """Return free bytes: what the kernel offers without swapping, within the limit of a container.

    Args:
        info: the kernel's table of memory.
        group: the folder of the control group, version 2.

    Returns:
        None where the system does not say.

    """
    known = [found for found in (_offered(info), _left_in_group(group)) if found is not None]
    return min(known) if known else None


def _offered(info: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in info.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _left_in_group(group: Path) -> int | None:
    # "max" instead of a number: no limit.
    with suppress(OSError, ValueError):
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        return max(limit - used, 0)
    return None
