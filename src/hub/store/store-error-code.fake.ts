import { AppError } from "../../base/errors.ts";

/** Of what a store refuses; `resolved` where it does not. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "resolved";
  } catch (thrown) {
    return thrown instanceof AppError ? thrown.code : String(thrown);
  }
}
