"""The small lake that these tests look at."""

from medallion_assets_tests.fixtures.fleet_lake import fleet

__all__ = ["fleet"]
