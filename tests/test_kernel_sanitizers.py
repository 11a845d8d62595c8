"""The kernels under the address and undefined-behaviour sanitizers, over random cases (tests/fuzz_kernels.py)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FLAGS = "-O1 -g -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -Wall -Wextra -Werror -Wno-error=unknown-pragmas"
CASES = 600

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")]


def runtime(name: str) -> str:
    return subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("seed", [0, 1])
def test_random_cases_without_a_report(seed, tmp_path):
    """Nothing is read or written beyond its bounds, no operation is undefined, no value differs from the plain path's."""
    if not os.path.isabs(runtime("libasan.so")):
        pytest.skip("gcc has no sanitizers here")
    environment = {
        **os.environ,
        "CC": "gcc",
        "CFLAGS": FLAGS,
        "PUSHFORWARD_COMPILE_SECONDS": "600",
        "XDG_CACHE_HOME": str(tmp_path),
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter's own
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "OMP_WAIT_POLICY": "passive",
    }
    command = [sys.executable, "-W", "ignore", str(Path(__file__).parent / "fuzz_kernels.py"), str(CASES), str(seed)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and f"{CASES:,} cases, 0 differences" in done.stdout, done.stdout[-2000:] + done.stderr[:3000]
    assert "ERROR" not in done.stderr and "runtime error" not in done.stderr, done.stderr[:3000]
    assert "without compiled kernels" not in done.stderr, done.stderr
