import { ApiError, toApiError } from "./api-error.js";

/** A hub that says nothing for so long is away, even while its connections stand. */
const ANSWER_MS = 15_000;
/** A change that got no answer is sent once more, under the same request id: the hub does it once. */
const RETRY_MS = 1000;

/**
 * The hub's API for one token. Every call throws an `ApiError`; `onRefused` hears of a token that opens nothing any more.
 *
 * @param {{token: () => string | undefined, onRefused: () => void}} deps
 */
export function createApi({ token, onRefused }) {
  let aheadMs = 0;

  const send = async (path, options) => {
    try {
      const response = await fetch(path, { ...options, cache: "no-store", credentials: "omit", redirect: "error" });
      const date = Date.parse(response.headers.get("date") ?? "");
      // The header knows whole seconds only.
      if (Number.isFinite(date)) aheadMs = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
      return response;
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new ApiError({ code: "unavailable", message: `The hub cannot be reached (${error.message})` }, 0);
    }
  };
  const request = async (path, options) => {
    const headers = { ...options.headers, authorization: `Bearer ${token() ?? ""}` };
    const response = await send(path, { ...options, headers });
    if (response.ok) return response;
    const error = await toApiError(response);
    if (response.status === 401) onRefused();
    throw error;
  };
  const change = async (method, path, { body, revision } = {}) => {
    const options = {
      method,
      headers: {
        accept: "application/json",
        "idempotency-key": newRequestId(),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(revision === undefined ? {} : { "if-match": `"${revision}"` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    };
    const response = await request(path, options).catch(async (error) => {
      if (error.status !== 0 && error.status !== 503) throw error;
      await new Promise((done) => setTimeout(done, RETRY_MS));
      return request(path, options);
    });
    return response.status === 204 ? undefined : response.json();
  };

  return {
    get: async (path, query = {}, signal) => {
      const limit = AbortSignal.timeout(ANSWER_MS);
      const either = signal === undefined ? limit : AbortSignal.any([signal, limit]);
      try {
        const headers = { accept: "application/json" };
        const response = await request(withQuery(path, query), { headers, signal: either });
        return await response.json();
      } catch (error) {
        if (!limit.aborted || signal?.aborted) throw error;
        throw new ApiError({ code: "unavailable", message: `The hub has not answered for ${ANSWER_MS / 1000} s` }, 0);
      }
    },
    put: (path, given) => change("PUT", path, given),
    post: (path, given) => change("POST", path, given),
    patch: (path, given) => change("PATCH", path, given),
    remove: (path, given) => change("DELETE", path, given),
    /** An open event stream; ends with the signal. */
    open: (path, { query = {}, signal, lastEventId } = {}) =>
      request(withQuery(path, query), {
        headers: {
          accept: "text/event-stream",
          ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
        },
        signal,
      }),
    /** Something that is no JSON. */
    download: (path, signal) => request(path, { signal }),
    /** Wall time as the hub has it, in ms. */
    nowMs: () => Date.now() + aheadMs,
  };
}

/** Parts of a path, each of them encoded. */
export function pathOf(...parts) {
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}

/** 128 bits. `crypto.randomUUID` is not there on a page that came over plain HTTP. */
function newRequestId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
