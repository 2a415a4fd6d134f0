"""Our exceptions, one line each. Their texts say what was seen, what was expected and what to do."""


class MedallionError(Exception):
    """Any error this package raises on purpose; the command line prints its text without a traceback."""


class SettingsError(MedallionError):
    """A setting is missing or cannot be used."""


class ContractError(MedallionError):
    """A file of a domain (contract, mart, workload) holds a mistake; the text names file and field."""


class ExtraMissing(MedallionError):
    """A library that only an extra of this package installs is missing; the text names the extra."""


class ProjectExists(MedallionError):
    """The folder of a new project holds something already; nothing is overwritten."""


class CaptureError(MedallionError):
    """A stream record or a Bronze object name is not what capture writes."""


class StreamGap(MedallionError):
    """A stream lost history before it was read; the table needs a backfill."""


class CheckpointUnusable(MedallionError):
    """The poller's memory cannot be read or written; it must not go on without."""


class CorruptObject(MedallionError):
    """A Bronze object cannot be read; the text names the object."""


class OlderDayPending(MedallionError):
    """Bronze objects of an older capture day wait to be merged; that day comes first."""


class LakeUnavailable(MedallionError):
    """The catalog or the object store did not answer; trying again later is right."""


class LakeDamaged(MedallionError):
    """A file that a table's metadata names is gone or cannot be read; trying again does not help."""


class TableMissing(MedallionError):
    """The lake has no such table yet."""


class SchemaMismatch(MedallionError):
    """A table's schema differs from what is to be written in a way that is not an added nullable column."""


class CommitConflict(MedallionError):
    """Another writer moved the table; plan again on its new state."""


class AuditFailed(MedallionError):
    """A blocking check failed; the published data is as it was."""


class MartError(MedallionError):
    """A mart's SQL cannot be run exactly as written."""


class NotCaughtUp(MedallionError):
    """The local stack runs, and Gold did not contain every change in time."""


class LocalStackError(MedallionError):
    """A process of the local stack did not start or stopped."""
