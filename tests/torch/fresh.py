"""Code in a process of its own, whose environment the test decides."""

import json
import os
import subprocess
import sys
from pathlib import Path


def run_python(code: str, path: Path | None = None, **variables: str):
    """Runs code in a fresh process whose only POLYOPS_ variables are the given ones."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("POLYOPS_")}
    env.update(variables)
    if path is not None:
        env["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def output(code: str, **variables: str):
    """What the code prints last, as JSON."""
    done = run_python(code, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
