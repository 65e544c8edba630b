// The routes of models: which names a batch may use.
import { Type } from "typebox";
import { ApiError } from "../../core/api-error.ts";
import type { App } from "../app.ts";
import { ModelList, ModelObject } from "../schemas/model-object.ts";
import { reference } from "../schemas/schema.ts";
import { type Model, modelToWire, modelsToWire } from "../wire.ts";

const tags = ["Models"];

export function addModelRoutes(app: App, listModels: () => readonly Model[]): void {
  app.get(
    "/v1/models",
    { schema: { operationId: "listModels", tags, response: { 200: ModelList } } },
    () => modelsToWire(listModels()),
  );

  const path = { url: "/v1/models/:model", params: Type.Object({ model: Type.String() }) };
  app.get(
    // A wildcard, for the names of models have slashes in them.
    "/v1/models/*",
    {
      schema: {
        operationId: "retrieveModel",
        tags,
        params: Type.Object({ "*": Type.String() }),
        response: { 200: reference(ModelObject) },
      },
      config: { documented: { path } },
    },
    ({ params }) => {
      const id = params["*"];
      const model = listModels().find((candidate) => candidate.id === id);
      if (model !== undefined) return modelToWire(model);
      throw new ApiError(404, `The model '${id}' does not exist.`, {
        code: "model_not_found",
        param: "model",
      });
    },
  );
}
