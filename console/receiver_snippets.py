"""What whoever writes a receiver copies: the request again for curl, and code that verifies its signature. Pure."""

from collections.abc import Mapping

from webhooks.masking import MASK

LARGEST = 20_000  # characters of a body that stand in the command itself
FILE = "body.json"
RECOMPUTED = frozenset({"host", "accept", "accept-encoding", "connection", "content-length", "user-agent"})

VERIFYING = {
    "Python": """\
# pip install standardwebhooks
import os

from standardwebhooks import Webhook, WebhookVerificationError

hook = Webhook(os.environ["WEBHOOK_SECRET"])  # whsec_...


def receive(raw_body: bytes, headers: dict[str, str]) -> int:
    \"\"\"The status to answer. `raw_body` as it came: parsed and written again, it would not fit the signature.\"\"\"
    try:
        event = hook.verify(raw_body, headers)
    except WebhookVerificationError:
        return 401
    # Seen this one before? An event may come twice, under the same webhook-id.
    print(headers["webhook-id"], event)
    return 204
""",
    "JavaScript": """\
// npm install express standardwebhooks
import express from "express";
import { Webhook } from "standardwebhooks";

const hook = new Webhook(process.env.WEBHOOK_SECRET); // whsec_...
const app = express();

// The raw body: parsed and written again, it would not fit the signature.
app.post("/hook", express.raw({ type: "*/*", limit: "5mb" }), (req, res) => {
  let event;
  try {
    event = hook.verify(req.body.toString(), req.headers);
  } catch {
    return res.sendStatus(401);
  }
  // Seen this one before? An event may come twice, under the same webhook-id.
  console.log(req.headers["webhook-id"], event);
  res.sendStatus(204);
});
app.listen(3000);
""",
}


def curl(url: str, headers: Mapping[str, str], body: str) -> str:
    """The request as a command for a POSIX shell; a large body is read from FILE. Masked headers are left out."""
    lines = [f"curl -i {_quoted(url)}"]
    lines += [
        f"-H {_quoted(f'{name}: {text}')}"
        for name, text in headers.items()
        if name.lower() not in RECOMPUTED and text != MASK
    ]
    given = _quoted(body) if len(body) <= LARGEST else f"@{FILE}"
    return " \\\n  ".join([*lines, f"--data-binary {given}"])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
