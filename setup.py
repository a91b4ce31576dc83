"""What setup.cfg cannot say: the folder that MXNet is installed from, which is beside this file."""

from pathlib import Path

from setuptools import Distribution, setup


class WithMXNet(Distribution):
    def parse_config_files(self, *args, **kwargs):
        super().parse_config_files(*args, **kwargs)
        folder = Path(__file__).resolve().parent / "mxnet_wheel"
        self.extras_require["cpu"] = [f"mxnet @ {folder.as_uri()}"]


setup(distclass=WithMXNet)
