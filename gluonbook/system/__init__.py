"""The machine under the book: MXNet, files, devices, signals, errors."""
