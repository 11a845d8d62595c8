"""The kernels as processors with narrower registers would have them, over random cases (tests/fuzz_kernels.py)."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pushforward import kernels

CASES = 300
WITHOUT_512 = "-mno-avx512f"
PLAIN = "-mno-avx -mno-fma"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("compiled" not in kernels.path(), reason=kernels.path()),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the options are those of x86"),
]


@pytest.mark.parametrize("flags", [WITHOUT_512, PLAIN])
def test_random_cases_agree(flags, tmp_path):
    environment = {**os.environ, "CFLAGS": flags, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", str(Path(__file__).parent / "fuzz_kernels.py"), str(CASES), "0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and f"{CASES:,} cases, 0 differences" in done.stdout, done.stdout[-2000:] + done.stderr[:3000]
    assert "compiling the kernels" in done.stderr and "without compiled kernels" not in done.stderr, done.stderr
