"""The exceptions of this package, one line each. A message says what was seen, what was expected and what to do."""


class MedallionError(Exception):
    """Any error this package raises on purpose; the command line prints its text without a traceback."""


class SettingsError(MedallionError):
    """A setting is missing or cannot be used."""


class ContractError(MedallionError):
    """A file of a domain (contract, mart, workload) has a mistake; the message names file and field."""


class ExtraMissing(MedallionError):
    """A library that only an extra of this package installs is missing; the message names the extra."""


class ProjectExists(MedallionError):
    """The folder of a new project is not empty; nothing was written."""


class CaptureError(MedallionError):
    """A stream record or a Bronze object name is not what capture writes."""


class StreamGap(MedallionError):
    """A stream lost history before it was read; the table needs a backfill."""


class CheckpointUnusable(MedallionError):
    """The poller's checkpoint cannot be read or written; the poller must not continue without it."""


class CorruptObject(MedallionError):
    """A Bronze object cannot be read; the message names the object."""


class OlderDayPending(MedallionError):
    """Bronze objects of an older capture day are pending; that day has to be merged first."""


class LakeUnavailable(MedallionError):
    """A service, such as the catalog, the object store or an engine, did not answer; try again later."""


class LakeDamaged(MedallionError):
    """A file that a table's metadata names is gone or cannot be read; trying again does not help."""


class TableMissing(MedallionError):
    """The lake has no such table yet."""


class SchemaMismatch(MedallionError):
    """A table's schema differs from what is to be written in a way that is not an added nullable column."""


class CommitConflict(MedallionError):
    """Another writer committed to the table first; plan again on its new state."""


class AuditFailed(MedallionError):
    """A blocking check failed; the published data did not change."""


class MartError(MedallionError):
    """A mart's SQL cannot be run exactly as it is written."""


class QueryFailed(MedallionError):
    """An engine gave up a query: cancelled, out of time, too large. Trying again as it is does not help."""


class NotCaughtUp(MedallionError):
    """The lake did not contain every change in time; the pipeline does not run, or is behind."""


class LocalStackError(MedallionError):
    """A process of the local stack did not start or stopped."""
