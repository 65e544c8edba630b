// A known path asked with a method it does not have is a 405 that names those it has.
import type { FastifyInstance, HTTPMethods } from "fastify";
import { invalidMethod } from "./errors.ts";

/** Answers 405 for every method that the routes added from now on leave out. Call before adding routes. */
export function refuseOtherMethods(app: FastifyInstance): () => void {
  const methods = new Map<string, Set<HTTPMethods>>();
  app.addHook("onRoute", ({ url, method }) => {
    const known = methods.get(url) ?? new Set();
    for (const one of [method].flat()) known.add(one);
    methods.set(url, known);
  });

  return () => {
    for (const [url, known] of methods) {
      const allowed = [...known].join(", ");
      app.route({
        url,
        schema: { hide: true },
        method: (app.supportedMethods as HTTPMethods[]).filter((method) => !known.has(method)),
        onRequest: async (request, reply) => {
          reply.header("allow", allowed);
          throw invalidMethod(request);
        },
        // Never reached: the hook has refused.
        handler: invalidMethod,
      });
    }
  };
}
