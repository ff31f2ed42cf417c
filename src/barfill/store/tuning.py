"""What the private PostgreSQL is told once, when its data directory is made; the file is the user's from then on."""

from __future__ import annotations

from pathlib import Path

import psutil

_MB = 1024 * 1024
_BUFFERS_MB_MIN = 128
_BUFFERS_MB_MAX = 2048
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def tuning(memory_bytes: int | None = None) -> str:
    """The text of `barfill.conf` for a machine with that much memory; None measures this one."""
    memory_mb = (memory_bytes or available_memory_bytes()) // _MB
    buffers_mb = min(_BUFFERS_MB_MAX, max(_BUFFERS_MB_MIN, memory_mb // 4))
    return f"""\
# Written once by barfill when this data directory was made. Change what you like and restart.
shared_buffers = {buffers_mb}MB
effective_cache_size = {max(_BUFFERS_MB_MIN, memory_mb // 2)}MB
maintenance_work_mem = {min(256, max(64, memory_mb // 32))}MB
work_mem = 16MB
max_connections = 100

# Long fills write much: few checkpoints, and small page images.
max_wal_size = 4GB
min_wal_size = 128MB
checkpoint_timeout = 15min
wal_compression = on
synchronous_commit = on

random_page_cost = 1.1
jit = off

timezone = 'UTC'
log_timezone = 'UTC'

# One file per day of the week, each begun anew after a week.
logging_collector = on
log_directory = '../log'
log_filename = 'postgresql-%a.log'
log_truncate_on_rotation = on
log_rotation_age = 1d
log_rotation_size = 0
log_checkpoints = off
"""


def available_memory_bytes() -> int:
    """The machine's memory, or what the container is allowed of it."""
    limits = [psutil.virtual_memory().total]
    for path in _CGROUP_LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):
            continue
    return min(limits)
