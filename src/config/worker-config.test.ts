import { expect, test } from "vitest";
import { type Config, loadConfig } from "./config.ts";
import { packWorkerConfig, unpackWorkerConfig } from "./worker-config.ts";

const KEY = "a-key-that-nobody-guesses";

function configOf(yaml: string): Config {
  return loadConfig({ flags: {}, env: { MY_KEY: KEY }, readFile: () => yaml });
}

/** As the worker of that number has it, after its way through the channel. */
function received(config: Config, number: number): Config {
  const sent = JSON.stringify(packWorkerConfig(config, number));
  return unpackWorkerConfig(JSON.parse(sent) as ReturnType<typeof packWorkerConfig>);
}

test.each([
  { concurrency: 64, workers: 1, shares: [64] },
  { concurrency: 64, workers: 2, shares: [32, 32] },
  { concurrency: 8, workers: 3, shares: [3, 3, 2] },
  { concurrency: 3, workers: 3, shares: [1, 1, 1] },
])(
  "$workers workers divide $concurrency requests in flight",
  ({ concurrency, workers, shares }) => {
    const config = configOf(`
workers: ${workers}
upstreams: [{ name: a, base_url: "http://a/v1", limits: { concurrency: ${concurrency} } }]
`);
    const given = shares.map((_, index) => received(config, index + 1).upstreams[0]?.concurrency);
    expect(given).toEqual(shares);
  },
);

test("a worker has everything else as it was read, and no key but those of the upstreams", () => {
  const config = configOf(`
workers: 1
shard_lines: 7
limits: { lines_per_batch: 8 }
secret_key: \${MY_KEY}
admin_key: \${MY_KEY}
model_aliases: { constructor: m }
projects: { p: { queued_lines: 9 } }
upstreams:
  - { name: a, base_url: ["http://a/v1", "http://b/v1"], api_key: "\${MY_KEY}", models: [m] }
  - { name: b, base_url: "http://c/v1" }
`);
  const worker = received(config, 1);
  expect(worker).toEqual({ ...config, adminKey: undefined, secretKey: undefined });
  expect(worker.upstreams[0]?.apiKey?.reveal()).toBe(KEY);
  expect(JSON.stringify(worker)).not.toContain(KEY);
});

test("more workers than requests in flight of some upstream are refused", () => {
  const yaml = `
workers: 4
upstreams:
  - { name: large, base_url: "http://a/v1" }
  - { name: small, base_url: "http://b/v1", limits: { concurrency: 3 } }
`;
  expect(() => configOf(yaml)).toThrow(
    'workers: 4 workers share the requests that each upstream may have in flight, and "small" may have only 3. Set --workers (OFFPEAK_WORKERS, workers) to at most 3, or raise limits.concurrency of "small".',
  );
});
