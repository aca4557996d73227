import { request } from "node:http";
import { AppError } from "../../../src/base/errors.ts";
import type { Fleet, HubProcess } from "./hub-process.ts";

/** Puts something as the administrator. Rejects with what the hub said. */
export function callHub(
  { hub, fleet }: { readonly hub: HubProcess; readonly fleet: Fleet },
  path: string,
  body: unknown,
): Promise<void> {
  const headers = { authorization: `Bearer ${fleet.adminToken}`, "content-type": "application/json" };
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: "127.0.0.1", port: hub.port, path, method: "PUT", headers, agent: false },
      (response) => {
        let text = "";
        response.on("data", (piece) => {
          text += String(piece);
        });
        response.on("end", () => {
          if ((response.statusCode ?? 500) < 300) resolve();
          else reject(new AppError("unavailable", `PUT ${path}: ${response.statusCode} ${text.slice(0, 300)}`));
        });
      },
    );
    asked.on("error", reject);
    asked.end(JSON.stringify(body));
  });
}
