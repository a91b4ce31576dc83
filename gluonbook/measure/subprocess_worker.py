"""A subprocess that answers one line at a time, so that several can take turns."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import Any, Mapping


class SubprocessWorker:
    """A Python process with these arguments, which reads questions as lines and answers in JSON."""

    def __init__(self, *arguments: object, env: Mapping[str, str] | None = None) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ask(self, question: str) -> Any:
        """The answer.

        Raises
        ------
        RuntimeError
            If the process ended instead, with the last line it wrote.
        """
        assert self._process.stdin and self._process.stdout
        try:
            print(question, file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            code = self._process.wait()
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            raise RuntimeError(lines[-1] if lines else f"exit code {code}") from error

    def close(self) -> None:
        """Close its input, and wait until it has ended."""
        self._process.communicate()
        self._errors.close()
