"""A process of its own that a benchmark asks line by line, so that several can take turns."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Mapping


class Child:
    """A Python script that reads a question from each line and prints the answer as JSON."""

    def __init__(self, script: str, *arguments: object, env: Mapping[str, str] | None = None):
        self._process = subprocess.Popen(
            [sys.executable, script, *map(str, arguments)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: str) -> Any:
        """The answer.

        Raises
        ------
        RuntimeError
            If the process ended instead, with the last line it wrote.
        """
        try:
            print(question, file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            code = self._process.wait()
            reason = self._process.stderr.read().strip().splitlines() or [f"exit code {code}"]
            raise RuntimeError(reason[-1]) from error

    def close(self) -> None:
        """End its questions, and wait until it and what it started are done."""
        self._process.communicate()
