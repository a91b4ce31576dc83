"""The loop and what it keeps of a run."""
