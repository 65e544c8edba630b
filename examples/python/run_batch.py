"""Runs a batch from start to end: upload, create, watch, print every answer beside its question.

    pip install -r requirements.txt
    export OPENAI_BASE_URL=http://127.0.0.1:8024/v1 OPENAI_API_KEY=any
    python run_batch.py my-model

Against OpenAI it runs unchanged without OPENAI_BASE_URL. Ctrl-C asks whether to cancel the batch; what is
finished by then is printed all the same.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from openai import OpenAI

ENDPOINT = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")
QUESTIONS = {
    "sky": "Why is the sky blue? One sentence.",
    "sea": "Why is the sea salty? One sentence.",
    "grass": "Why is grass green? One sentence.",
}


def write_input(path: Path, model: str) -> None:
    """One request a line; custom_id is what answers are matched by."""
    with path.open("w", encoding="utf-8") as file:
        for custom_id, question in QUESTIONS.items():
            body = {"model": model, "messages": [{"role": "user", "content": question}]}
            line = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}
            file.write(json.dumps(line) + "\n")


def submit(client: OpenAI, path: Path):
    # With a key of its own, a request that the SDK repeats makes nothing twice (Offpeak only).
    key = f"run-batch-{time.time_ns()}"
    file = client.files.create(
        file=path, purpose="batch", extra_headers={"Idempotency-Key": f"{key}-file"}
    )
    return client.batches.create(
        input_file_id=file.id,
        endpoint=ENDPOINT,
        completion_window="24h",
        metadata={"example": "run_batch.py"},
        extra_headers={"Idempotency-Key": f"{key}-batch"},
    )


def watch(client: OpenAI, batch_id: str):
    """Prints each change until the batch has ended."""
    shown = None
    while True:
        answer = client.batches.with_raw_response.retrieve(batch_id)
        batch = answer.parse()
        counts = batch.request_counts
        line = f"{batch.status}: {counts.completed} done, {counts.failed} failed, {counts.total} in all"
        # Why it does not move, when it does not (Offpeak only).
        reason = answer.headers.get("offpeak-waiting-reason")
        if reason:
            line += f" ({reason})"
        if line != shown:
            print(line)
            shown = line
        if batch.status in ENDED:
            return batch
        time.sleep(1)


def watch_until_told_otherwise(client: OpenAI, batch_id: str):
    while True:
        try:
            return watch(client, batch_id)
        except KeyboardInterrupt:
            answer = input("\nCancel the batch? [y: cancel, n: go on watching, other: leave it running] ")
        if answer == "y":
            client.batches.cancel(batch_id)
        elif answer != "n":
            sys.exit(f"{batch_id} goes on by itself.")


def results(client: OpenAI, file_id: str | None) -> dict[str, dict]:
    """The lines of an output or error file by custom_id. There is no file when no line belongs there."""
    if file_id is None:
        return {}
    lines = client.files.content(file_id).text.splitlines()
    return {line["custom_id"]: line for line in map(json.loads, lines)}


def print_results(client: OpenAI, batch) -> None:
    if batch.errors is not None:
        for error in batch.errors.data or []:
            where = "" if error.line is None else f"line {error.line}: "
            print(f"{where}{error.message} ({error.code})")
        return
    answers = results(client, batch.output_file_id)
    failures = results(client, batch.error_file_id)
    for custom_id, question in QUESTIONS.items():
        if custom_id in answers:
            body = answers[custom_id]["response"]["body"]
            text = body["choices"][0]["message"]["content"]
        else:
            text = f"FAILED: {failure_text(failures.get(custom_id))}"
        print(f"\n{question}\n  {text}")
    if batch.usage is not None:
        print(f"\n{batch.usage.total_tokens} tokens")


def failure_text(line: dict | None) -> str:
    if line is None:
        return "it has no line"
    # Either an answer that says no, or the reason why there is none, such as batch_cancelled.
    if line["response"] is None:
        return f"{line['error']['code']}: {line['error']['message']}"
    error = line["response"]["body"].get("error", line["response"]["body"])
    return f"{line['response']['status_code']}: {error}"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python run_batch.py MODEL")
    client = OpenAI()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests.jsonl"
        write_input(path, model=sys.argv[1])
        batch = submit(client, path)
    print(batch.id)
    print_results(client, watch_until_told_otherwise(client, batch.id))


if __name__ == "__main__":
    main()
