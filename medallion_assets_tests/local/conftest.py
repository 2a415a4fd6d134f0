"""The small lake that these tests read."""

from medallion_assets_tests.fixtures.fleet_lake import fleet

__all__ = ["fleet"]
