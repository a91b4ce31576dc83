"""The data set and its batches."""
