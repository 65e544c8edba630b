# What a user would write in Python, in the shape of vLLM's run-batch: reads the JSONL file, posts every body
# under a semaphore with one aiohttp session, gathers all results, writes the output. Arguments: base URL, input,
# output, requests in flight. Prints the milliseconds that the calls took.

import asyncio
import json
import sys
import time

import aiohttp


async def run_line(line, url, session, semaphore):
    async with semaphore:
        async with session.post(url, json=line["body"]) as response:
            body = await response.json()
            status = response.status
    return {
        "id": f"batch-{line['custom_id']}",
        "custom_id": line["custom_id"],
        "response": {"status_code": status, "request_id": line["custom_id"], "body": body},
        "error": None,
    }


async def main(base_url, input_path, output_path, in_flight):
    with open(input_path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    semaphore = asyncio.Semaphore(in_flight)
    url = f"{base_url}/chat/completions"
    started = time.monotonic()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:
        results = await asyncio.gather(*(run_line(line, url, session, semaphore) for line in lines))
    took_ms = (time.monotonic() - started) * 1000
    with open(output_path, "w", encoding="utf-8") as file:
        for result in results:
            file.write(json.dumps(result) + "\n")
    print(took_ms)


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
