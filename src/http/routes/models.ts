// The routes of models: which names a batch may use.
import { ApiError } from "../../core/api-error.ts";
import type { App } from "../app.ts";
import { type Model, modelToWire, modelsToWire } from "../wire.ts";

export function addModelRoutes(app: App, listModels: () => readonly Model[]): void {
  app.get("/v1/models", () => modelsToWire(listModels()));

  // A wildcard, for the names of models have slashes in them.
  app.get<{ Params: { "*": string } }>("/v1/models/*", ({ params }) => {
    const id = params["*"];
    const model = listModels().find((candidate) => candidate.id === id);
    if (model !== undefined) return modelToWire(model);
    throw new ApiError(404, `The model '${id}' does not exist.`, {
      code: "model_not_found",
      param: "model",
    });
  });
}
