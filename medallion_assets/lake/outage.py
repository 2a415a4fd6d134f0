"""Translate the exceptions of five libraries for "catalog or store cannot be reached" into our own errors.

pyiceberg, pyarrow, boto3, SQLAlchemy and DuckDB each have their own; outside this room there are only LakeUnavailable,
LakeDamaged and SettingsError. Belongs here: which exception means which. Does not belong here: what to do then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from pyiceberg.exceptions import CommitStateUnknownException
from sqlalchemy.exc import DatabaseError, OperationalError

from medallion_assets.errors import LakeDamaged, LakeUnavailable, SettingsError
from medallion_assets.lake.damage import missing_file

# A call to the catalog or the store raises one of these when its answer is lost. Its effect is then unknown.
ANSWER_LOST = (OSError, BotoCoreError, ClientError, OperationalError, CommitStateUnknownException)
_UNREACHED = (duckdb.HTTPException, duckdb.IOException)
# And one of these for a file that is gone or garbage, but also for a mistake in a query.
_NOT_READ = (*_UNREACHED, duckdb.InvalidInputException)

_REFUSED = ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "HTTP 403")
_FORBIDDEN = ("Permission denied", "Read-only file system", "readonly database", "Operation not permitted")
_NO_DATABASE = ("file is not a database", "database disk image is malformed")
_FULL = ("No space left on device", "disk is full", "Disk quota exceeded", "File too large")
_NO_BUCKET = ("NoSuchBucket", "NO_SUCH_BUCKET")
_GONE = ("No such file or directory", "No files found", "HTTP 404", "404 (Not Found)", "NoSuchKey", "NO_SUCH_KEY")
_GARBLED = (
    "No magic bytes found",
    "too small to be a Parquet file",
    "Invalid Parquet file",
    "TProtocolException",
    "don't know what type",
    # Its length is not that of the manifest.
    "Content-Length from server mismatches",
    "Could not read enough bytes",
)
_BUSY = ("Throttling", "ThrottlingException", "SlowDown", "RequestLimitExceeded", "TooManyRequestsException")


@contextmanager
def translate_outages() -> Iterator[None]:
    """Translate errors of catalog and store into ours. A context manager that is a decorator, too.

    Raises LakeUnavailable if trying again later can help, SettingsError if credentials, rights or the bucket are wrong,
    LakeDamaged if a file that a table needs is gone or cannot be read. Every other exception passes unchanged.
    """
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as missing:
        raise SettingsError(f"The lake needs AWS credentials: {missing}. Set them or choose a profile.") from missing
    except FileNotFoundError as gone:
        raise missing_file(_first_line(gone)) from gone
    except ClientError as answer:
        status, code = answer.response["ResponseMetadata"]["HTTPStatusCode"], answer.response["Error"]["Code"]
        if status in (401, 403):
            raise SettingsError(
                f"The lake refused our credentials ({answer}). Check the credentials and their rights."
            ) from answer
        if status >= 500 or code in _BUSY:
            raise LakeUnavailable(f"The lake's catalog failed: {answer}. Try again later.") from answer
        raise
    except (*ANSWER_LOST, DatabaseError, duckdb.Error) as failure:
        if (ours := _translated(failure)) is None:
            raise
        raise ours from failure


@contextmanager
def translate_read_outages() -> Iterator[None]:
    """Translate only what DuckDB raises when it reads files; errors of source and catalog pass unchanged."""
    try:
        yield
    except duckdb.Error as failure:
        if (ours := _translated(failure)) is None:
            raise
        raise ours from failure


def _translated(failure: BaseException) -> SettingsError | LakeUnavailable | LakeDamaged | None:
    """Return our error; None for a mistake in a query."""
    text = _first_line(failure)
    may_be_a_mistake = isinstance(failure, duckdb.Error) and not isinstance(failure, _UNREACHED)
    # DuckDB's Parquet reader raises the general class for some garbage.
    if may_be_a_mistake and not isinstance(failure, _NOT_READ) and type(failure) is not duckdb.Error:
        return None
    if any(sign in text for sign in (*_GONE, *_GARBLED)):
        return missing_file(text)
    if isinstance(failure, DatabaseError) and any(sign in text for sign in _NO_DATABASE):
        return LakeDamaged(
            f"The catalog's file, catalog.db in the warehouse, cannot be read ({text}). Restore it from a backup, or "
            'rebuild every table: docs/runbook.md, "A file of the lake is gone".'
        )
    if isinstance(failure, DatabaseError) and not isinstance(failure, OperationalError):
        return None
    return None if may_be_a_mistake else _explained(text)


def _explained(text: str) -> SettingsError | LakeUnavailable:
    if any(sign in text for sign in _NO_BUCKET):
        return SettingsError(
            f"The lake's bucket does not exist ({text}). Create it, or correct the setting of the warehouse."
        )
    if any(sign in text for sign in _REFUSED):
        return SettingsError(f"The lake refused our credentials ({text}). Check the credentials and their rights.")
    if any(sign in text for sign in _FORBIDDEN):
        return SettingsError(
            f"No permission for the lake's files ({text}). Let this user read and write below the warehouse."
        )
    if any(sign in text for sign in _FULL):
        return LakeUnavailable(f"The lake's disk is full ({text}). Free space and try again.")
    return LakeUnavailable(f"The lake's catalog or store did not answer: {text}. Try again later.")


def _first_line(failure: BaseException) -> str:
    """Return an exception's text without the SQL, hints and links that libraries append."""
    return str(failure).strip().splitlines()[0][:400] if str(failure).strip() else type(failure).__name__
