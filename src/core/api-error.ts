// What a client is told when a request is refused: OpenAI's error envelope as a value.

export class ApiError extends Error {
  readonly status: number;
  readonly type: string;
  readonly code: string | null;
  readonly param: string | null;

  constructor(
    status: number,
    message: string,
    about: { type?: string; code?: string | null; param?: string | null } = {},
  ) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.type = about.type ?? (status >= 500 ? "server_error" : "invalid_request_error");
    this.code = about.code ?? null;
    this.param = about.param ?? null;
  }
}
