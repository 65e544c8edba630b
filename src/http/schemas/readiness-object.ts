// What the server answers to those who run it.
import { type Static, Type } from "typebox";
import { nullable } from "./schema.ts";

export const Health = Type.Object(
  { status: Type.Literal("ok") },
  { $id: "Health", description: "The process is there." },
);

export const ReadinessObject = Type.Object(
  {
    ready: Type.Boolean(),
    checks: Type.Array(
      Type.Object({
        upstream: Type.String(),
        model: nullable(Type.String({ description: "Null when the whole upstream is meant" })),
        state: Type.String(),
        reason: nullable(Type.String({ description: "Null when nothing is wrong" })),
      }),
    ),
    workers: Type.Optional(
      Type.Array(
        Type.Object({
          number: Type.Integer(),
          state: Type.String({ description: "running, starting or down" }),
          reason: nullable(Type.String({ description: "Null when nothing is wrong" })),
        }),
        { description: "Present where worker processes run the batches" },
      ),
    ),
    database: Type.Optional(
      Type.Object(
        {
          state: Type.String({ description: "ok or unreachable" }),
          reason: nullable(Type.String({ description: "Null when nothing is wrong" })),
        },
        { description: "Present where several nodes share a database" },
      ),
    ),
    nodes: Type.Optional(
      Type.Array(
        Type.Object({
          id: Type.String(),
          self: Type.Boolean({ description: "Whether it is the one that answers" }),
          host: Type.String({ description: "The name of its machine" }),
          started_at: Type.Integer({ description: "Unix time in seconds" }),
          role: Type.String({ description: "all, api or engine" }),
          lanes: Type.Array(
            Type.Object({
              upstream: Type.String(),
              model: Type.String(),
              in_flight: Type.Integer(),
              limit: Type.Integer({ description: "The node's share of what may be in flight" }),
            }),
          ),
        }),
        { description: "Present where several nodes share a database: those that live" },
      ),
    ),
  },
  { $id: "Readiness", description: "Whether batches can be worked on, and what is in the way." },
);
export type ReadinessObject = Static<typeof ReadinessObject>;
