"""What setup.cfg cannot say: where the folders are that MXNet is installed from."""

from pathlib import Path

from setuptools import Distribution, setup


class WithMXNet(Distribution):
    def parse_config_files(self, *args, **kwargs):
        super().parse_config_files(*args, **kwargs)
        folder = Path(__file__).resolve().parent / "mxnet_wheel"
        self.extras_require["cpu"] = [f"mxnet @ {folder.as_uri()}"]
        # The folder cu112 imports from the one above. pip before 21.3 would copy it alone to build
        # it, but Python 3.11 and later have a newer one. uv ignores #subdirectory of a folder.
        self.extras_require["cu112"] += [
            "mxnet-cu112==1.9.1; python_version<'3.11'",
            f"mxnet-cu112 @ {(folder / 'cu112').as_uri()} ; python_version>='3.11'",
        ]


setup(distclass=WithMXNet)
