import { showNotice } from "../shared/notice.js";

/** Calls the server and gives its answer, or shows why it refused and gives `undefined`. */
export async function call(method, path, body) {
  try {
    const response = await fetch(path, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    const answer = await response.json();
    if (response.ok) return answer;
    showNotice(answer.error?.message ?? `The server answered ${response.status}`, "error");
  } catch (error) {
    showNotice(`The server cannot be reached: ${error.message}`, "error");
  }
  return undefined;
}
