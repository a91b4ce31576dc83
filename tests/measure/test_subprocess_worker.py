"""A worker answers line by line; what ended it is told."""

from __future__ import annotations

from gluonbook.measure.subprocess_worker import SubprocessWorker
import pytest

ECHO = "import sys\nfor line in sys.stdin: print(len(line.strip()), flush=True)"


def test_questions_are_answered_in_turn():
    worker = SubprocessWorker("-c", ECHO)
    assert [worker.ask(question) for question in ("a", "bcd", "")] == [1, 3, 0]
    worker.close()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('no such net')", "no such net"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os.abort()", "exit code -6"),
        # More on the error stream than a pipe holds.
        ("import sys; sys.stderr.write('x' * 1_000_000 + '\\nthe end'); sys.exit(1)", "the end"),
    ],
)
def test_a_child_that_ends_says_why(code, reason):
    worker = SubprocessWorker("-c", code)
    with pytest.raises(RuntimeError, match=f"^{reason}$"):
        worker.ask("a")
    worker.close()
