"""The fleet's lake, for backfills of tables of the local AWS."""

from medallion_assets_tests.fixtures.fleet_lake import fleet

__all__ = ["fleet"]
