// The OpenAPI document of the server, made of the schemas of its routes.
import swagger from "@fastify/swagger";
import { type TSchema, Type } from "typebox";
import type { App } from "./app.ts";
import { BatchObject } from "./schemas/batch-object.ts";
import { ErrorObject } from "./schemas/error-object.ts";
import { DeletedFile, FileObject } from "./schemas/file-object.ts";
import { ModelObject } from "./schemas/model-object.ts";
import { Health, ReadinessObject } from "./schemas/readiness-object.ts";
import { reference } from "./schemas/schema.ts";
import { PartObject, UploadObject } from "./schemas/upload-object.ts";
import { WebhookEndpoint, WebhookEndpointWithSecret } from "./schemas/webhook-object.ts";

/** What the document says of a route beyond the schemas that Fastify applies by itself. */
interface Documented {
  /** Keys of its query, which the route reads in its own way. */
  query?: TSchema;
  /** Its multipart form, which never becomes a body. */
  form?: TSchema;
  headers?: TSchema;
  /** Its path and the parameters in it, where the route's is no pattern of OpenAPI. */
  path?: { url: string; params: TSchema };
  /** OpenAI's API does not have it. */
  beyondOpenAi?: boolean;
}

declare module "fastify" {
  interface FastifyContextConfig {
    documented?: Documented;
  }
}

const API = /^\/(?:admin\/)?v1\//;

export const idempotencyHeaders = Type.Object({
  "idempotency-key": Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      description:
        "Sent again with the same key within 24 hours, the request makes nothing twice (beyond OpenAI)",
    }),
  ),
});

/** What `transformObject` changes of a document. */
interface OpenApiDocument {
  paths: Record<string, Record<string, { parameters?: Parameter[] }>>;
}

interface Parameter {
  schema?: { type?: string };
  style?: string;
}

/** Collects the routes that are added from now on in plugins. Call before adding routes. */
export function describeApi(app: App): void {
  const named = [BatchObject, FileObject, DeletedFile, UploadObject, PartObject, ModelObject];
  const webhooks = [WebhookEndpoint, WebhookEndpointWithSecret];
  const operations = [ErrorObject, Health, ReadinessObject];
  for (const schema of [...named, ...webhooks, ...operations]) app.addSchema(schema);
  void app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Offpeak",
        version: "v1",
        description: "The OpenAI Batch API for models you run yourself.",
      },
      components: { securitySchemes: { key: { type: "http", scheme: "bearer" } } },
    },
    refResolver: { buildLocalReference: ({ $id }) => $id as string },
    convertConstToEnum: false,
    transform: ({ schema, url, route }) => {
      const { query, form, headers, path, beyondOpenAi } = route.config?.documented ?? {};
      const document = {
        ...schema,
        ...(query && { querystring: query }),
        ...(form && { body: form, consumes: ["multipart/form-data"] }),
        ...(headers && { headers }),
        ...(path && { params: path.params }),
        ...((beyondOpenAi ?? !url.startsWith("/v1/")) && { "x-beyond-openai": true }),
        security: API.test(url) ? [{ key: [] }] : [],
        response: { ...(schema?.response as object), default: reference(ErrorObject) },
      };
      return { schema: document, url: path?.url ?? url };
    },
    transformObject: (document) => {
      const { openapiObject } = document as { openapiObject: OpenApiDocument };
      for (const path of Object.values(openapiObject.paths)) {
        for (const { parameters = [] } of Object.values(path)) {
          // How `metadata[key]=value` is spelled in OpenAPI.
          for (const parameter of parameters) {
            if (parameter.schema?.type === "object") parameter.style = "deepObject";
          }
        }
      }
      return openapiObject;
    },
  });
}

export function addOpenApiRoute(app: App): void {
  app.get("/openapi.json", {
    schema: {
      operationId: "getOpenApiDocument",
      tags: ["Operations"],
      response: { 200: Type.Unsafe<object>({ type: "object", description: "This document." }) },
    },
    handler: () => app.swagger(),
  });
}
