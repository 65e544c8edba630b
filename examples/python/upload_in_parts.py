"""Uploads a large batch input in parts, several at a time, and prints the id of the file.

    pip install -r requirements.txt
    export OPENAI_BASE_URL=http://127.0.0.1:8024/v1 OPENAI_API_KEY=any
    python upload_in_parts.py requests.jsonl

A part that fails is sent again alone, by the SDK; what has arrived is kept for an hour.
"""

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openai import OpenAI

PART_BYTES = 64 * 1024 * 1024
AT_ONCE = 4


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def upload(client: OpenAI, path: Path) -> str:
    size = path.stat().st_size
    upload = client.uploads.create(
        filename=path.name, purpose="batch", bytes=size, mime_type="application/jsonl"
    )

    def send(offset: int) -> str:
        with path.open("rb") as file:
            file.seek(offset)
            part = client.uploads.parts.create(upload.id, data=file.read(PART_BYTES))
        print(f"{min(offset + PART_BYTES, size)} of {size} bytes: {part.id}", file=sys.stderr)
        return part.id

    try:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            # The order of the ids is the order of the bytes, in whatever order the parts arrive.
            part_ids = list(threads.map(send, range(0, size, PART_BYTES)))
        done = client.uploads.complete(upload.id, part_ids=part_ids, md5=md5_of(path))
    except BaseException:
        client.uploads.cancel(upload.id)
        raise
    return done.file.id


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python upload_in_parts.py FILE.jsonl")
    print(upload(OpenAI(), Path(sys.argv[1])))


if __name__ == "__main__":
    main()
