"""What S3 and its client say, in our words: what, where, and the next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from botocore import exceptions as aws
from urllib3.exceptions import HTTPError

from batch.errors import BatchError, DoesNotFit, NotPermitted, StoreDown
from batch.store.base import Changed, Missing

_CONDITION_FAILED = 412
_TRANSIENT_STATUS = {429, 500, 502, 503, 504}
_TRANSIENT_CODES = {"RequestTimeout", "SlowDown", "ConditionalRequestConflict", "OperationAborted",
                    "ConcurrentModification", "BadDigest", "XAmzContentChecksumMismatch",
                    "IncompleteBody"}  # fmt: skip
#: What a request may raise; the last two escape from botocore while a body is read.
RAISED = (aws.ClientError, aws.BotoCoreError, HTTPError, OSError)
#: Nothing was sent: no server was reached.
_UNSENT = (aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.ProxyConnectionError)
_TRANSPORT = (aws.HTTPClientError, aws.ResponseStreamingError, aws.IncompleteReadError,
              aws.FlexibleChecksumError, HTTPError, ConnectionError, TimeoutError)  # fmt: skip
_NO_CREDENTIALS = (aws.NoCredentialsError, aws.PartialCredentialsError,
                   aws.CredentialRetrievalError, aws.ProfileNotFound)  # fmt: skip
_LOG_IN = (
    "log in again (aws sso login), or run on EC2 with an instance profile, which renews itself"
)


@dataclass(frozen=True)
class Asked:
    """What was asked of S3: the IAM action, the bucket, and the URL of the object."""

    action: str
    bucket: str
    url: str


class _Refusal(NamedTuple):
    """What a code of S3, or else a status, means to an operator."""

    codes: set[str]
    status: int
    kind: type[BatchError]
    message: str
    hint: str


#: The first that fits; a status of 0 is none.
_REFUSALS = (
    _Refusal(
        {"PermanentRedirect", "AuthorizationHeaderMalformed", "TemporaryRedirect",
         "IllegalLocationConstraintException", "301", "307"}, 301, StoreDown,
        "the bucket {bucket} is in another region: {region}", "set AWS_REGION={region}",
    ),
    _Refusal(
        {"NoSuchBucket"}, 0, StoreDown, "there is no bucket {bucket}",
        "create the bucket, or correct the URL in the job file",
    ),
    _Refusal({"NoSuchUpload"}, 0, StoreDown, "the upload is gone", "run again"),
    _Refusal({"NoSuchKey"}, 404, Missing, "does not exist", ""),
    _Refusal(
        {"PreconditionFailed"}, _CONDITION_FAILED, Changed,
        "is no longer the object that was listed or read", "",
    ),
    _Refusal(
        {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}, 0,
        NotPermitted, "the AWS session token has expired", _LOG_IN,
    ),
    _Refusal(
        {"RequestTimeTooSkewed"}, 0, NotPermitted,
        "this machine's clock is more than 15 minutes off",
        "set the clock (chronyc makestep), and run again",
    ),
    _Refusal(
        {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity"}, 0,
        NotPermitted, "the AWS credentials are not accepted: {said}",
        "check AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    _Refusal(
        {"AccessDenied"}, 403, NotPermitted, "{action} is denied: {said}",
        "allow it; the iam-policy command prints the policy that a job needs",
    ),
    _Refusal(
        {"NotImplemented"}, 501, StoreDown, "this server does not know conditional writes: {said}",
        "use S3, or a server that answers If-None-Match and If-Match on PutObject",
    ),
)  # fmt: skip


def is_transient(error: Exception) -> bool:
    """Whether the same request may be answered when it is sent again."""
    if isinstance(error, aws.ClientError):
        return status_of(error) in _TRANSIENT_STATUS or code_of(error) in _TRANSIENT_CODES
    return isinstance(error, _TRANSPORT)


def may_have_arrived(error: Exception) -> bool:
    """Whether the server may have done what was asked, now or at an earlier try."""
    if isinstance(error, aws.ClientError):
        # An upload is gone when it was completed, which only we can have done, or dropped.
        return status_of(error) in _TRANSIENT_STATUS or code_of(error) == "NoSuchUpload"
    return isinstance(error, _TRANSPORT) and not isinstance(error, _UNSENT)


def whole(answer: dict[str, Any], *fields: str) -> dict[str, Any]:
    """The answer, if it has these fields. Raises `ConnectionError` for one that was cut off.

    Python's http.client takes a head that ends early for a whole one, and then a listing or an
    object looks empty.
    """
    missing = [field for field in fields if field not in answer]
    if missing:
        raise ConnectionError(f"the answer was cut off before {missing[0]}")
    return answer


def names_nothing(error: Exception) -> bool:
    """Whether something is absent and it is not said what: the answer to HEAD has no body."""
    return isinstance(error, aws.ClientError) and code_of(error) == "404"


def condition_failed(error: Exception) -> bool:
    """Whether the server looked at the condition, and it did not hold."""
    return isinstance(error, aws.ClientError) and (
        status_of(error) == _CONDITION_FAILED or code_of(error) == "NoSuchKey"
    )


def code_of(error: aws.ClientError) -> str:
    """The code that S3 gave, such as NoSuchKey; the status where it gave none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: aws.ClientError) -> int:
    """The HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def translated(error: Exception, asked: Asked) -> BatchError:
    """The error to raise for what botocore raised; a bug is raised as it is."""
    if isinstance(error, aws.ClientError):
        return _refused(error, asked)
    if isinstance(error, _NO_CREDENTIALS):
        return NotPermitted(
            f"{asked.url}: no AWS credentials: {_sentence(error)}",
            "set AWS_PROFILE, or give the EC2 machine an instance profile; cron does not read "
            "your shell's profile",
        )
    if isinstance(error, aws.SSOError | aws.TokenRetrievalError | aws.UnauthorizedSSOTokenError):
        return NotPermitted(f"{asked.url}: {_sentence(error)}", _LOG_IN)
    if isinstance(error, aws.NoRegionError):
        return DoesNotFit(f"{asked.url}: no AWS region is set", "set AWS_REGION")
    if isinstance(error, _UNSENT):
        return StoreDown(
            f"{asked.url}: no answer: {_sentence(error)}",
            "check the network and AWS_ENDPOINT_URL_S3, and run again",
        )
    if isinstance(error, _TRANSPORT):
        return StoreDown(f"{asked.url}: no answer: {_sentence(error)}", "run again")
    if isinstance(error, aws.ParamValidationError):
        return DoesNotFit(f"{asked.url}: {_sentence(error)}", "correct the URL in the job file")
    if isinstance(error, aws.BotoCoreError):
        return StoreDown(f"{asked.url}: {_sentence(error)}", "check the AWS settings of this user")
    raise error


def _refused(error: aws.ClientError, asked: Asked) -> BatchError:
    code, status = code_of(error), status_of(error)
    for refusal in _REFUSALS:
        if code in refusal.codes or status == refusal.status:
            break
    else:
        refusal = _Refusal(
            set(), 0, StoreDown, f"{asked.action}: {code} ({status}): {{said}}", "run again"
        )
    values = {
        "action": asked.action,
        "bucket": asked.bucket,
        "region": _region(error.response) or "(the bucket's)",
        "said": error.response.get("Error", {}).get("Message") or code,
    }
    message = f"{asked.url}: {refusal.message.format_map(values)}"
    return refusal.kind(message, refusal.hint.format_map(values))


def _region(response: dict[str, Any]) -> str:
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(response.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region") or "")


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
