/** What the hub said instead of an answer, or `unavailable` when it said nothing. */
export class ApiError extends Error {
  constructor({ code, message, field, retryAfter, currentRevision }, status) {
    super(message);
    this.code = code;
    this.field = field;
    this.retryAfter = retryAfter;
    this.currentRevision = currentRevision;
    this.status = status;
  }
}

export async function toApiError(response) {
  const body = await response.json().catch(() => undefined);
  const error = body?.error ?? { code: "internal", message: `The hub answered ${response.status}` };
  return new ApiError(error, response.status);
}
