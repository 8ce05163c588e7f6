"""The failures of webhooks in plain words: what each means, and what to do about it. docs/webhooks.md names them."""

from dataclasses import dataclass

from config.outbound import NameNotResolved, UrlRefused


@dataclass(frozen=True)
class Cause:
    """What went wrong, and what helps."""

    text: str
    cure: str


INSIDE = (
    "Addresses inside are refused, so that nobody reaches them through webhooks. If the receiver is yours, name its "
    "host in WEBHOOK_ALLOWED_HOSTS or its address in WEBHOOK_ALLOWED_NETWORKS."
)
UNKNOWN_NAME = "See that the host is spelt right and that this server's DNS knows it."
LISTED = "webhooks.url in langgraph.json says which are."
LATER = "It is tried again by itself; nothing needs to be done if the receiver comes back."

CAUSES = {
    "dns_lookup_failed": Cause("The host has no address.", UNKNOWN_NAME),
    "blocked_address": Cause("This server must not send to that address.", INSIDE),
    "connection_refused": Cause(
        "Nobody listens there.", "See that the receiver runs and that host and port are the right ones."
    ),
    "connection_failed": Cause(
        "The receiver cannot be reached.", "See whether a firewall or a route lies between it and this server."
    ),
    "tls_failed": Cause(
        "The certificate does not fit the host, has expired, or is of nobody we trust.",
        "Renew it, or name the authority that issued it in SSL_CERT_FILE of the workers.",
    ),
    "timed_out": Cause(
        "The receiver took too long: no connection within 5 s, or no answer in time.",
        "Let it answer 2xx at once and do its work afterwards.",
    ),
    "connection_lost": Cause("The connection broke before the answer.", "The receiver or a proxy before it ended it."),
    "redirected": Cause(
        "It answers with a redirect that is not followed.",
        "Change the URL to where it leads. Only 307 and 308 are followed, and never from https to http.",
    ),
    "gone": Cause(
        "It answered 410: it wants to hear no more.", "That switches an endpoint off. Enable it once it is back."
    ),
    "endpoint_disabled": Cause(
        "The endpoint was switched off before its turn.", "Enable the endpoint, then send this again."
    ),
    "not_sent": Cause("It could not be sent.", "The detail of the attempt says more; so does the workers' log."),
}
BY_STATUS = {
    400: Cause("The receiver does not understand the request.", "Its own log, or the answer below, says why."),
    401: Cause(
        "The receiver does not accept who sends this.",
        "See that it verifies with the current secret, over the raw body, and that its clock is right.",
    ),
    404: Cause("The receiver has nothing at this path.", "See that the URL is complete."),
    405: Cause("The receiver takes no POST at this path.", "See that the URL is the one meant for webhooks."),
    413: Cause(
        "The body is too large for the receiver.", "Let it take more, or send less: WEBHOOK_MAX_BODY_BYTES here."
    ),
    429: Cause("The receiver asks us to slow down.", LATER),
}
BY_STATUS[403] = BY_STATUS[401]
BY_STATUS[415] = BY_STATUS[400]
BY_STATUS[422] = BY_STATUS[400]
NAMES = sorted([*CAUSES, "bad_status"])


def cause_of(failure: str, status: int | None = None) -> Cause:
    """What a failure's name means; of `bad_status` what the answer's status does."""
    if failure != "bad_status":
        return CAUSES.get(failure, CAUSES["not_sent"])
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status is not None and status >= 500:
        return Cause(f"The receiver failed: it answered {status}.", f"Look into its log. {LATER}")
    return Cause(
        f"The receiver answered {status or 'something'}, which is not 2xx.", "Let it answer 2xx for what it has taken."
    )


def refusal(refused: UrlRefused) -> str:
    """Why a URL is refused, with the address behind it and what to do: for those who may make endpoints."""
    said = str(refused.detail).removeprefix("Webhook host blocked: ")
    where = f" ({refused.address})" if refused.address else ""
    return f"Refused: {said}{where}. {_cure(refused, said)}".strip()


def _cure(refused: UrlRefused, said: str) -> str:
    if isinstance(refused, NameNotResolved):
        return UNKNOWN_NAME
    if "scheme" in said:
        return "A receiver is reached by https or http."
    if "not allowed" in said:
        return LISTED
    if "https" in said:
        return "webhooks.url.require_https in langgraph.json asks for it."
    inside = ("localhost", "range", "Kubernetes", "metadata")
    return INSIDE if any(word in said for word in inside) else ""
