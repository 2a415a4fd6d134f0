"""How a command ends: its exit code, and one clear message instead of a traceback.

Belongs here: the exit codes, and the exit code of each exception. Does not belong here: what a command does.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from medallion_assets import errors

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError


class ExitCode(IntEnum):
    """The meaning of each exit code."""

    OK = 0
    FOUND = 1
    """The command ran, and found differences, a failed check, lost history or an account that is not ready."""
    USAGE = 2
    """The command, a setting, a file of the domain or the credentials are wrong and have to be corrected."""
    UNREACHABLE = 3
    """A service or a process did not answer; try again later."""
    INTERRUPTED = 130


_USAGE = (
    errors.SettingsError,
    errors.ContractError,
    errors.MartError,
    errors.TableMissing,
    errors.ProjectExists,
    errors.ExtraMissing,
)
_UNREACHABLE = (errors.LakeUnavailable, errors.LocalStackError, errors.NotCaughtUp)
_WRONG_CREDENTIALS = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_MISSING = {"ResourceNotFoundException", "NoSuchBucket", "EntityNotFoundException", "QueueDoesNotExist"}


def explained(error: Exception) -> tuple[ExitCode, str] | None:
    """Return the exit code and the message for `error`; None for an unknown error, which keeps its traceback."""
    if isinstance(error, errors.MedallionError):
        if isinstance(error, _USAGE):
            return ExitCode.USAGE, str(error)
        return ExitCode.UNREACHABLE if isinstance(error, _UNREACHABLE) else ExitCode.FOUND, str(error)
    if isinstance(error, ValueError) and str(error).startswith("Invalid endpoint"):  # botocore has no class for it
        return ExitCode.USAGE, f"{error}. Expected AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE> as https://host."
    if not type(error).__module__.startswith("botocore."):
        return None
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        return _refused(error)
    return _unreached(error) if isinstance(error, BotoCoreError) else None


def _refused(error: ClientError) -> tuple[ExitCode, str]:
    code = error.response.get("Error", {}).get("Code", "?")
    said = f"AWS refused {error.operation_name}: {code}: {error.response.get('Error', {}).get('Message', '')}"
    said = f"{said.rstrip(' .:')}."
    if code in _WRONG_CREDENTIALS:
        return ExitCode.USAGE, f"{said} Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do."
    if code in _MISSING:
        return ExitCode.USAGE, (
            f"{said} Create it, or check AWS_REGION, AWS_ENDPOINT_URL and the MEDALLION_ variables; "
            "`medallion demo` creates everything locally."
        )
    return ExitCode.UNREACHABLE, f"{said} Try again later."


def _unreached(error: BotoCoreError) -> tuple[ExitCode, str]:
    from botocore.exceptions import (
        ConnectionError,
        HTTPClientError,
        NoCredentialsError,
        NoRegionError,
        PartialCredentialsError,
    )

    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return ExitCode.USAGE, f"{error}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
    if isinstance(error, NoRegionError):
        return ExitCode.USAGE, f"{error} Set AWS_REGION and AWS_DEFAULT_REGION."
    if isinstance(error, ConnectionError | HTTPClientError):
        return ExitCode.UNREACHABLE, (
            f"{error}. Nothing answers there: is the service up, and AWS_ENDPOINT_URL right? "
            "`medallion demo` starts a local one."
        )
    return ExitCode.USAGE, f"{error} Check the AWS_ variables."
