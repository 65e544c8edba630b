// The history of a fault run, kept from outside the nodes: who held which shard until when (noted by triggers in
// the database), what was sealed, every piece of every journal that S3 took, and every request that a node sent.
// From it the checker says what must never be: see `problems`.

import { decodeRecord, JOURNAL_HEADER_BYTES, classOf } from "../../src/engine/journal-record.ts";
import type { PostgresServer } from "./postgres-server.ts";
import type { Send } from "./send-recorder.ts";

interface LeaseRow {
  /** Epoch ms, by the database's clock. */
  at: number;
  shard_id: string;
  epoch: number;
  owner: string | null;
  expires_at: number | null;
}

/** A result that a node wrote to a journal. */
interface Recorded {
  journal: string;
  customId: string;
  requestId: string;
  /** Where its record ends in the journal. */
  end: number;
  /** When S3 had taken it. */
  at: number;
}

interface Segment {
  number: number;
  at: number;
  body: Buffer;
}

/** A line as the output file has it. */
export interface OutputLine {
  customId: string;
  requestId: string;
}

/** A node that was suspended runs again. */
export interface Wake {
  node: number;
  at: number;
}

/** While a fault lasts, results of these nodes may be lost that are not durable. */
export interface FaultSpan {
  start: number;
  end: number;
  nodes: readonly number[];
}

const TRIGGERS = `
  create table lease_history (
    at bigint not null, shard_id text not null, epoch bigint not null, owner text, expires_at bigint
  );
  create table seal_history (shard_id text not null, epoch bigint not null, accepted_bytes bigint not null);
  create function note_lease() returns trigger language plpgsql as $$ begin
    insert into lease_history values (
      cast(extract(epoch from clock_timestamp()) * 1000 as bigint),
      new.id, new.epoch, new.lease_owner, new.lease_expires_at);
    return null;
  end $$;
  create function note_seal() returns trigger language plpgsql as $$ begin
    insert into seal_history
      select new.id, split_part(seal, ':', 1)::bigint, split_part(seal, ':', 2)::bigint
      from regexp_split_to_table(trim(substr(new.seals, length(old.seals) + 1)), ' ') as seal;
    return null;
  end $$;
  create trigger note_lease after update on shards for each row execute function note_lease();
  create trigger note_seal after update on shards for each row
    when (old.seals is distinct from new.seals) execute function note_seal()`;
const SEGMENT = /\/journals\/(\d+-\d+-\d+)!(\d+)$/;
const MAX_PROBLEMS = 20;
/** A request may have been sent so long before its arrival is noted: more processes run than the machine has cores. */
const TRANSIT_MS = 500;

export class LeaseHistory {
  readonly sends: Send[] = [];
  readonly #postgres: PostgresServer;
  readonly #journals = new Map<string, Map<number, Segment>>();

  private constructor(postgres: PostgresServer) {
    this.#postgres = postgres;
  }

  /** Begins, in a database that has its tables. */
  static async begin(postgres: PostgresServer): Promise<LeaseHistory> {
    await postgres.execute(TRIGGERS);
    return new LeaseHistory(postgres);
  }

  /** S3 took an object. What is put again is the same piece of the journal. */
  note(path: string, body: Buffer): void {
    const [, journal, number] = SEGMENT.exec(path) ?? [];
    if (journal === undefined) return;
    const segments = this.#journals.get(journal) ?? new Map<number, Segment>();
    this.#journals.set(journal, segments);
    if (segments.has(Number(number))) return;
    segments.set(Number(number), { number: Number(number), at: Date.now(), body });
  }

