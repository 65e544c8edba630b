"""Receives the webhooks of batches, verifies them, and prints what became of each batch.

    offpeak webhooks create --project NAME --url http://127.0.0.1:9000/ --allow-private-addresses
    export OPENAI_WEBHOOK_SECRET=whsec_…                       # what the command above printed
    export OPENAI_BASE_URL=http://127.0.0.1:8024/v1 OPENAI_API_KEY=sk-offpeak-…
    pip install -r requirements.txt
    python webhook_receiver.py

The server needs allow_private_addresses to call this machine. A delivery that is not answered with 2xx comes
again, so the same event may come twice: its webhook-id tells.
"""

from http.server import BaseHTTPRequestHandler, HTTPServer

from openai import InvalidWebhookSignatureError, OpenAI

PORT = 9000
LARGEST_BODY = 64 * 1024

client = OpenAI()
# A real receiver keeps them where a restart does not lose them.
seen: set[str] = set()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        if length > LARGEST_BODY:
            self.answer(413)
            return
        # The signature is over the bytes as they came: parse nothing before.
        body = self.rfile.read(length).decode()
        try:
            event = client.webhooks.unwrap(body, dict(self.headers))
        except (InvalidWebhookSignatureError, ValueError):
            self.answer(400)
            return
        # Answered first: whoever takes long is taken for broken, and gets the event again.
        self.answer(204)
        delivery = self.headers["webhook-id"]
        if delivery not in seen:
            seen.add(delivery)
            handle(event)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()


def handle(event) -> None:
    """The event is thin: what became of the batch is asked for."""
    if not event.type.startswith("batch."):
        return
    if event.data.id == "batch_test":
        print("a sample event: the webhook works")
        return
    batch = client.batches.retrieve(event.data.id)
    counts = batch.request_counts
    print(f"{batch.id} {batch.status}: {counts.completed} done, {counts.failed} failed")


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", PORT), Receiver).serve_forever()
