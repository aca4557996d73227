import { type Command, Option } from "commander";
import { AppError } from "../../base/errors.ts";
import type { RemoteAdmission } from "../../contract/fleet/remote.ts";
import { fingerprintOf } from "../../contract/remote/remote-key.ts";

/** How the bytes of a session are carried, and for which box. */
export interface SealWish {
  readonly isSealed?: boolean | undefined;
  /** The only key of the box that will do, as `sluice status` on the box shows it. */
  readonly boxKey?: string | undefined;
}

export interface SealFlags {
  readonly seal?: boolean;
  readonly boxKey?: string;
}

const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}$/;

export function addSealFlags(command: Command): Command {
  return command
    .option("--seal", "seal all bytes between here and the box: the router sees sizes only")
    .addOption(
      new Option(
        "--box-key <fingerprint>",
        "with --seal: only for the box with this key, as sluice status there shows it",
      ),
    );
}

/** Throws `invalid`. Pure. */
export function parseSealFlags({ seal = false, boxKey }: SealFlags): SealWish {
  if (boxKey === undefined) return { isSealed: seal };
  if (!seal) throw new AppError("invalid", "--box-key: only with --seal, for what is not sealed a router can read");
  if (!FINGERPRINT.test(boxKey)) {
    throw new AppError(
      "invalid",
      `--box-key: given ${JSON.stringify(boxKey)}; allowed: SHA256: and 43 characters of base64`,
    );
  }
  return { isSealed: true, boxKey };
}

/** As arguments again, for a program that is called in our place. Pure. */
export function sealArguments({ isSealed, boxKey }: SealWish): readonly string[] {
  return isSealed === true ? ["--seal", ...(boxKey === undefined ? [] : ["--box-key", boxKey])] : [];
}

/** Throws `refused` where the hub names another key of the box than was asked for. Pure. */
export function checkBoxKey(
  { box, boxKey }: Pick<RemoteAdmission, "box" | "boxKey">,
  { boxKey: wanted }: SealWish,
): void {
  const found = boxKey === undefined ? "none" : fingerprintOf(boxKey);
  if (wanted === undefined || found === wanted) return;
  throw new AppError(
    "refused",
    `--box-key: given ${wanted}; the hub says that ${box} has ${found}: either its agent was set up anew, or the hub lies`,
    { field: "--box-key" },
  );
}