  /** How many claims took a shard over from an earlier owner since then. */
  async takeOversSince(at: number): Promise<number> {
    const [row] = await this.#postgres.execute(
      `select count(distinct (shard_id, epoch))::int as taken from lease_history
       where at >= ${at} and epoch > 1 and owner is not null`,
    );
    return Number(row?.["taken"]);
  }

  /**
   * What the history has against the nodes; empty when nothing:
   * a journal with results of two processes; a line with two results that count; an output line that no journal has
   * within its seal; a request sent by who did not hold the shard then; a line that was sent again after its result
   * had been recorded; and a request sent again although no fault had touched the one before. A process that is
   * suspended between its last look at its lease and the system call sends that one request when it wakes, which no
   * program can help: so one is let pass for each wake.
   */
  async problems(
    outputs: readonly OutputLine[],
    faults: readonly FaultSpan[],
    wakes: readonly Wake[],
  ): Promise<string[]> {
    const leases = (await this.#postgres.execute(
      "select at::float8, shard_id, epoch::float8, owner, expires_at::float8 from lease_history order by at",
    )) as unknown as LeaseRow[];
    const seals = await this.#postgres.execute(
      "select shard_id || '-' || epoch as journal, accepted_bytes::float8 as accepted from seal_history",
    );
    const sealed = new Map(
      seals.map(({ journal, accepted }) => [String(journal), Number(accepted)]),
    );
    const recorded = [...this.#journals].flatMap(([journal, segments]) =>
      recordsOf(journal, segments),
    );
    const problems = [
      ...oneProcessEach(recorded, leases),
      ...withinSeals(recorded, sealed, outputs),
      ...this.#underLease(recorded, leases, wakes),
      ...this.#sentAgain(recorded, outputs, faults),
    ];
    return problems.slice(0, MAX_PROBLEMS);
  }

  #underLease(
    recorded: readonly Recorded[],
    leases: readonly LeaseRow[],
    wakes: readonly Wake[],
  ): string[] {
    const unspent = new Set(wakes);
    const shardOf = new Map(recorded.map(({ customId, journal }) => [customId, shardIn(journal)]));
    const ownerOf: ReadonlyMap<string, string> = ownersOf(recorded, leases);
    const byShard = Map.groupBy(leases, (row) => row.shard_id);
    return this.sends.flatMap(({ node, at, requestId, prompt }) => {
      const shard = shardOf.get(prompt);
      const owner = ownerOf.get(processOf(requestId));
      // A process that never recorded anything is not known by name.
      if (shard === undefined || owner === undefined) return [];
      const rowAt = (time: number) => byShard.get(shard)?.findLast((row) => row.at <= time);
      const isHeldAt = (time: number) => {
        const row = rowAt(time);
        return row?.owner === owner && (row.expires_at ?? 0) > time;
      };
      if (isHeldAt(at) || isHeldAt(at - TRANSIT_MS)) return [];
      const hasJustWoken = (wake: Wake) =>
        wake.node === node && wake.at <= at && at - wake.at <= TRANSIT_MS;
      const wake = [...unspent].find(hasJustWoken);
      if (wake && unspent.delete(wake)) return [];
      return [`${prompt} was sent at ${at} by ${owner}, while ${JSON.stringify(rowAt(at))}`];
    });
  }

  #sentAgain(
    recorded: readonly Recorded[],
    outputs: readonly OutputLine[],
    faults: readonly FaultSpan[],
  ): string[] {
    const durableAt = new Map(recorded.map(({ requestId, at }) => [requestId, at]));
    const byPrompt = Map.groupBy(this.sends, ({ prompt }) => prompt);
    return outputs.flatMap(({ customId, requestId }) => {
      const sends = byPrompt.get(customId) ?? [];
      if (sends.at(-1)?.requestId !== requestId) {
        return [`${customId} was sent again after its result was recorded`];
      }
      return sends.slice(0, -1).flatMap((send) => {
        const untilMs = durableAt.get(send.requestId) ?? Number.POSITIVE_INFINITY;
        const isExcused = faults.some(
          ({ start, end, nodes }) =>
            nodes.includes(send.node) && send.at <= end && untilMs >= start,
        );
        return isExcused ? [] : [`${customId} was sent again, and no fault had touched it`];
      });
    });
  }
}

/** Ids of requests begin with the time, and then the process. */
function processOf(requestId: string): string {
  return requestId.slice(8, 24);
}

function shardIn(journal: string): string {
  return journal.slice(0, journal.lastIndexOf("-"));
}

/** By process: the name of its node in leases. */
function ownersOf(recorded: readonly Recorded[], leases: readonly LeaseRow[]): Map<string, string> {
  const holders: ReadonlyMap<string, string> = new Map(
    leases.flatMap(({ shard_id: shard, epoch, owner }) =>
      owner === null ? [] : [[`${shard}-${epoch}`, owner] as const],
    ),
  );
  return new Map(
    recorded.flatMap(({ journal, requestId }) => {
      const owner = holders.get(journal);
      return owner === undefined ? [] : [[processOf(requestId), owner] as const];
    }),
  );
}

function recordsOf(journal: string, segments: ReadonlyMap<number, Segment>): Recorded[] {
  const inOrder = [...segments.values()].sort((a, b) => a.number - b.number);
  const bytes = Buffer.concat(inOrder.map(({ body }) => body));
  const found: Recorded[] = [];
  let segmentEnd = 0;
  let at = JOURNAL_HEADER_BYTES;
  for (const segment of inOrder) {
    segmentEnd += segment.body.length;
    while (at < segmentEnd) {
      const decoded = decodeRecord(bytes, at, 0);
      if (decoded.kind !== "record") throw new Error(`journal ${journal} is broken at ${at}`);
      at = decoded.end;
      const { kind, payloadStart, payloadLength } = decoded.record;
      if (classOf(kind) === null) continue;
      const payload = bytes.toString("utf8", payloadStart, payloadStart + payloadLength);
      const line = JSON.parse(payload) as {
        custom_id: string;
        response: { request_id: string } | null;
      };
      const requestId = line.response?.request_id ?? "";
      found.push({ journal, customId: line.custom_id, requestId, end: at, at: segment.at });
    }
  }
  return found;
}

function oneProcessEach(recorded: readonly Recorded[], leases: readonly LeaseRow[]): string[] {
  const problems: string[] = [];
  for (const [journal, results] of Map.groupBy(recorded, (result) => result.journal)) {
    const processes = new Set(results.map(({ requestId }) => processOf(requestId)));
    if (processes.size > 1) problems.push(`journal ${journal} has results of two processes`);
  }
  const owners = Map.groupBy(ownersOf(recorded, leases), ([, owner]) => owner);
  for (const [owner, processes] of owners) {
    if (processes.length > 1) problems.push(`${processes.length} processes wrote as ${owner}`);
  }
  return problems;
}

function withinSeals(
  recorded: readonly Recorded[],
  sealed: ReadonlyMap<string, number>,
  outputs: readonly OutputLine[],
): string[] {
  const counting = recorded.filter(({ journal, end }) => end <= (sealed.get(journal) ?? 0));
  const byLine = Map.groupBy(counting, ({ customId }) => customId);
  const twice = [...byLine]
    .filter(([, results]) => results.length > 1)
    .map(([customId, results]) => `${customId} has results that count: ${JSON.stringify(results)}`);
  const unknown = outputs
    .filter(({ customId, requestId }) => byLine.get(customId)?.[0]?.requestId !== requestId)
    .map(({ customId }) => `the output has ${customId} from beyond a seal, or from nowhere`);
  return [...twice, ...unknown];
}
