// Every setting but the upstreams and aliases: a row here is a flag, a variable, a key of the
// file, a line of the help and a member of Config at once.
import { type Limits, defaultLimits } from "../core/limits.ts";
import { nodeRoles } from "../core/node-store.ts";
import { oneOf, setting, text, wholeNumber, yesOrNo } from "./setting.ts";

const DAY_MS = 86_400_000;
const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** Node.js takes longer timers for immediate ones. */
const LONGEST_TIMER_MS = 2_147_483_647;

export const settings = {
  host: setting(["host"], text, "127.0.0.1", "address to listen on"),
  port: setting(["port"], wholeNumber(0, 65_535), 8024, "port to listen on; 0 takes a free one"),
  workers: setting(
    ["workers"],
    wholeNumber(0, 64),
    0,
    "processes that run batches beside the one that serves; 0: that one does both",
  ),
  dataDir: setting(
    ["data_dir"],
    text,
    "./offpeak-data",
    "directory of the database and all files, or of the cache of a node that shares them",
  ),
  role: setting(
    ["role"],
    oneOf(...nodeRoles),
    "all",
    "what this node does: serve clients (api), run batches (engine), or both",
  ),
  databaseConnections: setting(
    ["database_connections"],
    wholeNumber(2, 1_000),
    10,
    "most connections of this node to the shared database",
  ),
  blobUrl: setting(
    ["blob_url"],
    text,
    "",
    "S3 bucket that nodes share, as s3://BUCKET/PREFIX; needs --database-url",
  ),
  s3Endpoint: setting(
    ["s3_endpoint"],
    text,
    "",
    "address of the S3 server, such as https://s3.example.com; left out: AWS",
  ),
  s3Region: setting(["s3_region"], text, "", "region of the bucket; left out: AWS_REGION"),
  s3PathStyle: setting(
    ["s3_path_style"],
    yesOrNo,
    false,
    "name the bucket in the path of requests instead of the host, as many S3 servers need it",
  ),
  s3Encryption: setting(
    ["s3_encryption"],
    oneOf("none", "AES256", "aws:kms"),
    "none",
    "encryption that is asked of the S3 server for what is written",
  ),
  s3KmsKeyId: setting(["s3_kms_key_id"], text, "", "key for aws:kms; left out: the bucket's"),
  cacheSizeBytes: setting(
    ["cache_size_bytes"],
    wholeNumber(64 * MIB),
    4 * GIB,
    "disk space in the data directory for what was read from the shared bucket",
  ),
  insecureNoAuth: setting(
    ["insecure_no_auth"],
    yesOrNo,
    false,
    "listen beyond this machine without API keys, although anyone there could use it",
  ),
  allowPrivateAddresses: setting(
    ["allow_private_addresses"],
    yesOrNo,
    false,
    "let webhooks and image URLs reach this machine and private networks",
  ),
  allowSeveralModels: setting(
    ["allow_several_models"],
    yesOrNo,
    false,
    "accept batches whose lines name more than one model",
  ),
  requestTimeoutMs: setting(
    ["request_timeout_ms"],
    wholeNumber(1, DAY_MS),
    600_000,
    "longest time one request to an upstream may take",
  ),
  cancelGraceMs: setting(
    ["cancel_grace_ms"],
    wholeNumber(0, DAY_MS),
    5_000,
    "time that requests in flight get to finish when their batch is cancelled",
  ),
  maxAttempts: setting(
    ["max_attempts"],
    wholeNumber(1, 100),
    5,
    "how often a line is tried before it fails",
  ),
  leaseMs: setting(
    ["lease_ms"],
    wholeNumber(1_000, DAY_MS),
    30_000,
    "how long a process owns a piece of work without renewing",
  ),
  shardLines: setting(["shard_lines"], wholeNumber(1, 100_000), 4_000, "most lines of one shard"),
  pollMs: setting(
    ["poll_ms"],
    wholeNumber(10, LONGEST_TIMER_MS),
    1_000,
    "time between looks for new work",
  ),
  freeSpaceFloorBytes: setting(
    ["free_space_floor_bytes"],
    wholeNumber(0),
    256 * MIB,
    "disk space that is never used: work waits while less is free",
  ),
  logLevel: setting(
    ["log_level"],
    oneOf("trace", "debug", "info", "warn", "error", "fatal", "silent"),
    "info",
    "least important messages to log",
  ),
};

function limit(name: string, fallback: number, max: number, description: string) {
  return setting(["limits", name], wholeNumber(1, max), fallback, description);
}

export const limitSettings = {
  linesPerBatch: limit(
    "lines_per_batch",
    defaultLimits.linesPerBatch,
    10_000_000,
    "most requests in one batch",
  ),
  batchFileSizeBytes: limit(
    "batch_file_size_bytes",
    defaultLimits.batchFileSizeBytes,
    100 * GIB,
    "largest batch input file",
  ),
  fileSizeBytes: limit(
    "file_size_bytes",
    defaultLimits.fileSizeBytes,
    100 * GIB,
    "largest file of any other purpose",
  ),
  uploadSizeBytes: limit(
    "upload_size_bytes",
    defaultLimits.uploadSizeBytes,
    100 * GIB,
    "largest file that is uploaded in parts",
  ),
  partSizeBytes: limit(
    "part_size_bytes",
    defaultLimits.partSizeBytes,
    GIB,
    "largest part of an upload",
  ),
  lineSizeBytes: limit(
    "line_size_bytes",
    defaultLimits.lineSizeBytes,
    GIB,
    "longest line of a batch input file",
  ),
  embeddingInputsPerBatch: limit(
    "embedding_inputs_per_batch",
    defaultLimits.embeddingInputsPerBatch,
    1_000_000_000,
    "most embedding inputs in one batch",
  ),
  validationErrors: limit(
    "validation_errors",
    defaultLimits.validationErrors,
    10_000,
    "bad lines that end the validation of a batch",
  ),
  answerSizeBytes: limit(
    "answer_size_bytes",
    defaultLimits.answerSizeBytes,
    GIB,
    "largest answer of an upstream to one line",
  ),
} satisfies Record<keyof Limits, unknown>;
