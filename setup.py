"""The settings are in `setup.cfg`. This adds the tests, examples and documents to the source distribution."""

from setuptools import setup
from setuptools.command.sdist import sdist


class SourceDistribution(sdist):
    """The source distribution is what the project's folder holds, so that it can be tested, too."""

    def make_distribution(self):
        self.filelist.extend(["CHANGELOG.md", ".ci/run", ".gitignore", ".ruff.toml"])
        for folder in ("examples", "kucoin_sync", "tests"):
            self.filelist.graft(folder)
        self.filelist.global_exclude("*.py[co]")
        super().make_distribution()


setup(cmdclass={"sdist": SourceDistribution})
